"""Pairs of photos and drawings as a look: matched by name, brought onto each other, bad ones left out."""

import cv2
import numpy as np
import pytest
from skimage import data

from vtoon.cli.distillation import Distillation
from vtoon.cli.train import Train, train
from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector
from vtoon.image import save_image
from vtoon.train.paired import onto, prepare_pairs
from vtoon.train.pairs import SHEET_EYES, relit
from vtoon.train.teacher import PairTeacher
from vtoon.types import Landmarks


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The astronaut and her 'drawing', a paler copy shifted by (5, -4) px; a pair without a face; a photo alone."""
    root = tmp_path_factory.mktemp("pairs")
    photo = cv2.resize(data.astronaut()[:256, 96:352], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    move = np.float32([[1, 0, 5], [0, 1, -4]])
    drawing = cv2.warpAffine(photo // 2 + 100, move, photo.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
    for folder in ("photos", "drawings"):
        (root / folder).mkdir()
        save_image(root / folder / "none.png", np.full((320, 320, 3), 90, np.uint8))
    save_image(root / "photos" / "a.jpg", photo)
    save_image(root / "drawings" / "a.png", drawing)
    save_image(root / "photos" / "alone.png", photo)
    return root


def test_a_drawing_is_brought_onto_its_photo(folders):
    drawings = prepare_pairs(folders / "photos", folders / "drawings", folders / "cache")
    assert len(drawings.faces) == len(drawings.sheets) == 1 and not drawings.offsets.any()
    eyes = Landmarks(drawings.faces.landmarks[0].astype(float)).eye_distance
    assert eyes == pytest.approx(SHEET_EYES, rel=1e-3)
    y, x = (int(v) for v in drawings.faces.landmarks[0].mean(0)[::-1])
    middle = np.s_[y - 90 : y + 90, x - 90 : x + 90]
    photo, drawing = (a[0][middle].astype(np.float32).ravel() for a in (drawings.faces.photos, drawings.sheets))
    shifted = np.roll(drawings.sheets[0], (-4, 5), (0, 1))[middle].astype(np.float32).ravel()
    aligned, before = (np.corrcoef(photo, d)[0, 1] for d in (drawing, shifted))
    assert aligned > 0.98 and aligned > before + 0.02


def test_prepared_once(folders, monkeypatch):
    prepare_pairs(folders / "photos", folders / "drawings", folders / "cache")
    monkeypatch.setattr(FaceDetector, "detect", lambda *_: pytest.fail("looked for faces again"))
    assert len(prepare_pairs(folders / "photos", folders / "drawings", folders / "cache").faces) == 1


def test_a_look_of_pictures_has_faces_of_its_own(folders):
    drawings = prepare_pairs(folders / "photos", folders / "drawings", folders / "cache")
    teacher = PairTeacher(drawings.faces, {"mine": drawings}, size=64)
    pair = teacher.pair(np.random.default_rng(0))
    assert pair.photo.shape == pair.drawing.shape == (64, 64, 3) and pair.tones.shape == (7,) and not pair.exact
    assert not teacher.face_sample(np.random.default_rng(0)).fields.any()


def test_thin_plates_move_the_landmarks_and_leave_the_border():
    rng = np.random.default_rng(0)
    here = Landmarks(rng.uniform(100, 200, (68, 2)))
    canvas = rng.integers(0, 255, (300, 300, 3), dtype=np.uint8)
    same = onto(canvas, here, here)
    assert np.abs(same.astype(int) - canvas).max() <= 1
    moved = onto(cv2.GaussianBlur(canvas, (0, 0), 6), here.moved(1, (6, 0)), here)
    wanted = np.roll(cv2.GaussianBlur(canvas, (0, 0), 6), -6, 1)
    assert np.abs(moved[120:180, 120:180].astype(int) - wanted[120:180, 120:180]).mean() < 2
    assert np.abs(moved[:2, :2].astype(int) - cv2.GaussianBlur(canvas, (0, 0), 6)[:2, :2]).mean() < 4


def test_another_light_keeps_the_picture():
    photo = data.astronaut()[:256, :256]
    for seed in range(4):
        other = relit(np.random.default_rng(seed), photo)
        assert other.shape == photo.shape and other.dtype == np.uint8
        ranks = [
            np.argsort(np.argsort(cv2.resize(i, (16, 16), interpolation=cv2.INTER_AREA)[..., 1].ravel()))
            for i in (photo, other)
        ]
        assert np.corrcoef(*ranks)[0, 1] > 0.8
        assert np.abs(other.astype(int) - photo).mean() > 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mine", "name=folder of photos,folder of drawings"),
        ("mine=a", "name=folder of photos,folder of drawings"),
        ("poster=.,.", "there is a look poster already"),
        ("mine=missing,.", "missing is not a folder"),
        ("mine=EMPTY,EMPTY", "no two pictures of one name"),
        ("mine=NOTHING,NOTHING", "in none of 1 pairs"),
    ],
)
def test_bad_pairs_are_one_line(text, said, folders, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing").mkdir()
    save_image(tmp_path / "nothing" / "none.png", np.full((320, 320, 3), 90, np.uint8))
    text = text.replace("EMPTY", str(tmp_path / "empty")).replace("NOTHING", str(tmp_path / "nothing"))
    how = Distillation(device="cpu")
    with pytest.raises(VtoonError, match=said) as error:
        train(Train(faces=[folders / "photos"], pairs=[text], looks=["poster"], runs=tmp_path, learning=how))
    assert "\n" not in str(error.value)
