"""The printer's halftone screen: laid over a drawing at its final size, locked to the pixel grid.

Its pitch is the stride of a VToonify encoder, so that every 8x8 cell of pixels carries the same dots: that a network
can learn, where a screen that moves with the picture would average to grey.
"""

from __future__ import annotations

import cv2
import numpy as np

PITCH = 8  # px; dots at 45 degrees, two in each cell
INK = np.float32([0.55, 0.48, 0.62])  # what a dot leaves of the colour under it
SHADOW = (0.44, 0.16)  # luminance where dots begin, and where they are largest
BLACK = (0.07, 0.14)  # line art stays solid


def _threshold_cell() -> np.ndarray:
    """Screen value of each pixel of a cell in [0, 1]: 1 in the middle of a dot, 0 where four dots would meet."""
    y, x = (np.mgrid[:PITCH, :PITCH] + 0.5) * (2 * np.pi / PITCH)
    return ((np.cos(x) * np.cos(y) + 1) / 2).astype(np.float32)


def halftone(image: np.ndarray) -> np.ndarray:
    """Dots in the shadows of a drawing, larger where it is darker. uint8 [H, W, 3] RGB -> the same."""
    height, width = image.shape[:2]
    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    tone = cv2.GaussianBlur(light, (0, 0), PITCH / 4)  # a dot is one dot, whatever line crosses it
    depth = np.clip((SHADOW[0] - tone) / (SHADOW[0] - SHADOW[1]), 0, 1)
    cells = np.tile(_threshold_cell(), (-(-height // PITCH), -(-width // PITCH)))[:height, :width]
    dots = np.clip((cells - (1 - 0.5 * np.sqrt(depth))) / 0.15 + 0.5, 0, 1) * (depth > 0)
    dots *= np.clip((light - BLACK[0]) / (BLACK[1] - BLACK[0]), 0, 1)
    return (image * (1 - dots[..., None] * (1 - INK)) + 0.5).astype(np.uint8)
