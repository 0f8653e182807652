"""Quick students: teachers draw once and go on, shape and appearance are told apart, files are small."""

import json

import numpy as np
import pytest
import torch
from skimage import data
from tiny import TINY
from tiny_teachers import save_files
from torch.utils.flop_counter import FlopCounterMode

from vtoon.cli.generator_teacher import Inversion, is_generator, painter
from vtoon.errors import VtoonError
from vtoon.image import save_image, to_tensor, to_uint8
from vtoon.models.builtin import LIVE, SMALL, BuiltinVToonify
from vtoon.models.face_net import POOL
from vtoon.models.stylegan2 import Generator
from vtoon.painters.builtin import BuiltinPainter
from vtoon.train import students
from vtoon.train.pairs import OFFSET_GRID, FaceSheets, prepare_faces
from vtoon.train.students import build_student, lesson_by
from vtoon.train.teacher import PairTeacher
from vtoon.types import Landmarks, Style
from vtoon.weights.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(autouse=True)
def small_nets(one_thread):
    """Every test here."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two photos of one face."""
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate((data.astronaut()[0:320, 60:380], data.astronaut()[0:300, 70:370] // 2 + 60)):
        save_image(folder / f"{i}.png", image)
    return folder


@pytest.fixture(scope="module")
def faces(photos, tmp_path_factory):
    return prepare_faces([photos], tmp_path_factory.mktemp("cache"))


def test_a_teacher_that_keeps_the_shape_is_taken_to_the_pixel(faces):
    lesson = lesson_by(lambda image, face: image // 2, faces, "same", "1")
    assert lesson.taught.exact and not lesson.taught.offsets.any()
    assert np.array_equal(lesson.taught.sheets[0], faces.photos[0] // 2)
    assert lesson.seen and list(lesson.held_out) == [0, 1, 2]


def test_a_teacher_that_reshapes_is_brought_back_onto_the_photo(faces):
    """Here it shifts all of the face by 14 px."""
    lesson = lesson_by(lambda image, face: np.roll(image, 14, 1), faces, "shift", "1")
    assert not lesson.taught.exact and lesson.reshapes == pytest.approx(14 / 128, abs=0.02)
    middle = np.s_[180:330, 190:320]
    apart = np.abs(lesson.taught.sheets[0][middle].astype(int) - faces.photos[0][middle]).mean()
    assert apart < np.abs(lesson.raw[0][middle].astype(int) - faces.photos[0][middle]).mean() / 3
    cell = slice(OFFSET_GRID * 3 // 8, OFFSET_GRID * 5 // 8)
    assert lesson.taught.offsets[0][cell, cell, 0].mean() == pytest.approx(-14, abs=3)
    assert abs(lesson.taught.offsets[0][cell, cell, 1].mean()) < 2


def test_without_place_on_the_disk_nothing_is_drawn(faces, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(VtoonError, match=r"no place for 2 MB of drawings \(No space left"):
        lesson_by(lambda image, face: pytest.fail("drawn"), faces, "full", "1")
    assert not list(faces.folder.glob("full-*"))


def test_of_many_faces_some_are_kept_back(faces, monkeypatch):
    monkeypatch.setattr(students, "HELD_OUT", 1)
    monkeypatch.setattr(students, "TOLD_BY", 1)
    rows = (faces.photos, faces.landmarks, faces.native_eyes, faces.parts)
    twice = FaceSheets(faces.folder, *(np.concatenate([values, values]) for values in rows))
    lesson = lesson_by(lambda image, face: image, twice, "kept", "1")
    assert not lesson.seen and list(lesson.held_out) == [5] and len(lesson.taught.faces) == 5
    teacher = PairTeacher(lesson.taught.faces, {"mine": lesson.taught}, 64)
    rng = np.random.default_rng(0)
    for _ in range(20):
        teacher.face_sample(rng), teacher.pair(rng)


def test_drawings_are_made_once_and_go_on(faces):
    seen = []

    def paint(image, face):
        seen.append(len(seen))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return image

    with pytest.raises(KeyboardInterrupt):
        lesson_by(paint, faces, "stopped", "1")
    lesson_by(paint, faces, "stopped", "1")
    assert len(seen) == len(faces) + 1  # the one during which it was stopped was drawn again
    lesson_by(paint, faces, "stopped", "1")
    assert len(seen) == len(faces) + 1
    lesson_by(paint, faces, "stopped", "2")
    assert len(seen) == 2 * len(faces) + 1


@pytest.mark.parametrize(("config", "gflop", "megabytes"), [(SMALL, 5.2, 5), (LIVE, 2, 2)])
def test_presets_are_as_small_as_they_say(config, gflop, megabytes, tmp_path):
    model = BuiltinVToonify(["mine"], ["own"], config).eval()
    x, one = torch.zeros(1, 3, 256, 256), torch.ones(1, 1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x, torch.zeros(1).long(), None, one, 96 * one)
    assert counter.get_total_flops() / 1e9 <= gflop
    save_checkpoint(tmp_path / "m.safetensors", model, {})
    assert (tmp_path / "m.safetensors").stat().st_size / 1e6 <= megabytes
    assert load_checkpoint(tmp_path / "m.safetensors").config == config


def test_a_model_of_other_widths_gives_the_part_that_sees_the_face(faces, tiny_model):
    lesson = lesson_by(lambda image, face: image, faces, "init", "1")
    teacher = PairTeacher(faces, {"mine": lesson.taught}, 64)
    other = load_checkpoint(tiny_model).model
    same = build_student(TINY, teacher, 0, other)
    assert torch.equal(same.net.state_dict()["encoder.0.0.weight"], other.net.state_dict()["encoder.0.0.weight"])
    model = build_student(LIVE, teacher, 0, other)
    x, eyes = torch.zeros(1, 3, 64 // POOL, 64 // POOL), torch.full((1, 1), 64.0)
    assert torch.equal(model.face(x, eyes)[1], other.face(x, eyes)[1])


@pytest.fixture
def tiny_preset(monkeypatch):
    monkeypatch.setitem(students.PRESETS, "live", TINY)


def test_the_command_teaches_reports_and_goes_on(command, photos, tiny_model, tiny_preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = ["distill", "--teacher", tiny_model, "--teacher_style", "comic", "--faces", photos, "--style", "mine"]
    args += ["--preset", "live", "--init", "none", "--batch", 2, "--size", 64, "--perc_loss", 0, "--device", "cpu"]
    ended = command(*args, "--iter", 3)
    assert ended.code == 0, ended.err
    assert "GFLOP" in ended.out and "identity" in ended.out
    report = json.loads((tmp_path / "runs/mine/report.json").read_text())
    assert report["seen"] and 0 < report["l1"] < 255 and report["fps"] > 0 and report["gflop"] > 0
    assert (tmp_path / "runs/mine/sheet.png").is_file()
    checkpoint = load_checkpoint(tmp_path / "runs/mine/mine.safetensors")
    assert [style.name for style in checkpoint.bank.styles] == ["mine"]
    assert checkpoint.provenance["teacher"] == tiny_model.name
    ended = command("stylize", photos / "0.png", "-o", tmp_path / "out.png", "--ckpt", "runs/mine/mine.safetensors")
    assert ended.code == 0 and (tmp_path / "out.png").is_file()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "--teacher CKPT"),
        (["--teacher", "MODEL"], "--faces FOLDER"),
        (["--teacher", "MODEL", "--faces", "missing"], "missing: not a folder"),
        (["--teacher", "missing.pt", "--faces", "."], "missing.pt: no such"),
        (["--teacher", "MODEL", "--faces", ".", "--style", "7"], "not a number"),
        (["--teacher", "MODEL", "--faces", ".", "--size", "70"], "multiple of 8"),
        (["--teacher", "MODEL", "--faces", ".", "--iter", "0"], "iter is 0"),
        (["--teacher", "MODEL", "--faces", ".", "--teacher_style", "nobody"], "does not exist"),
        (["--teacher", "MODEL", "--faces", "."], "no picture"),
    ],
)
def test_bad_input_is_one_line(command, tiny_model, tmp_path, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    ended = command("distill", *(str(tiny_model) if arg == "MODEL" else arg for arg in args))
    assert ended.code == 1 and said in ended.line


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """A generator of faces and a blended one."""
    root = tmp_path_factory.mktemp("generators")
    for seed, name in enumerate(("base", "toon")):
        torch.manual_seed(seed)
        torch.save({"g_ema": Generator(32, 12, 2, dict.fromkeys((4, 8, 16, 32), 8)).state_dict()}, root / f"{name}.pt")
    return root


def test_a_blended_generator_is_a_teacher(generators, faces):
    paint = painter(generators / "toon.pt", Inversion(generators / "base.pt", search=2), None, None, "cpu")
    photo, face = np.array(faces.photos[0]), Landmarks(faces.landmarks[0].astype(np.float64))
    drawn = paint(photo, face)
    assert (
        drawn.shape == photo.shape and np.abs(drawn[200:300, 200:300].astype(int) - photo[200:300, 200:300]).mean() > 5
    )
    assert is_generator(generators / "toon.pt") and not is_generator(generators / "missing.pt")
    with pytest.raises(VtoonError, match="--base FILE"):
        painter(generators / "toon.pt", Inversion(), None, None, "cpu")


def test_a_published_dualstylegan_teaches_to_the_end(command, photos, tiny_preset, tmp_path, monkeypatch):
    monkeypatch.chdir(save_files(tmp_path))
    args = [
        "distill",
        "--teacher",
        "checkpoint/cartoon/generator.pt",
        "--faces",
        photos,
        "--style",
        "mine",
        "--search",
        2,
    ]
    args += ["--preset", "live", "--init", "none", "--batch", 2, "--size", 64, "--perc_loss", 0, "--device", "cpu"]
    ended = command(*args, "--teacher_style", 2, "--style_degree", 0.5, "--iter", 1)
    assert ended.code == 0, ended.err
    assert "photo, teacher, student" in ended.out and (tmp_path / "runs/mine/mine.safetensors").is_file()
    ended = command(*args, "--teacher_style", 3)
    assert (
        ended.code == 1
        and "--teacher_style 3: checkpoint/cartoon/refined_exstyle_code.npy has styles 0 to 2" in ended.line
    )


def test_a_teacher_that_knows_how_it_reshapes_tells_it(faces, tiny_model):
    model = load_checkpoint(tiny_model).model
    with torch.no_grad():
        model.face.fields.weight.normal_(0, 0.02)
    painter = BuiltinPainter(model, Style(0, "cartoon", "cartoon", "own"), 1.0, False, torch.device("cpu"))
    drawn = []

    def paint(image, face):
        drawn.append(face)
        return image

    lesson = lesson_by(paint, faces, "told", "1", shaping=painter)
    assert len(drawn) == len(lesson.held_out) and lesson.taught.exact and lesson.reshapes > 0.005
    photo, face = np.array(faces.photos[0]), Landmarks(faces.landmarks[0].astype(np.float64))
    assert np.allclose(lesson.taught.offsets[0], painter.reshaping(photo, face), atol=0.05)
    assert np.array_equal(lesson.taught.sheets[0], painter.unshaped(photo, face))
    whole = model(to_tensor(photo), torch.zeros(1).long(), None, torch.ones(1, 1), torch.tensor([[face.eye_distance]]))
    assert not np.array_equal(to_uint8(whole)[0], lesson.taught.sheets[0])
