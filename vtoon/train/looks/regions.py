"""Where the parts of a face are: soft masks from the 68 landmarks, and the skin from its colour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from vtoon.painters.eye_shapes import Portrait, filled, grown, ribbon
from vtoon.train.looks.tone import blur, smoothstep, stretched, to_lab


@dataclass(frozen=True)
class Face(Portrait):
    """A photo and the parts of its largest face. Masks are float32 [H, W] in [0, 1], soft at the border."""

    @cached_property
    def lab(self) -> np.ndarray:
        """float32 [H, W, 3]: L in [0, 1], a and b about [-1, 1]; the tones of the head fill the range."""
        lab = to_lab(self.image)
        return stretched(lab, lab[..., 0][self.near > 0.5])

    @cached_property
    def eyes(self) -> np.ndarray:
        """The openings of the eyes, slightly grown."""
        points = self.landmarks.points
        return self._polygons([grown(points[36:42], 1.12), grown(points[42:48], 1.12)], feather=2.0)

    @cached_property
    def mouth(self) -> np.ndarray:
        """Between the lips: teeth and tongue."""
        return self._polygons([self.landmarks.points[60:68]], feather=2.0)

    @cached_property
    def lips(self) -> np.ndarray:
        """Both lips without what is between them."""
        return np.clip(self._polygons([self.landmarks.points[48:60]], feather=3.0) - self.mouth, 0, 1)

    @cached_property
    def oval(self) -> np.ndarray:
        """The face with its forehead."""
        points, size = self.landmarks.points, self.landmarks.eye_distance
        forehead = points[17:27] + self.up * size * 0.62
        return self._polygons(
            [cv2.convexHull(np.vstack([points[:17], forehead]).astype(np.float32))[:, 0]], feather=8.0
        )

    @cached_property
    def drawn(self) -> np.ndarray:
        """What an artist draws with a line inside a face: eyes, brows, nose base, lips."""
        points = self.landmarks.points
        parts = [grown(points[36:42], 1.45), grown(points[42:48], 1.45), grown(points[48:60], 1.12)]
        parts += [ribbon(points[17:22], self.up, 9 * self.unit), ribbon(points[22:27], self.up, 9 * self.unit)]
        parts += [ribbon(points[31:36], self.up, 9 * self.unit)]
        return self._polygons(parts, feather=7.0)

    @cached_property
    def jaw(self) -> np.ndarray:
        """A band along the jaw line, where the outline of the face may be."""
        canvas = np.zeros(self.image.shape[:2], np.uint8)
        line = np.round(self.landmarks.points[:17] * 16).astype(np.int32)
        cv2.polylines(canvas, [line], False, 255, max(1, round(22 * self.unit)), cv2.LINE_AA, 4)
        return blur(canvas.astype(np.float32) / 255, 5 * self.unit)

    @cached_property
    def neck(self) -> np.ndarray:
        """Under the jaw, half an eye distance down, as far as the chin's shadow falls; sharp at the jaw."""
        jaw, size = self.landmarks.points[3:14], self.landmarks.eye_distance
        centre = jaw.mean(0)
        below = centre + (jaw - centre) * np.float32([0.86, 0.86]) - self.up * size * 0.42
        hull = cv2.convexHull(np.vstack([jaw, below]).astype(np.float32))[:, 0]
        face = self._polygons([np.vstack([self.landmarks.points[:17], self.landmarks.points[27:28]])], feather=1.5)
        return self._polygons([hull], feather=5.0) * (1 - face)

    @cached_property
    def glasses(self) -> np.ndarray:
        """Where the rims of glasses may be: around the eyes, from temple to temple, brows and nose left out."""
        points, size = self.landmarks.points, self.landmarks.eye_distance
        right, left = points[[1, 36]].mean(0), points[[15, 45]].mean(0)  # near the temples
        line = np.vstack([right, points[36:42].mean(0), points[27], points[42:48].mean(0), left])
        return self._polygons([ribbon(line, self.up, 0.36 * size)], feather=8.0) * (1 - self.drawn)

    @cached_property
    def near(self) -> np.ndarray:
        """1 on the head, falling to 0 about two eye distances from the face."""
        height, width = self.image.shape[:2]
        centre = self.landmarks.points[27:31].mean(0)
        y, x = np.ogrid[:height, :width]
        distance = np.hypot(x - centre[0], y - centre[1]).astype(np.float32) / self.landmarks.eye_distance
        return 1 - smoothstep(distance, 1.6, 2.8)

    @cached_property
    def skin_lab(self) -> np.ndarray:
        """[3] median colour of cheeks and nose."""
        points = self.landmarks.points
        anchors = [points[[1, 2, 31, 36, 41]].mean(0), points[[15, 14, 35, 45, 46]].mean(0), points[28:31].mean(0)]
        patch = np.zeros(self.image.shape[:2], np.uint8)
        for x, y in np.round(anchors).astype(int):
            cv2.circle(patch, (int(x), int(y)), max(1, round(14 * self.unit)), 1, -1)
        inside = self.lab[patch > 0]
        return np.median(inside, 0) if len(inside) else np.array([0.6, 0.1, 0.1], np.float32)

    @cached_property
    def skin(self) -> np.ndarray:
        """Skin by colour near the face: forehead, cheeks, neck, ears; not eyes, lips or brows."""
        offset = blur(self.lab, 2 * self.unit) - self.skin_lab
        distance = (offset[..., 0] / 0.30) ** 2 + (offset[..., 1] / 0.09) ** 2 + (offset[..., 2] / 0.10) ** 2
        likeness = np.exp(-0.5 * distance)
        inside = np.maximum(self.near * 0.9, self.oval)
        mask = smoothstep(likeness, 0.15, 0.55) * inside * (1 - self.eyes) * (1 - self.mouth) * (1 - self.lips)
        return blur(mask, 3 * self.unit)

    @cached_property
    def complexion(self) -> np.ndarray:
        """Everything in the colours of the skin around the head, be it in light or in shadow; not eyes, lips, teeth."""
        offset = blur(self.lab[..., 1:], 3 * self.unit) - self.skin_lab[1:]
        likeness = np.exp(-0.5 * (offset**2).sum(2) / 0.12**2)
        inside = np.maximum(self.near, self.oval) * (1 - self.eyes) * (1 - self.mouth) * (1 - self.lips)
        return np.maximum(self.skin, smoothstep(likeness, 0.1, 0.6) * inside)

    def _polygons(self, polygons: list[np.ndarray], feather: float) -> np.ndarray:
        """Filled polygons ([n, 2] px each), blurred by `feather` units."""
        return filled(self.image.shape[:2], polygons, feather * self.unit)
