"""Reshaping: what a drawing does to the shape of a face, as one smooth backward map that grows with the degree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtoon.faces.frame import FaceFrame
from vtoon.faces.traits import exaggeration
from vtoon.types import Landmarks


@dataclass(frozen=True)
class Shape:
    """How far each part is reshaped at degree 1, as a fraction of its size; negative is smaller."""

    eyes: float = 0.0  # 0.3: the middle of the eye is shown 1 / (1 - 0.3) times as large
    nose: float = 0.0
    mouth: float = 0.0
    jaw: float = 0.0  # negative: slimmer below the mouth
    chin: float = 0.0  # negative: shorter
    cheeks: float = 0.0  # positive: rounder
    nostrils: float = 0.0  # negative: a narrower nose, as long as before
    head: float = 0.0  # positive: the whole face larger
    traits: float = 0.0  # 0.8: 1.8 times as far from the mean face; with it head and eyes a little larger


SHAPES = {
    "toon3d": Shape(eyes=0.47, nose=-0.18, nostrils=-0.26, mouth=-0.11, jaw=-0.34, chin=-0.18, cheeks=0.12, head=0.07),
    "cartoon": Shape(eyes=0.234, nose=-0.083, mouth=0.021, jaw=-0.138, chin=-0.069),
    "comic": Shape(eyes=0.12, jaw=0.06, chin=0.06),
    "anime": Shape(eyes=0.38, nose=-0.22, mouth=-0.10, jaw=-0.22, chin=-0.10),
    "clay": Shape(eyes=0.30, nose=0.08, jaw=-0.05, chin=-0.12, cheeks=0.13),
    "watercolour": Shape(eyes=0.10, jaw=-0.05),
    "poster": Shape(),
    "pencil": Shape(eyes=0.08, jaw=-0.04),
    "oil": Shape(),
    "charcoal": Shape(eyes=-0.06, nose=0.10, jaw=0.08, chin=0.08),
    "caricature": Shape(traits=0.90),
}


def warp_offsets(look: str, landmarks: Landmarks, shape: tuple[int, int], degree: float) -> np.ndarray:
    """Backward-map offsets (dx, dy) px, float32 [h, w, 2]: `cv2.remap(image, x + dx, y + dy)` reshapes the face.

    Linear in `degree`, free of folds for degrees in [0, 1], zero beyond 1.55 eye distances from the face centre.
    """
    amount = SHAPES[look]
    frame = FaceFrame.of(landmarks)
    u, v = frame.coordinates(shape)
    du, dv = np.zeros_like(u), np.zeros_like(v)
    for du_part, dv_part in _parts(amount, frame, u, v):
        du += du_part
        dv += dv_part
    return frame.offsets(du, dv, u, v) * np.float32(degree)


def _parts(amount: Shape, frame: FaceFrame, u: np.ndarray, v: np.ndarray):
    """Yield (du, dv) of every reshaped part, in eye distances."""
    points = frame.points
    bulges = [
        (amount.eyes, points[36:42].mean(0), 0.36),
        (amount.eyes, points[42:48].mean(0), 0.36),
        (amount.nose, points[30:36].mean(0), 0.30),
        (amount.mouth, points[48:60].mean(0), 0.45),
        (amount.cheeks, points[[2, 3, 31, 48]].mean(0), 0.50),
        (amount.cheeks, points[[14, 13, 35, 54]].mean(0), 0.50),
    ]
    for strength, centre, radius in bulges:
        if strength:
            cu, cv = frame.to_face(centre)
            bell = strength * np.exp(-((u - cu) ** 2 + (v - cv) ** 2) / radius**2)
            yield -(u - cu) * bell, -(v - cv) * bell
    if amount.nostrils:
        cu, cv = frame.to_face(points[30:36].mean(0))
        bell = np.exp(-(((u - cu) / 0.34) ** 2) - ((v - cv) / 0.26) ** 2)
        yield -amount.nostrils * (u - cu) * bell, np.zeros_like(v)
    if amount.head:
        cu, cv = frame.to_face(frame.centre)
        bell = amount.head * np.exp(-((u - cu) ** 2 + (v - cv) ** 2) / 1.1**2)
        yield -(u - cu) * bell, -(v - cv) * bell
    if amount.traits:
        yield exaggeration(frame.in_face, amount.traits, u, v)
    if amount.jaw or amount.chin:
        yield _lower_face(amount, frame, u, v)


def _lower_face(amount: Shape, frame: FaceFrame, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw the jaw toward the line from nose to chin, and the chin toward the mouth."""
    nose, chin, mouth = (frame.to_face(frame.points[i]) for i in (33, 8, 57))
    slope = (chin[0] - nose[0]) / max(chin[1] - nose[1], 0.2)
    side = u - (nose[0] + (v - nose[1]) * slope)
    jaw_v = (mouth[1] + chin[1]) / 2
    band = np.exp(-(((v - jaw_v) / 0.48) ** 2) - (side / 1.0) ** 2)
    lift = np.exp(-(((v - chin[1]) / 0.38) ** 2) - (side / 0.8) ** 2) * (chin[1] - mouth[1])
    return -amount.jaw * side * band, -amount.chin * 1.3 * lift
