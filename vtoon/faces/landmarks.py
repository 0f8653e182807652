"""68 facial points from dlib's regression trees, always predicted on an upright chip of one size.

Source: Kazemi and Sullivan, One Millisecond Face Alignment with an Ensemble of Regression Trees, CVPR 2014.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vtoon.errors import VtoonError
from vtoon.types import Landmarks

if TYPE_CHECKING:
    import dlib

CHIP = 256  # px, side of the square that prediction, optical flow and re-detection look at
FACE = 128  # px, side of the face's box in the middle of a chip: HOG's window (80 px) fits with room to spare

# A detector's box from 68 points, fitted on portraits: its side and how far above their mean it sits, in RMS radii.
BOX_SIDE, BOX_RISE = 2.8, 0.1

# Three starting boxes (shift x, shift y, zoom, in box sides): on a face the trees end in the same place, elsewhere not.
STARTS = ((0.0, 0.0, 1.0), (0.06, 0.03, 1.07), (-0.05, 0.04, 0.94))
MIN_EYE_DISTANCE = 5.0  # px; below this nothing of a face is left to draw


def model_file(name: str) -> str:
    """Path of a weight file of face_recognition_models, without importing the package (it needs pkg_resources)."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise VtoonError("face_recognition_models is not installed; run: pip install face-recognition-models")
    return str(Path(spec.submodule_search_locations[0]) / "models" / name)


@lru_cache(maxsize=1)
def _trees() -> dlib.shape_predictor:
    """100 MB and 0.8 s to load: once a process; prediction does not change it, so threads may share it."""
    import dlib

    return dlib.shape_predictor(model_file("shape_predictor_68_face_landmarks.dat"))


@dataclass(frozen=True)
class FacePose:
    """A face's box: square, turned by `angle` (radians, clockwise on the screen), in px of the frame."""

    x: float  # centre
    y: float
    side: float
    angle: float = 0.0

    @staticmethod
    def of(points: np.ndarray) -> FacePose:
        """The box a detector would give for these points [68, 2]."""
        centre = points.mean(0)
        radius = float(np.sqrt(((points - centre) ** 2).sum(1).mean()))
        across = points[42:48].mean(0) - points[36:42].mean(0)
        angle = float(np.arctan2(across[1], across[0]))
        up = np.array([np.sin(angle), -np.cos(angle)])
        x, y = centre + BOX_RISE * radius * up
        return FacePose(float(x), float(y), max(BOX_SIDE * radius, 1.0), angle)

    @property
    def to_chip(self) -> np.ndarray:
        """[2, 3] similarity from frame px to chip px."""
        scale = FACE / self.side
        cos, sin = scale * np.cos(self.angle), scale * np.sin(self.angle)
        rotation = np.array([[cos, sin], [-sin, cos]])
        shift = np.full(2, (CHIP - 1) / 2) - rotation @ (self.x, self.y)
        return np.column_stack([rotation, shift])

    def overlap(self, other: FacePose) -> float:
        """Intersection over union of the two boxes, turned upright."""
        reach = (self.side + other.side) / 2
        wide, high = (min(reach - abs(gap), self.side, other.side) for gap in (self.x - other.x, self.y - other.y))
        shared = max(wide, 0.0) * max(high, 0.0)
        return shared / (self.side**2 + other.side**2 - shared)


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N, 2] points through an affine [2, 3] matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def cut_chip(image: np.ndarray, pose: FacePose) -> np.ndarray:
    """The face upright at FACE px in a uint8 [CHIP, CHIP(, 3)] square; black beyond the frame."""
    step = int(pose.side / FACE)
    matrix = pose.to_chip
    if step >= 2:  # bilinear sampling alone would skip source pixels and shimmer
        image, back = _reduced(image, pose, step)
        matrix = np.column_stack([matrix[:, :2] @ back[:, :2], transform(matrix, back[None, :, 2])[0]])
    return cv2.warpAffine(image, matrix, (CHIP, CHIP), flags=cv2.INTER_LINEAR)


def _reduced(image: np.ndarray, pose: FacePose, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The neighbourhood of a chip made `step` times smaller, and the [2, 3] matrix from its px to the frame's."""
    height, width = image.shape[:2]
    reach = pose.side * CHIP / FACE * 0.75  # half a chip, turned by 45 degrees at worst
    left, top = (int(np.clip(c - reach, 0, n - 1)) for c, n in ((pose.x, width), (pose.y, height)))
    right, bottom = (int(np.clip(c + reach, 1, n)) for c, n in ((pose.x, width), (pose.y, height)))
    region = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    high, wide = region.shape[:2]
    size = max(wide // step, 1), max(high // step, 1)
    sx, sy = wide / size[0], high / size[1]
    back = np.array([[sx, 0, left + (sx - 1) / 2], [0, sy, top + (sy - 1) / 2]])
    return cv2.resize(region, size, interpolation=cv2.INTER_AREA), back


@dataclass(frozen=True)
class Fit:
    """Points found near a pose, and how far the prediction can be believed."""

    points: np.ndarray  # float64 [68, 2], px of the frame
    spread: float  # disagreement of the three starts, in eye distances: about 0.01 on a face, 0.1 elsewhere
    pose: FacePose  # where it was looked for
    chip: np.ndarray  # uint8 [CHIP, CHIP], what was looked at


def fit_landmarks(gray: np.ndarray, pose: FacePose) -> Fit:
    """Predict the 68 points of the face at `pose` of a uint8 [H, W] frame: the median of three starts."""
    chip = cut_chip(gray, pose)
    runs = np.stack([_predict(chip, start) for start in STARTS])  # [3, 68, 2]
    points = np.median(runs, 0)
    spread = float(runs.std(0).mean()) / max(Landmarks(points).eye_distance, 1.0)
    return Fit(transform(cv2.invertAffineTransform(pose.to_chip), points), spread, pose, chip)


def _predict(chip: np.ndarray, start: tuple[float, float, float]) -> np.ndarray:
    dx, dy, zoom = start
    half = FACE * zoom / 2
    x, y = CHIP / 2 + dx * FACE, CHIP / 2 + dy * FACE
    import dlib

    box = dlib.rectangle(*(round(v) for v in (x - half, y - half, x + half, y + half)))
    return np.array([(p.x, p.y) for p in _trees()(chip, box).parts()], np.float64)


def plausible(points: np.ndarray) -> bool:
    """Whether [68, 2] points can be a face: eyes in order and above the mouth, no flat or tiny shape."""
    face = Landmarks(points)
    left, right = face.eyes
    across, down = right - left, face.mouth - face.eye_middle
    distance = face.eye_distance
    if distance < MIN_EYE_DISTANCE or across[0] <= 0.2 * distance:  # inverted, or lying on its side
        return False
    height = (across[0] * down[1] - across[1] * down[0]) / distance  # eyes to mouth, at right angles to the eye line
    return 0.4 * distance < height < 3.5 * distance
