"""Contact sheets with words on them, and tables of pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from vtoon.image import grid

LEAST = 128  # px: smaller pictures are enlarged, so that a sheet can be looked at
FONT, INK = cv2.FONT_HERSHEY_SIMPLEX, (30, 30, 30)


def enlarged(image: np.ndarray, least: int = LEAST) -> np.ndarray:
    """uint8 [H, W, 3] at least `least` px wide, by a whole number."""
    times = max(math.ceil(least / image.shape[1]), 1)
    if times == 1:
        return image
    size = image.shape[1] * times, image.shape[0] * times
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def near_square(images: Sequence[np.ndarray]) -> np.ndarray:
    """All pictures in one sheet, a little wider than high."""
    images = [enlarged(image) for image in images]
    wide = math.ceil(math.sqrt(len(images) * 1.5))
    return grid([images[i : i + wide] for i in range(0, len(images), wide)])


def table(
    rows: Sequence[Sequence[np.ndarray]], across: Sequence[str] = (), down: Sequence[str] = (), blank: bool = False
) -> np.ndarray:
    """A sheet with words above its columns and left of its rows. `blank`: the first corner is empty."""
    cells = [[enlarged(image) for image in row] for row in rows]
    height, width = cells[-1][-1].shape[:2]
    if blank:
        cells[0] = [np.full((height, width, 3), 255, np.uint8), *cells[0]]
    sheet = grid(cells)
    top = 22 if any(across) else 0
    left = max((_width(word) for word in down), default=-8) + 8
    framed = np.full((sheet.shape[0] + top, sheet.shape[1] + left, 3), 255, np.uint8)
    framed[top:, left:] = sheet
    for i, word in enumerate(across):
        at = left + i * (width + 4) + (width - _width(word)) // 2
        cv2.putText(framed, word, (max(at, 0), 15), FONT, 0.42, INK, 1, cv2.LINE_AA)
    for i, word in enumerate(down):
        cv2.putText(framed, word, (4, top + i * (height + 4) + height // 2), FONT, 0.42, INK, 1, cv2.LINE_AA)
    return framed


def _width(word: str) -> int:
    return cv2.getTextSize(word, FONT, 0.42, 1)[0][0]
