"""Finding faces in one picture: dlib HOG first, at more scales and angles if need be, MMOD as the last resort.

Sources: dlib's frontal face detector (Dalal and Triggs, Histograms of Oriented Gradients, CVPR 2005) and its CNN
(King, Max-Margin Object Detection, arXiv 1502.00046).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vtoon.faces.landmarks import CHIP, FACE, FacePose, Fit, fit_landmarks, model_file, plausible
from vtoon.types import Landmarks

if TYPE_CHECKING:
    import dlib

# How hard to look. QUICK: 15 ms a frame. WIDE: smaller faces too, 80 ms. THOROUGH: if none is found also tilted heads
# and the CNN, about a second.
QUICK, WIDE, THOROUGH = 0, 1, 2

QUICK_SIDE, WIDE_SIDE, MMOD_SIDE = 640, 1280, 320  # px, long side of the picture that is searched
MAX_ENLARGEMENT = 4.0  # HOG's window is 80 px: faces of 20 px are the smallest found
MMOD_LEAST = 64  # px, its filters need a picture at least this large
TILTS = (-35.0, 35.0)  # degrees; HOG itself copes with about 20
SAME_FACE = 0.3  # overlap (IoU) of two boxes of one face
DOUBTFUL_SPREAD, MAX_SPREAD = 0.03, 0.06  # eye distances: see Fit.spread
RECHECK_THRESHOLD = -0.4  # HOG score that keeps a known face (a new one needs 0)

_idle: list[dlib.fhog_object_detector] = []


def _hog(picture: np.ndarray, threshold: float) -> Iterable[dlib.rectangle]:
    """Boxes of at least this score. A detector keeps buffers while it runs and takes a quarter of a second to make:
    there are as many as have run at once, and each is used again."""
    try:
        detector = _idle.pop()
    except IndexError:
        import dlib

        detector = dlib.get_frontal_face_detector()
    try:
        return detector.run(picture, 0, threshold)[0]
    finally:
        _idle.append(detector)


@lru_cache(maxsize=1)
def _mmod() -> dlib.cnn_face_detection_model_v1:
    import dlib

    return dlib.cnn_face_detection_model_v1(model_file("mmod_human_face_detector.dat"))


class FaceDetector:
    """Finds every face of a picture and its 68 landmarks."""

    def detect(self, image: np.ndarray, effort: int = THOROUGH) -> list[Landmarks]:
        """Every face of a uint8 [H, W, 3] RGB picture, biggest first; an empty list where there is none."""
        found = [self.landmarks(image, pose) for pose in self.find(image, effort)]
        kept = [face for face in found if face is not None]
        return sorted(kept, key=lambda face: -FacePose.of(face.points).side)

    def find(self, image: np.ndarray, effort: int = THOROUGH) -> list[FacePose]:
        """Boxes of faces in a uint8 [H, W(, 3)] picture, without landmarks, biggest first."""
        found = self._scan(image, QUICK_SIDE)
        if effort >= WIDE:
            found = _merge(found + self._scan(image, WIDE_SIDE))
        if effort >= THOROUGH and not found:
            found = self.tilted(image) or self.deep(image)
        return sorted(found, key=lambda pose: -pose.side)

    def landmarks(self, image: np.ndarray, pose: FacePose) -> Landmarks | None:
        """The 68 points of the face at `pose`; None: no face there. A doubtful fit is tried again from a tilt."""
        gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        best = _settled(gray, pose)
        if best.spread > DOUBTFUL_SPREAD:
            tilts = (replace(pose, angle=pose.angle + np.deg2rad(tilt)) for tilt in TILTS)
            best = min([best, *(_settled(gray, tilted) for tilted in tilts)], key=lambda fit: fit.spread)
        return Landmarks(best.points) if best.spread < MAX_SPREAD and plausible(best.points) else None

    def recognises(self, chip: np.ndarray) -> bool:
        """Whether HOG sees a face of the right size in the middle of a uint8 [CHIP, CHIP] chip."""
        boxes = _hog(chip, RECHECK_THRESHOLD)
        middle = FacePose(CHIP / 2, CHIP / 2, FACE)
        return any(middle.overlap(_pose(box)) > SAME_FACE for box in boxes)

    def _scan(self, image: np.ndarray, side: int, angle: float = 0.0) -> list[FacePose]:
        picture, scale = _resized(image, side)
        turn = cv2.getRotationMatrix2D((picture.shape[1] / 2, picture.shape[0] / 2), angle, 1.0)
        if angle:
            picture = cv2.warpAffine(picture, turn, picture.shape[1::-1])
        back = cv2.invertAffineTransform(turn)
        return [_returned(_pose(box), back, scale, angle) for box in _hog(picture, 0.0)]

    def tilted(self, image: np.ndarray) -> list[FacePose]:
        """Boxes of heads that lie to one side, 40 ms."""
        return _merge([pose for angle in TILTS for pose in self._scan(image, QUICK_SIDE, angle)])

    def deep(self, image: np.ndarray, side: int = MMOD_SIDE) -> list[FacePose]:
        """Boxes that MMOD sees in the picture with a long side of `side` px: half a second at 320, with its square."""
        picture, scale = _resized(image, side)
        if min(picture.shape[:2]) < MMOD_LEAST:
            return []
        picture = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
        back = np.eye(2, 3)
        return _merge([_returned(_pose(found.rect), back, scale, 0.0) for found in _mmod()(picture, 0)])


def _settled(gray: np.ndarray, pose: FacePose) -> Fit:
    """Three looks, each upright by what the last one saw."""
    fit = fit_landmarks(gray, pose)
    for _ in range(2):
        fit = fit_landmarks(gray, FacePose.of(fit.points))
    return fit


def _resized(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """The picture with a long side of `side` px (the quick search never enlarges) and its scale."""
    height, width = image.shape[:2]
    scale = min(side / max(height, width), 1.0 if side == QUICK_SIDE else MAX_ENLARGEMENT)
    if scale == 1.0:
        return np.ascontiguousarray(image), 1.0
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), scale


def _pose(box: dlib.rectangle) -> FacePose:
    return FacePose((box.left() + box.right()) / 2, (box.top() + box.bottom()) / 2, max(box.width(), 1))


def _returned(pose: FacePose, back: np.ndarray, scale: float, angle: float) -> FacePose:
    """A box found in the resized, turned picture, in px of the picture itself."""
    x, y = back @ (pose.x, pose.y, 1.0)
    # OpenCV turns anticlockwise by positive degrees: a face upright after the turn was tilted clockwise before it.
    return FacePose((x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5, pose.side / scale, np.deg2rad(angle))


def _merge(poses: list[FacePose]) -> list[FacePose]:
    """One box a face: of overlapping boxes the first stays."""
    kept: list[FacePose] = []
    for pose in poses:
        if all(pose.overlap(other) < SAME_FACE for other in kept):
            kept.append(pose)
    return kept
