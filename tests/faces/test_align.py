from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_samples import DATA, face_at, portrait, published_cases, published_landmarks

from vtoon.errors import VtoonError
from vtoon.faces import align_face, align_matrix
from vtoon.types import Landmarks


def pattern(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = 127.5 + 127.5 * np.sin(x / 17) * np.cos(y / 23)
    return np.stack([x * 255 / (width - 1), y * 255 / (height - 1), waves], 2).round().astype(np.uint8)


@pytest.mark.parametrize("case", range(len(published_cases())))
def test_alignment_matches_the_reference(case):
    expected = np.load(DATA / "face_align.npz")[f"aligned_{case}"].astype(int)  # every 4th row and column
    numbers = published_cases()[case]
    image = pattern(numbers["image_height"], numbers["image_width"])
    aligned = align_face(image, published_landmarks(case))
    assert aligned.shape == (256, 256, 3) and aligned.dtype == np.uint8
    assert np.abs(aligned[::4, ::4] - expected).mean() < 0.5


@pytest.mark.parametrize("size", [64, 256])
def test_the_matrix_makes_the_same_picture(size):
    image, face = cv2.GaussianBlur(portrait(), (0, 0), 3), face_at(220, 200, 45)
    warped = cv2.warpAffine(image, align_matrix(face, size), (size, size), flags=cv2.INTER_LINEAR)
    assert np.abs(warped.astype(int) - align_face(image, face, size)).mean() < 2


def test_the_eyes_come_to_their_place_whatever_the_size_and_place():
    for face in (face_at(300, 200, 40), face_at(900, 700, 250)):
        matrix = align_matrix(face)
        left, right = Landmarks(face.points @ matrix[:, :2].T + matrix[:, 2]).eyes
        assert left[1] == pytest.approx(right[1], abs=8) and 100 < left[1] < 140
        assert (left[0] + right[0]) / 2 == pytest.approx(128, abs=3)


@pytest.mark.parametrize("face", [face_at(5, 5, 60), face_at(500, 505, 200), face_at(-80, 40, 90), face_at(30, 3, 2)])
def test_a_face_beyond_the_frame_is_mirrored_in(face):
    assert align_face(portrait(), face, 128).shape == (128, 128, 3)


def test_points_in_one_place_are_refused():
    with pytest.raises(VtoonError, match="one place"):
        align_face(portrait(), Landmarks(np.full((68, 2), 50.0)))
