"""Scene cuts from thumbnails: layout and colours must both change, and more than they lately did.

After PySceneDetect's adaptive content detector; the layout is compared at the best shift, so that a fast pan is no
cut, and with exposure taken out, so that a flash is none.
"""

from __future__ import annotations

import cv2
import numpy as np

THUMBNAIL = (48, 36)  # px: small enough to forget texture and noise
REACH = (10, 5)  # px of it that the picture may have shifted between two frames: a fifth of its width
BINS = 8  # colour histogram bins a channel
FLAT = 6.0  # levels: a thumbnail whose standard deviation is lower (white flash, black gap) says nothing
LAYOUT_CHANGE = 0.25  # 1 - best correlation; measured: 0.28 and more at cuts, below 0.1 within shots and pans
COLOUR_CHANGE = 0.2  # 1 - intersection of histograms
SURPRISE = 3.0  # times the recent mean layout change: restless shots raise the bar for themselves
MEMORY = 0.7  # share of the past in that mean


class CutDetector:
    """Call it with each frame of a video; True on the first frame of a new shot (and of the video)."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None  # thumbnail
        self._usual = 0.0

    def __call__(self, image: np.ndarray) -> bool:
        """`image` uint8 [H, W, 3] RGB. Flat frames never cut: what comes after them is compared with before."""
        thumbnail = cv2.resize(image, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        last = self._last
        if last is None:
            self._last = thumbnail
            return True
        if thumbnail.mean(2).std() < FLAT:
            return False
        self._last = thumbnail
        layout = layout_change(last, thumbnail)
        cut = layout > max(LAYOUT_CHANGE, SURPRISE * self._usual) and colour_change(last, thumbnail) > COLOUR_CHANGE
        self._usual = 0.0 if cut else MEMORY * self._usual + (1 - MEMORY) * layout
        return bool(cut)


def layout_change(before: np.ndarray, after: np.ndarray) -> float:
    """1 - the correlation of two float32 thumbnails at the shift where they agree best: 0 (same) to 2."""
    dx, dy = REACH
    middle = np.ascontiguousarray(after.mean(2)[dy:-dy, dx:-dx])
    return 1.0 - float(cv2.matchTemplate(before.mean(2), middle, cv2.TM_CCOEFF_NORMED).max())


def colour_change(before: np.ndarray, after: np.ndarray) -> float:
    """1 - the intersection of two float32 thumbnails' colour histograms: 0 (same) to 1."""
    return 1.0 - float(np.minimum(_histogram(before), _histogram(after)).sum())


def _histogram(thumbnail: np.ndarray) -> np.ndarray:
    """Shares of colours with exposure and contrast taken out, [BINS ** 3]."""
    pixels = thumbnail.reshape(-1, 3)
    gray = pixels.mean(1)
    levels = (pixels - gray.mean()) / max(float(gray.std()), 1.0) * (BINS / 4) + BINS / 2
    codes = (np.clip(levels, 0, BINS - 1).astype(int) * (BINS**2, BINS, 1)).sum(1)
    return np.bincount(codes, minlength=BINS**3) / len(codes)
