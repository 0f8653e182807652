"""Which frames of a video are worth a look: sharp ones, each view once."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

SIGNATURE = 32  # px, side of the grey miniature by which frames are compared
ALIKE = 3.0  # levels, mean difference of two miniatures under which frames are near-duplicates
REMEMBERED = 200  # kept frames that a new one is compared with: a scene comes back
DUPLICATE, BLURRED = "near-duplicate of a frame before", "blurred"  # reasons to refuse one
SHARP_SIDE = 512  # px, long side at which sharpness is measured


class FrameChooser:
    """Goes through the frames of one video. `sharp`: least variance of the Laplacian."""

    def __init__(self, sharp: float) -> None:
        self._sharp = sharp
        self._seen: deque[np.ndarray] = deque(maxlen=REMEMBERED)

    def refuse(self, image: np.ndarray) -> str:
        """Why a frame, uint8 [H, W, 3], is not worth a look, or "". One that is gets remembered."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (SIGNATURE, SIGNATURE), interpolation=cv2.INTER_AREA).astype(np.float32)
        if any(np.abs(small - other).mean() < ALIKE for other in self._seen):
            return DUPLICATE
        if (sharpness := laplacian_variance(grey)) < self._sharp:
            return f"{BLURRED} (variance of the Laplacian {sharpness:.0f}, under {self._sharp:g})"
        self._seen.append(small)
        return ""


def laplacian_variance(grey: np.ndarray) -> float:
    """How sharp uint8 [H, W] is, measured at a long side of 512 px: a portrait 100 and more, a blurred one under 30."""
    scale = SHARP_SIDE / max(grey.shape)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
