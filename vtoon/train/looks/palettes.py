"""Palettes: pointwise colour maps, a ramp over luminance mixed with some of the picture's own colour.

Every ramp rises in luminance, so light stays light, dark stays dark, and the order of skin tones is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

Palette = Callable[[np.ndarray], np.ndarray]


def ramp(stops: list[tuple[float, str]]) -> np.ndarray:
    """Colours at luminances in [0, 1], "rrggbb", joined smoothly: float32 [256, 3] in [0, 255]."""
    at = [luminance * 255 for luminance, _ in stops]
    colours = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for _, colour in stops], np.float32)
    table = np.stack([np.interp(np.arange(256), at, channel) for channel in colours.T], 1).astype(np.float32)
    return cv2.GaussianBlur(table, (1, 0), 1, sigmaY=10, borderType=cv2.BORDER_REPLICATE).reshape(256, 3)


def recolour(image: np.ndarray, table: np.ndarray, own: float) -> np.ndarray:
    """uint8 [H, W, 3] -> the same: `table` at each pixel's luminance plus `own` of the pixel's own chroma."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    base = cv2.LUT(gray, (table - own * np.arange(256, dtype=np.float32)[:, None])[None])
    return cv2.addWeighted(image, own, base, 1.0, 0.0, dtype=cv2.CV_8U)


def _own(image: np.ndarray) -> np.ndarray:
    return image.copy()


_STOPS = {
    "sunset": (
        0.30,
        [(0, "240b3f"), (0.25, "74205a"), (0.48, "d9524f"), (0.72, "ffa666"), (0.9, "ffe2a0"), (1, "fffbe0")],
    ),
    "ocean": (0.30, [(0, "04122e"), (0.3, "0d4a78"), (0.55, "2f9aa8"), (0.8, "9ee0d2"), (1, "f6fff4")]),
    "candy": (
        0.40,
        [(0, "45216b"), (0.3, "9a5bb8"), (0.55, "f08fb8"), (0.8, "ffd3dc"), (0.9, "e6f7e6"), (1, "f2fffa")],
    ),
    "vintage": (0.22, [(0, "2b1a12"), (0.3, "70503a"), (0.6, "c29c6c"), (0.85, "f0dfb6"), (1, "fff9e8")]),
    "forest": (
        0.45,
        [(0, "06231f"), (0.25, "17573f"), (0.5, "6f9a4a"), (0.72, "d5bf7e"), (0.88, "f6e3bd"), (1, "fffaf0")],
    ),
    "neon": (
        0.35,
        [(0, "080424"), (0.22, "2a16a0"), (0.45, "a022d0"), (0.68, "ff6fb8"), (0.88, "ffd0e4"), (1, "d8fdff")],
    ),
}
RAMPS: dict[str, tuple[float, np.ndarray]] = {name: (own, ramp(stops)) for name, (own, stops) in _STOPS.items()}
PALETTES: dict[str, Palette] = {"own": _own} | {
    name: partial(recolour, table=table, own=own) for name, (own, table) in RAMPS.items()
}
