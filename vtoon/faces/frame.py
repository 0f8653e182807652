"""Coordinates in a face, and how far a reshaping reaches round it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtoon.types import Landmarks

REACH = (1.05, 1.55)  # from the face centre, in eye distances: full effect within, none beyond


@dataclass(frozen=True)
class FaceFrame:
    """Coordinates in the face: origin between the eyes, u along the eyes, v down, one eye distance = 1."""

    points: np.ndarray
    origin: np.ndarray
    axes: tuple[np.ndarray, np.ndarray]
    size: float

    @classmethod
    def of(cls, landmarks: Landmarks) -> FaceFrame:
        left, right = landmarks.eyes
        size = max(landmarks.eye_distance, 1e-3)
        across = (right - left) / size
        down = np.array([-across[1], across[0]])
        return cls(landmarks.points, landmarks.eye_middle, (across, down), size)

    @property
    def centre(self) -> np.ndarray:
        return self.origin + self.axes[1] * self.size * 0.55

    @property
    def in_face(self) -> np.ndarray:
        """The landmarks [68, 2] in these coordinates."""
        return (self.points - self.origin) @ np.stack(self.axes, 1) / self.size

    def to_face(self, point: np.ndarray) -> np.ndarray:
        offset = (point - self.origin) / self.size
        return np.array([offset @ self.axes[0], offset @ self.axes[1]])

    def coordinates(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        x, y = (x - np.float32(self.origin[0])) / self.size, (y - np.float32(self.origin[1])) / self.size
        (ax, ay), (bx, by) = self.axes
        return (x * ax + y * ay).astype(np.float32), (x * bx + y * by).astype(np.float32)

    def offsets(self, du: np.ndarray, dv: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """A field (du, dv) at the coordinates u, v as offsets (dx, dy) px, float32 [h, w, 2], nothing beyond REACH."""
        centre_u, centre_v = self.to_face(self.centre)
        scale = np.float32(self.size) * (1 - smoothstep(np.hypot(u - centre_u, v - centre_v), *REACH))
        right, down = self.axes
        x, y = (du * right[i] + dv * down[i] for i in (0, 1))
        return np.dstack([x * scale, y * scale]).astype(np.float32)


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
