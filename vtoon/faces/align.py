"""FFHQ alignment: the square round a face that StyleGAN2's encoders were trained on.

Source: Karras, Laine and Aila, A Style-Based Generator Architecture, CVPR 2019, appendix A.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from vtoon.errors import VtoonError
from vtoon.types import Landmarks

# Half side of the square over the eye distance and over the distance from eyes to mouth; the larger counts.
EYE_FACTOR, MOUTH_FACTOR = 2.0, 1.8
DROP = 0.1  # of the eyes-to-mouth distance, from the eyes to the centre
BORDER = 0.1  # of the square's side kept round it before turning
MARGIN = 0.3  # of the square's side: mirrored beyond the frame, and width of the fade there
SOFT = 0.02  # of the square's side: standard deviation of the blur in the mirrored part


def align_quad(landmarks: Landmarks) -> np.ndarray:
    """Corners of the square in the frame, [4, 2] px: top left, bottom left, bottom right, top right of the result."""
    left, right = landmarks.eyes
    eyes, across = landmarks.eye_middle, right - left
    down = landmarks.mouth - eyes
    x = across - np.array([-down[1], down[0]])
    length = np.hypot(*x)
    if length < 1e-6:
        raise VtoonError("the eyes and the mouth are in one place; an upright face is needed for alignment")
    x = x / length * max(EYE_FACTOR * np.hypot(*across), MOUTH_FACTOR * np.hypot(*down))
    y = np.array([-x[1], x[0]])
    centre = eyes + DROP * down
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def align_matrix(landmarks: Landmarks, size: int = 256) -> np.ndarray:
    """[2, 3] similarity from frame px (pixel centres at whole numbers) to px of the aligned picture."""
    corner, bottom, _, right = align_quad(landmarks)
    x, y = (right - corner) / size, (bottom - corner) / size  # frame px for one px of the result
    linear = np.linalg.inv(np.column_stack([x, y]))
    shift = -linear @ corner - 0.5
    return np.column_stack([linear, shift])


def align_face(image: np.ndarray, landmarks: Landmarks, size: int = 256) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [size, size, 3]: the face upright and centred as in FFHQ.

    What lies beyond the frame is mirrored, blurred and faded to the median colour.
    """
    picture, quad = np.ascontiguousarray(image), align_quad(landmarks)
    side = float(np.hypot(*(quad[3] - quad[0])))
    picture, quad, side = _shrunk(picture, quad, side, size)
    picture, quad = _cropped(picture, quad, side)
    picture, quad = _padded(picture, quad, side)
    turned = Image.fromarray(picture).transform(
        (size, size), Image.Transform.QUAD, (quad + 0.5).ravel().tolist(), Image.Resampling.BILINEAR
    )
    return np.array(turned)


def _shrunk(picture: np.ndarray, quad: np.ndarray, side: float, size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """A much larger face is made smaller first, by a whole number, so that turning it does not skip pixels."""
    factor = int(side / size * 0.5)
    if factor <= 1:
        return picture, quad, side
    height, width = picture.shape[:2]
    smaller = Image.fromarray(picture).resize((round(width / factor), round(height / factor)), Image.Resampling.LANCZOS)
    return np.array(smaller), quad / factor, side / factor


def _cropped(picture: np.ndarray, quad: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    height, width = picture.shape[:2]
    border = max(round(side * BORDER), 3)
    low, high = np.floor(quad.min(0)).astype(int) - border, np.ceil(quad.max(0)).astype(int) + border
    left, top = np.clip(low, 0, (width - 1, height - 1))
    right, bottom = np.clip(high, (left + 1, top + 1), (width, height))
    return picture[top:bottom, left:right], quad - (left, top)


def _padded(picture: np.ndarray, quad: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Mirror the picture where the square leaves it, blurred and faded to its median colour with the distance."""
    height, width = picture.shape[:2]
    border = max(round(side * BORDER), 3)
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    beyond = np.maximum([*(border - low), *(high - (width, height) + border)], 0)  # left, top, right, bottom
    if beyond.max() <= border - 4:
        return picture, quad
    left, top, right, bottom = np.maximum(beyond, round(side * MARGIN))
    padded = np.pad(picture.astype(np.float32), ((top, bottom), (left, right), (0, 0)), mode="reflect")
    y, x = np.ogrid[: padded.shape[0], : padded.shape[1]]
    edge_x = 1 - np.minimum(x / left, (padded.shape[1] - 1 - x) / right)
    edge_y = 1 - np.minimum(y / top, (padded.shape[0] - 1 - y) / bottom)
    edge = np.maximum(edge_x, edge_y)[..., None].astype(np.float32)  # 1 at the rim, 0 where the picture begins
    blurred = gaussian_filter(padded, (side * SOFT, side * SOFT, 0))
    padded += (blurred - padded) * np.clip(edge * 3 + 1, 0, 1)
    padded += (np.median(padded, (0, 1)) - padded) * np.clip(edge, 0, 1)
    return np.rint(padded).clip(0, 255).astype(np.uint8), quad + np.array([left, top])
