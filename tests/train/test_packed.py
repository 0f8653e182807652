"""A packed training set, batches made on the device, and training without detector and video libraries."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from tiny import TINY

from vtoon.errors import VtoonError
from vtoon.image import to_uint8
from vtoon.models.builtin import BuiltinVToonify
from vtoon.ops import ModulatedConv2d
from vtoon.train.batches import Batches, halftone
from vtoon.train.looks import finish
from vtoon.train.looks.screen import halftone as halftone_of_one
from vtoon.train.packed import Pictures, decode, encode, load_pack, save_pack, unpack, variants
from vtoon.train.recipes.add_look import AddLook
from vtoon.train.recipes.distill import Distill, DistillOptions
from vtoon.train.spectacles import put_on
from vtoon.train.teacher import PairTeacher
from vtoon.train.trainer import run_phase
from vtoon.train.views import View, look_at, offsets_at, parts_at
from vtoon.train.worse import jpeg, worse
from vtoon.types import Landmarks

POINTS = np.array(  # dlib's 68 points of skimage.data.astronaut() less (128, 24), every x then y
    """51 80 51 92 52 103 53 115 57 127 63 136 72 145 81 152 93 154 104 153 115 147 125 140 132 130 136 120 140 108
    142 96 144 84 58 70 64 64 72 63 80 65 88 68 108 69 116 67 124 67 132 68 137 74 97 79 97 87 97 95 97 103 86 107
    91 108 96 110 101 109 104 108 67 77 72 74 79 74 84 80 78 80 71 80 110 81 116 77 122 77 127 80 122 83 116 82 73
    116 81 115 90 115 95 117 101 116 109 116 117 117 109 127 101 131 94 132 88 131 80 126 76 117 89 119 95 120 101
    119 115 118 101 126 95 126 89 126""".split(),
    float,
).reshape(68, 2)


def pictures(count: int = 3) -> Pictures:
    photo = cv2.resize(data.astronaut()[24:216, 128:320], (384, 384), interpolation=cv2.INTER_CUBIC)
    files = [encode(np.roll(photo, 4 * i, 2), quality=95) for i in range(count)]
    return Pictures(files, [POINTS * 2] * count)


@cache
def teacher(folder) -> PairTeacher:
    drawn = Pictures(pictures(1).files, pictures(1).points, pictures(1).files)
    made = unpack({"faces": pictures(), "ink": drawn}, folder, {"poster": None, "comic": 2}, 1)
    return PairTeacher(made["poster"].faces, made, 64, finish)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> PairTeacher:
    return teacher(tmp_path_factory.mktemp("sheets"))


def test_a_pack_comes_back_as_it_was(tmp_path):
    kept = pictures()
    kept.drawings = kept.files[::-1]
    save_pack(tmp_path / "data.npz", {"faces": pictures(2), "ink": kept})
    back = load_pack(tmp_path / "data.npz")
    assert list(back) == ["faces", "ink"] and len(back["faces"]) == 2
    assert back["ink"].files == kept.files and back["ink"].drawings == kept.drawings
    assert np.allclose(back["ink"].points, kept.points)


def test_something_else_is_no_pack(tmp_path):
    (tmp_path / "data.npz").write_bytes(b"nothing")
    with pytest.raises(VtoonError, match="not a packed training set"):
        load_pack(tmp_path / "data.npz")


def test_every_face_has_its_sheets_and_is_made_once(made):
    count = len(variants(3))
    assert len(made.faces) == count > 3
    assert [len(d.sheets) for d in made.drawings.values()] == [count, 2, 1]
    again = unpack({"faces": pictures()}, made.faces.folder, {"poster": None, "comic": 2}, 1)
    assert np.array_equal(again["poster"].sheets, made.drawings["poster"].sheets)


def test_glasses_are_drawn_round_the_eyes_only():
    photo = decode(pictures(1).files[0])
    landmarks = Landmarks(POINTS * 2)
    changed = np.zeros(photo.shape[:2])
    for seed in range(4):
        worn = put_on(np.random.default_rng(seed), photo, landmarks)
        assert np.array_equal(worn, put_on(np.random.default_rng(seed), photo, landmarks))
        changed += np.abs(worn.astype(int) - photo).sum(2) > 60
    y = np.flatnonzero(changed.any(1))
    reach = landmarks.eye_distance * 0.7
    middle = landmarks.eye_middle[1]
    assert changed.any() and middle - reach < y.min() and y.max() < middle + reach


def test_a_batch_depends_on_its_step_alone(made):
    first, again = (Batches(made, 6, "cpu").make(3) for _ in range(2))
    other = Batches(made, 6, "cpu").make(4)
    assert torch.equal(first.x, again.x) and torch.equal(first.fields, again.fields)
    assert not torch.equal(first.x, other.x)
    assert first.x.shape == (6, 3, 64, 64) and first.parts.shape == (6, 8, 16, 16)
    assert first.fields.shape == (3, 3, 2, 48, 48) and first.faces.abs().max() <= 1


@pytest.mark.parametrize("mirror", [False, True])
def test_sheets_are_seen_as_the_teacher_sees_them(made, mirror):
    batches, drawn = Batches(made, 1, "cpu"), made.drawings["poster"]
    view, face = View(64, 80.0, 0.2, (250.0, 240.0)), np.array([1])
    grid = batches._grid([view], np.array([mirror]))
    points = view.sheet_map()[:, ::-1] if mirror else view.sheet_map()
    assert np.allclose(((grid[0].numpy() + 1) * 512 - 1) / 2, points, atol=1e-3)
    seen = batches.sheets[0].sample(face, grid, np.array([80.0]))[0].permute(1, 2, 0).numpy()
    assert np.abs(seen - look_at(drawn.sheets[1], np.ascontiguousarray(points), 80.0)).mean() < 1.5
    own = batches.sets[id(drawn.faces)].parts[face].float()
    parts = torch.nn.functional.grid_sample(own, grid, align_corners=False)[0].permute(1, 2, 0).numpy()
    assert np.abs(parts - parts_at(drawn.faces.parts[1], np.ascontiguousarray(points))).mean() < 1
    moves = torch.nn.functional.grid_sample(batches.offsets[0][face].float(), grid, align_corners=False)[0]
    wanted = offsets_at(np.ascontiguousarray(points), drawn.offsets[1])
    assert np.abs(moves.permute(1, 2, 0).numpy() - wanted).max() < 0.05


def test_halftone_is_the_printers():
    image = np.random.default_rng(0).integers(0, 120, (1, 40, 48, 3), np.uint8)
    image = cv2.GaussianBlur(image[0], (0, 0), 4)[None]
    ours = halftone(torch.from_numpy(image).permute(0, 3, 1, 2).float())
    theirs = halftone_of_one(image[0])
    inner = slice(10, -10)
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - theirs)[inner, inner].max() < 3


def test_jpeg_is_what_opencv_makes():
    photo = decode(pictures(1).files[0])[64:320, 64:320]
    x = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float()
    for quality in (45, 85):
        ours = jpeg(x, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy()
        theirs = decode(encode(photo, quality=quality))
        assert np.abs(ours - theirs).mean() < 0.4 * np.abs(theirs.astype(int) - photo).mean() + 0.3


def test_worse_pictures_keep_size_and_range():
    x = torch.full((24, 3, 64, 64), 90.0)
    y = worse(np.random.default_rng(0), x)
    assert y.shape == x.shape and (x == 90).all() and abs(float(y.mean()) - 90) < 1
    assert torch.equal(y, worse(np.random.default_rng(0), x))


@pytest.mark.parametrize("upsample", [False, True])
def test_a_bank_of_kernels_as_one_convolution_is_the_same(upsample):
    torch.manual_seed(0)
    conv = ModulatedConv2d(5, 7, 3, 4, upsample=upsample, bank=3)
    torch.nn.init.normal_(conv.bank)
    x, style = torch.randn(3, 5, 8, 6), torch.randn(3, 4)
    one_by_one = torch.cat([conv.convolve(a, w) for a, w in zip(x.split(1), conv.kernels(style), strict=True)])
    assert torch.allclose(conv.convolve_bank(x, style), one_by_one, atol=1e-5)


def test_the_recipe_learns_from_such_batches(made):
    torch.manual_seed(0)
    model = BuiltinVToonify(made.looks, ["own"])
    recipe = Distill(model, made, DistillOptions(2, 2), make_batch=Batches(made, 2, "cpu").make)
    terms = run_phase(recipe.phases[0], recipe.next_batch(0)) | run_phase(recipe.phases[2], recipe.next_batch(0))
    assert {"G/rec", "F/field"} <= set(terms) and all(np.isfinite(list(terms.values())))
    assert to_uint8(recipe.next_batch(1).x).shape == (2, 64, 64, 3)


def test_a_look_that_is_added_leaves_the_others_as_they_are(made):
    torch.manual_seed(0)
    start = BuiltinVToonify(["a", "b"], ["own"], TINY)
    batches = Batches(PairTeacher(made.faces, {"comic": made.drawings["comic"]}, 64, finish), 2, "cpu", faces=1)
    recipe = AddLook(start, "comic", {"a": 0.25, "b": 0.75}, batches, DistillOptions(4, perc_loss=0.0))
    blend = 0.25 * start.codes.looks[0] + 0.75 * start.codes.looks[1]
    assert torch.allclose(recipe.model.codes.looks[2], blend)
    run_phase(recipe.phases[0], recipe.next_batch(0))
    before, after = start.state_dict(), recipe.model.state_dict()
    assert all(torch.equal(after[key][: len(before[key])], before[key]) for key in before)
    assert not torch.allclose(after["codes.looks"][2], blend)
    assert recipe.model.codes.names == ["a", "b", "comic"]


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"av", "dlib", "kornia", "tyro", "face_recognition_models"}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import vtoon.train.batches, vtoon.train.packed, vtoon.train.trainer
"""


def test_training_on_a_pack_needs_neither_detector_nor_video():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
