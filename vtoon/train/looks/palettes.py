"""Palettes: pointwise colour maps, a ramp over luminance mixed with some of the picture's own colour.

Every ramp rises in luminance, so light stays light, dark stays dark, and the order of skin tones is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from vtoon.image import recolour

Palette = Callable[[np.ndarray], np.ndarray]


def ramp(stops: list[tuple[float, str]]) -> np.ndarray:
    """Colours at luminances in [0, 1], "rrggbb", joined smoothly: float32 [256, 3] in [0, 255]."""
    at = [luminance * 255 for luminance, _ in stops]
    colours = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for _, colour in stops], np.float32)
    table = np.stack([np.interp(np.arange(256), at, channel) for channel in colours.T], 1).astype(np.float32)
    return cv2.GaussianBlur(table, (1, 0), 1, sigmaY=10, borderType=cv2.BORDER_REPLICATE).reshape(256, 3)


def _own(image: np.ndarray) -> np.ndarray:
    return image.copy()


_STOPS = {
    # A print: ink that is not quite black on paper that is not quite white, colours a little held back.
    "print": (0.62, [(0, "1f1a24"), (0.3, "5a4c4e"), (0.6, "a8978a"), (0.85, "e6d9c3"), (1, "fbf4e4")]),
    # Night: moonlight; shadows run to blue, lamps stay warm by their own colour.
    "night": (0.70, [(0, "030711"), (0.3, "142a4d"), (0.55, "41638c"), (0.8, "93b4cf"), (1, "e6f1fa")]),
    # Warm film: teal under amber, a soft shoulder.
    "film": (
        0.86,
        [(0, "0a1416"), (0.25, "3b3a37"), (0.5, "8b7a66"), (0.75, "d3b892"), (1, "fff6e6")],
    ),
}
RAMPS: dict[str, tuple[float, np.ndarray]] = {name: (own, ramp(stops)) for name, (own, stops) in _STOPS.items()}
PALETTES: dict[str, Palette] = {"own": _own} | {
    name: partial(recolour, table=table, own=own) for name, (own, table) in RAMPS.items()
}
