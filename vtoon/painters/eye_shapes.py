"""A face and its eyes as shapes: lids, openings, soft polygons and strokes. Lengths in px."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from vtoon.image import blur
from vtoon.types import Landmarks

UNIT_EYE_DISTANCE = 128.0  # lengths are in units: px of a face whose eyes are this far apart
Box = tuple[slice, slice]  # rows, columns
# The four points of each upper and lower lid, from the nose to the temple.
LIDS = (((39, 38, 37, 36), (39, 40, 41, 36)), ((42, 43, 44, 45), (42, 47, 46, 45)))


@dataclass(frozen=True)
class Portrait:
    """A photo and where its face is."""

    image: np.ndarray  # uint8 [H, W, 3] RGB, or float32 in [0, 1]
    landmarks: Landmarks

    @cached_property
    def unit(self) -> float:
        """Pixels of one unit of length."""
        return self.landmarks.eye_distance / UNIT_EYE_DISTANCE

    @cached_property
    def up(self) -> np.ndarray:
        """[2] unit vector from the mouth to the eyes."""
        vector = self.landmarks.eye_middle - self.landmarks.mouth
        return vector / max(float(np.hypot(*vector)), 1e-6)


@dataclass(frozen=True)
class Eye:
    """One eye and the part of the picture around it."""

    upper: np.ndarray  # float [n, 2] px within the window, along the lid from the nose to the temple
    lower: np.ndarray
    window: tuple[slice, slice]
    size: tuple[int, int]  # h, w of the window
    unit: float
    up: np.ndarray

    @cached_property
    def width(self) -> float:
        return max(float(np.hypot(*(self.upper[-1] - self.upper[0]))), 1.0)

    @cached_property
    def opening(self) -> float:
        """Height over width, the mean of the middle half."""
        n = len(self.upper)
        gaps = self.upper[n // 4 : 3 * n // 4] - self.lower[n // 4 : 3 * n // 4]
        return float(np.hypot(*gaps.T).mean()) / self.width

    @cached_property
    def mask(self) -> np.ndarray:
        """The opening, float32 [h, w]; its border about a unit soft."""
        outline = np.vstack([self.upper + self.up * 1.2 * self.unit, self.lower[::-1] - self.up * 0.6 * self.unit])
        return filled(self.size, [outline], 1.0 * self.unit)

    @cached_property
    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of the window's pixels, float32 [h, w]."""
        return np.meshgrid(*(np.arange(n, dtype=np.float32) for n in self.size[::-1]))


def eyes_of(face: Portrait) -> list[Eye]:
    """Those eyes of a face that lie in the picture."""
    height, width = face.image.shape[:2]
    found = []
    for upper, lower in LIDS:
        both = [_curve(face.landmarks.points[list(lid)]) for lid in (upper, lower)]
        middle = (both[0][0] + both[0][-1]) / 2
        wide = float(np.hypot(*(both[0][-1] - both[0][0])))
        along = np.abs(both[0][-1] - both[0][0]) / max(wide, 1e-3)
        reach = wide * (0.6 + 0.3 * along) + 4  # lashes go out at the side, creases up
        (left, top), (right, bottom) = np.floor(middle - reach).astype(int), np.ceil(middle + reach).astype(int)
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if right - left > 3 and bottom - top > 3:
            lids = [lid - (left, top) for lid in both]
            window = slice(top, bottom), slice(left, right)
            found.append(Eye(*lids, window, (bottom - top, right - left), face.unit, face.up))
    return found


def _curve(points: np.ndarray, count: int = 33) -> np.ndarray:
    """The cubic through four points of a lid: [count, 2]."""
    at = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T)) + 1e-3 * np.arange(1, 4)])
    powers = np.linspace(0, at[-1], count)[:, None] ** np.arange(4)
    return powers @ np.linalg.solve(at[:, None] ** np.arange(4), points)


def around_eyes(landmarks: Landmarks, size: tuple[int, int]) -> Box | None:
    """The part of a picture of `size` (h, w) in which `redraw_eyes` paints; None where no eye lies in it."""
    eyes, reach = landmarks.points[36:48], 0.6 * landmarks.eye_distance + 6
    left, top = np.maximum(np.floor(eyes.min(0) - reach).astype(int), 0)
    right, bottom = np.minimum(np.ceil(eyes.max(0) + reach).astype(int), (size[1], size[0]))
    return (slice(top, bottom), slice(left, right)) if min(right - left, bottom - top) >= 8 else None


def grown(points: np.ndarray, factor: float) -> np.ndarray:
    """[n, 2] from their middle."""
    centre = points.mean(0)
    return centre + (points - centre) * factor


def ribbon(line: np.ndarray, up: np.ndarray, half: float) -> np.ndarray:
    """Of half width `half` px, along an open line [n, 2]."""
    return np.vstack([line + up * half, line[::-1] - up * half])


def filled(size: tuple[int, int], polygons: list[np.ndarray], feather: float) -> np.ndarray:
    """Polygons [n, 2] px each, their border `feather` px soft: float32 [h, w] in [0, 1]."""
    canvas = np.zeros(size, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(canvas, [np.round(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return blur(canvas.astype(np.float32) / 255, feather)


def stroke(points: np.ndarray, widths: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A line of varying width, px, as a smooth polygon: float32 [h, w] in [0, 1]."""
    ahead = np.empty_like(points)  # as np.gradient gives, which takes ten times as long for so few
    ahead[1:-1], ahead[0], ahead[-1] = (points[2:] - points[:-2]) / 2, points[1] - points[0], points[-1] - points[-2]
    normal = np.stack([-ahead[:, 1], ahead[:, 0]], 1) / (np.hypot(*ahead.T)[:, None] + 1e-6)
    half = normal * widths[:, None] / 2
    return filled(size, [np.vstack([points + half, (points - half)[::-1]])], 0)
