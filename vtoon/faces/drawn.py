"""Finding faces where time does not matter, drawn ones too: they are missed more often, so they are looked at twice.

Detectors: those of `FaceDetector`. What else is tried on a picture without a face: tilted heads, its mirror image,
strokes softened, grey with the contrast evened out, a margin round it (a head that fills it), and MMOD at other sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

from vtoon.faces.detect import QUICK, WIDE, FaceDetector
from vtoon.types import MIRRORED, Landmarks

Detector = Literal["auto", "mmod", "hog"]
MMOD_SIDES = (320, 640, 160)  # px, long side; faces of 80 px are what it knows best
MARGIN = 0.25  # of the longer side
SOFT = 1 / 150  # of the width: standard deviation of the blur that merges hatching


def search(detector: FaceDetector, image: np.ndarray, how: Detector = "auto") -> tuple[list[Landmarks], str]:
    """Every face of a uint8 [H, W, 3] picture, the biggest first, and which way found them ("" where none did)."""
    if how == "hog":
        faces = detector.detect(image, WIDE)
        return faces, "hog" * bool(faces)
    if how == "auto":
        if faces := detector.detect(image, WIDE):
            return faces, "hog"
        for name, look in LOOKS.items():
            if faces := look(detector, image):
                return faces, name
    for side in MMOD_SIDES:
        if faces := _fitted(detector, image, detector.deep(image, side)):
            return faces, f"mmod {side} px"
    return [], ""


def mirrored(face: Landmarks, width: int) -> Landmarks:
    """The face in the picture of `width` px as a mirror shows it."""
    points = face.points[list(MIRRORED)].copy()
    points[:, 0] = width - 1 - points[:, 0]
    return Landmarks(points)


def _tilted(detector: FaceDetector, image: np.ndarray) -> list[Landmarks]:
    return _fitted(detector, image, detector.tilted(image))


def _mirror(detector: FaceDetector, image: np.ndarray) -> list[Landmarks]:
    faces = detector.detect(np.ascontiguousarray(image[:, ::-1]), WIDE)
    return [mirrored(face, image.shape[1]) for face in faces]


def _soft(detector: FaceDetector, image: np.ndarray) -> list[Landmarks]:
    return detector.detect(cv2.GaussianBlur(image, (0, 0), max(image.shape[1] * SOFT, 0.5)), WIDE)


def _grey(detector: FaceDetector, image: np.ndarray) -> list[Landmarks]:
    even = cv2.createCLAHE(2.0, (8, 8)).apply(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return detector.detect(cv2.cvtColor(even, cv2.COLOR_GRAY2RGB), QUICK)


def _margin(detector: FaceDetector, image: np.ndarray) -> list[Landmarks]:
    wide = round(max(image.shape[:2]) * MARGIN)
    around = cv2.copyMakeBorder(image, wide, wide, wide, wide, cv2.BORDER_REPLICATE)
    return [face.moved(offset=(-wide, -wide)) for face in detector.detect(around, WIDE)]


def _fitted(detector: FaceDetector, image: np.ndarray, poses: list) -> list[Landmarks]:
    poses = sorted(poses, key=lambda pose: -pose.side)
    found = [detector.landmarks(image, pose) for pose in poses]
    return [face for face in found if face is not None]


LOOKS: dict[str, Callable[[FaceDetector, np.ndarray], list[Landmarks]]] = {
    "hog, tilted": _tilted,
    "hog, mirrored": _mirror,
    "hog, softened": _soft,
    "hog, grey": _grey,
    "hog, with a margin": _margin,
}
