"""Skin told from hair by colour, texture and place; brows; the whole head of hair. Soft masks float32 [H, W]."""

from __future__ import annotations

import cv2
import numpy as np

from vtoon.painters.eye_shapes import ribbon
from vtoon.train.looks.regions import Face
from vtoon.train.looks.tone import blur, smoothstep


def skin_of(face: Face, lab: np.ndarray) -> np.ndarray:
    """Face, ears, neck and shoulders without hair, brows, eyes and lips.

    Inside the face, place says that it is skin and only a plain difference in tone (beard, fringe) says no; around it
    the colour has to be skin's and the texture smooth: ginger and blond hair have the colour but not the calm.
    """
    unit, light = face.unit, lab[..., 0]
    core = inner_face(face)
    level, colour = _mean_skin(lab, core)
    calm = blur(lab, 2.5 * unit)
    offset = calm[..., 1:] - colour
    hue = np.exp(-0.5 * ((offset[..., 0] / 0.075) ** 2 + (offset[..., 1] / 0.095) ** 2))
    depth = np.exp(-0.5 * (np.minimum(calm[..., 0] - level, 0) / max(0.45 * level, 0.1)) ** 2)
    fine = light - blur(light, 3.0 * unit)
    texture = np.sqrt(np.maximum(blur(fine * fine, 5 * unit), 0)) / (0.35 + level)
    smooth = 1 - smoothstep(texture, 0.020, 0.050)
    around = smoothstep(hue * depth, 0.15, 0.5) * smooth * face.near
    inside = smoothstep(hue * depth, 0.02, 0.22) * (0.35 + 0.65 * np.maximum(smooth, core))
    mask = around + (inside - around) * blur(np.maximum(core, 0.8 * face.oval), 3 * unit)
    drawn = np.clip(face.eyes + face.mouth + face.lips + 0.75 * brow_mask(face), 0, 1)
    return blur(np.clip(mask, 0, 1), 2.5 * unit) * (1 - drawn)


def inner_face(face: Face) -> np.ndarray:
    """Cheeks, nose, lower forehead and chin: skin in nearly every face."""
    points, size = face.landmarks.points, face.landmarks.eye_distance
    middle = points[27:31].mean(0)
    jaw = middle + (points[1:16] - middle) * 0.88
    brow = points[17:27] + face.up * size * 0.12
    hull = cv2.convexHull(np.vstack([jaw, middle + (brow - middle) * 0.95]).astype(np.float32))[:, 0]
    return face._polygons([hull], feather=9.0)


def brow_mask(face: Face) -> np.ndarray:
    """The brows and the skin close to them."""
    points = face.landmarks.points
    bands = [ribbon(points[part], face.up, 8 * face.unit) for part in (slice(17, 22), slice(22, 27))]
    return face._polygons(bands, feather=5.0)


def mane(face: Face) -> np.ndarray:
    """Where hair may hang: round the head and down to the chest, fading out."""
    height, width = face.image.shape[:2]
    centre, size = face.landmarks.points[27:31].mean(0), face.landmarks.eye_distance
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (x - np.float32(centre[0])) / size, (y - np.float32(centre[1])) / size
    down = -(x * face.up[0] + y * face.up[1])
    far = np.sqrt(np.maximum(x * x + y * y - 0.6 * np.maximum(down, 0) ** 2, 0))
    return 1 - smoothstep(far, 1.9, 2.9).astype(np.float32)


def _mean_skin(lab: np.ndarray, core: np.ndarray) -> tuple[float, np.ndarray]:
    """L and [2] a, b of the inner face; its dark and coloured parts (eyes, lips) count little."""
    total = float(core.sum()) + 1e-3
    rough = max(float((lab[..., 0] * core).sum()) / total, 0.02)
    weight = core * (0.02 + smoothstep(lab[..., 0], 0.7 * rough, 1.1 * rough))
    total = float(weight.sum()) + 1e-3
    level, a, b = (float((lab[..., i] * weight).sum()) / total for i in range(3))
    return level, np.float32([a, b])
