from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from face_samples import FACE_AT, face_at, portrait, scenery

from vtoon.faces.detect import QUICK, THOROUGH, WIDE, FaceDetector
from vtoon.faces.landmarks import CHIP, FACE, FacePose, cut_chip, fit_landmarks, plausible, transform
from vtoon.types import Landmarks


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def resized(image: np.ndarray, scale: float) -> np.ndarray:
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


@pytest.mark.parametrize("effort", [QUICK, WIDE, THOROUGH])
def test_one_face_is_found_once(detector, effort):
    (face,) = detector.detect(portrait(), effort)
    assert np.hypot(*(face.points.mean(0) - FACE_AT)) < 3
    assert face.eye_distance == pytest.approx(43.4, abs=2)


def test_threads_do_not_disturb_each_other(detector):
    pictures = [np.roll(portrait(), shift, 1) for shift in range(0, 40, 5)]
    alone = [detector.detect(picture, QUICK) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda picture: detector.detect(picture, QUICK), pictures))
    for (a,), (b,) in zip(alone, together, strict=True):
        assert np.array_equal(a.points, b.points)


@pytest.mark.parametrize("scale", [0.2, 0.5, 4.0])
def test_small_and_huge_frames(detector, scale):
    (face,) = detector.detect(resized(portrait(), scale))
    assert face.eye_distance == pytest.approx(43.4 * scale, rel=0.06)


@pytest.mark.parametrize("angle", [-45, -30, 30])
def test_tilted_heads(detector, angle):
    matrix = cv2.getRotationMatrix2D(FACE_AT, angle, 1.0)
    matrix[:, 2] += 60
    (face,) = detector.detect(cv2.warpAffine(portrait(), matrix, (512, 512)))
    expected = matrix @ (*FACE_AT, 1)
    assert np.hypot(*(face.points.mean(0) - expected)) < 4


def test_every_face_is_found_the_biggest_first(detector):
    small = np.zeros_like(portrait())
    small[:307, :307] = resized(portrait(), 0.6)[:, ::-1]
    faces = detector.detect(np.hstack([small, portrait()]), WIDE)
    assert len(faces) == 2 and faces[0].eye_distance > 1.4 * faces[1].eye_distance


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (64, 64), (200, 7)])
def test_pictures_of_any_size_without_a_face(detector, size):
    assert detector.detect(scenery(1, size)) == []


def test_a_known_face_is_recognised_in_its_chip_and_nothing_else_is(detector):
    gray = cv2.cvtColor(portrait(), cv2.COLOR_RGB2GRAY)
    (face,) = detector.detect(portrait(), QUICK)
    pose = FacePose.of(face.points)
    assert detector.recognises(cut_chip(gray, pose))
    assert not detector.recognises(cut_chip(gray, FacePose(400, 400, pose.side)))


def test_the_three_starts_agree_on_a_face_only(detector):
    gray = cv2.cvtColor(portrait(), cv2.COLOR_RGB2GRAY)
    (face,) = detector.detect(portrait(), QUICK)
    pose = FacePose.of(face.points)
    assert fit_landmarks(gray, pose).spread < 0.03
    assert fit_landmarks(gray, FacePose(380, 380, pose.side)).spread > 0.05


@pytest.mark.parametrize("pose", [FacePose(100, 80, 90, 0.4), FacePose(300, 300, 700, -0.2)])
def test_a_chip_shows_the_face_upright_at_its_size(pose):
    corners = transform(pose.to_chip, np.array([[pose.x, pose.y], [pose.x + pose.side, pose.y]]))
    assert corners[0] == pytest.approx([(CHIP - 1) / 2] * 2)
    assert np.hypot(*(corners[1] - corners[0])) == pytest.approx(FACE)
    image = cv2.GaussianBlur(portrait(), (0, 0), 5)
    direct = cv2.warpAffine(image, pose.to_chip, (CHIP, CHIP))
    assert np.abs(cut_chip(image, pose).astype(int) - direct)[8:-8, 8:-8].mean() < 3


def test_shapes_that_are_no_face_are_refused():
    face = face_at(200, 200, 60)
    assert plausible(face.points)
    assert not plausible(face.points * (-1, 1))  # eyes in the wrong order
    assert not plausible(face.points * (1, -1))  # upside down
    assert not plausible(face.points * (1, 0.1))  # flat
    assert not plausible(face.moved(0.05).points)  # tiny
    assert not plausible(Landmarks(np.zeros((68, 2))).points)
