"""Faces for tests: one real portrait (public domain), its published landmarks, synthetic landmarks and clips."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from skimage.data import astronaut

from vtoon.types import Frame, Landmarks

DATA = Path(__file__).parents[1] / "data"
FACE_AT = (223.8, 127.4)  # where the astronaut's landmarks have their mean


@lru_cache(maxsize=1)
def published_cases() -> list[dict]:
    return json.loads((DATA / "face_crops.json").read_text())


def published_landmarks(case: int = 0) -> Landmarks:
    return Landmarks(np.array(published_cases()[case]["landmarks_xy"], np.float64))


def face_at(x: float, y: float, eye_distance: float) -> Landmarks:
    """A frontal face whose eyes have their middle at (x, y)."""
    face = published_landmarks()
    middle = (face.eyes[0] + face.eyes[1]) / 2
    scale = eye_distance / face.eye_distance
    return Landmarks((face.points - middle) * scale + (x, y))


def portrait() -> np.ndarray:
    return astronaut()


def shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """The image moved by (dx, dy) px, also by fractions of one."""
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def clip(images: Iterable[np.ndarray], rate: int = 25):
    """Frames at `rate` a second."""
    for number, image in enumerate(images):
        yield Frame(image, number, Fraction(1, rate))


def scenery(seed: int, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """A smooth colourful picture without a face."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
