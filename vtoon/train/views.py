"""One training sample: a random view of a face sheet and of its drawing."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtoon.train.pairs import OFFSET_GRID, SHEET, SHEET_EYES
from vtoon.types import LEFT_EYE, RIGHT_EYE

EYES = slice(RIGHT_EYE.start, LEFT_EYE.stop)  # landmarks of both: what a face is known by, and the hardest to draw


@dataclass(frozen=True)
class View:
    """Where a crop of `size` px lies on a sheet."""

    size: int
    eye_distance: float  # px in the crop
    roll: float  # radians
    centre: tuple[float, float]  # sheet px

    def shrunk(self, factor: int) -> View:
        """The same view with `factor` times fewer pixels a side."""
        return View(self.size // factor, self.eye_distance / factor, self.roll, self.centre)

    def sheet_map(self) -> np.ndarray:
        """Sheet coordinates of every pixel of the crop, float32 [size, size, 2]."""
        scale = SHEET_EYES / self.eye_distance
        y, x = (np.mgrid[: self.size, : self.size].astype(np.float32) - (self.size - 1) / 2) * scale
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.stack([c * x - s * y + self.centre[0], s * x + c * y + self.centre[1]], -1).astype(np.float32)


def face_view(rng: np.random.Generator, landmarks: np.ndarray, size: int, eye_distance: float) -> View:
    """A view of the whole face, as the crop of inference sees it."""
    centre = landmarks.mean(0) + rng.normal(0, SHEET_EYES * 0.25, 2)
    return View(size, eye_distance, float(np.deg2rad(rng.normal(0, 8))), (float(centre[0]), float(centre[1])))


def random_view(
    rng: np.random.Generator, landmarks: np.ndarray, size: int, eye_distance: float, sheet: int = SHEET
) -> View:
    """Three of four views look at the face, most of them at an eye, the rest anywhere: hair, shoulders, background."""
    if (where := rng.random()) < 0.75:
        near = landmarks[EYES] if where < 0.45 else landmarks
        centre = near[rng.integers(len(near))] + rng.normal(0, SHEET_EYES * 0.3, 2)
    else:
        centre = rng.uniform(sheet * 0.1, sheet * 0.9, 2)
    roll = np.deg2rad(rng.normal(0, 10) if rng.random() < 0.7 else 0.0)
    return View(size, eye_distance, float(roll), (float(centre[0]), float(centre[1])))


def look_at(sheet: np.ndarray, points: np.ndarray, eye_distance: float) -> np.ndarray:
    """Sample a uint8 sheet at sheet coordinates [h, w, 2]; halved first while the view shrinks it, against aliasing."""
    eyes = SHEET_EYES
    while eye_distance < eyes * 0.7:
        sheet = cv2.resize(sheet, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        points, eyes = (points - 0.5) / 2, eyes / 2
    return cv2.remap(sheet, points, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def offsets_at(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """A look's offsets [OFFSET_GRID, OFFSET_GRID, 2] at sheet coordinates [h, w, 2]: sheet px, float32 [h, w, 2]."""
    cell = SHEET / OFFSET_GRID
    grid = (points + 0.5) / cell - 0.5
    return cv2.remap(offsets.astype(np.float32), grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def parts_at(parts: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Masks [h, w, C] that cover a sheet, at sheet coordinates."""
    scale = parts.shape[0] / SHEET
    return cv2.remap(parts, (points + 0.5) * scale - 0.5, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def light(rng: np.random.Generator) -> np.ndarray:
    """A random exposure and contrast as a lookup table uint8 [256]."""
    x = np.linspace(0, 1, 256)
    gamma, gain = np.exp(rng.normal(0, 0.15)), np.exp(rng.normal(0, 0.06))
    return np.clip(255 * gain * x**gamma, 0, 255).astype(np.uint8)


def degrade(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """What cameras, codecs and distance do to the input: blur, noise, JPEG blocks, one time in three enlarged.

    A small face is enlarged before it is drawn (`vtoon.faces.crop_face`); its drawing has sharp lines all the same.
    """
    size = image.shape[1::-1]
    if rng.random() < 0.33:
        factor = rng.uniform(1.3, 3.0)
        image = cv2.resize(image, [max(8, round(n / factor)) for n in size], interpolation=cv2.INTER_AREA)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(1, 6), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        quality = int(rng.integers(40, 95))
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) if image.shape[1::-1] != size else image
