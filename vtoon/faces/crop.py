"""Cutting a region out of a frame that is thought of as resized first, and VToonify's rule for that region."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vtoon.errors import VtoonError
from vtoon.types import CropBox, Landmarks

STRIDE = 8  # the network halves three times
EYE_DISTANCE = 64.0  # px: the size VToonify was trained for
PADDING = (200, 200, 200, 200)  # px from the middle of the eyes: left, right, top, bottom
LEAST_HORIZONTAL = 0.2  # of the eye distance: below it the head lies on its side and the rule has no meaning

# Smoothing before shrinking (Yang et al., VToonify, 2022): once up to 3/4 of the size, twice up to 3/8. A kernel of
# four moves the picture by half a px; the published crop lies there, here the sampling after it moves it back.
BLUR = np.array([0.125, 0.375, 0.375, 0.125], np.float32)
BLUR_BELOW = (0.75, 0.375)
BLUR_SHIFT = 0.5  # px to the right and down


def published_crop(
    landmarks: Landmarks,
    frame_size: tuple[int, int],
    padding: Sequence[int] = PADDING,
    eye_distance: float = EYE_DISTANCE,
) -> CropBox:
    """VToonify's face region: the frame resized so that the eyes are `eye_distance` px apart, cut round their middle.

    frame_size: (height, width) px. padding: px of the resized frame to the left, right, top, bottom of the middle of
    the eyes. Edges are multiples of 8 and stay inside the frame. The distance is the horizontal one, as published.
    Raises VtoonError for eyes in the wrong order or above one another (profile, lying head), and an empty region.
    """
    left_eye, right_eye = landmarks.eyes
    horizontal = float(right_eye[0] - left_eye[0])
    if horizontal <= LEAST_HORIZONTAL * landmarks.eye_distance:
        raise VtoonError(
            f"the eyes are {horizontal:.1f} px apart horizontally; a crop needs a face that looks at the camera upright"
        )
    scale = eye_distance / horizontal
    height, width = (round(side * scale) for side in frame_size)
    x, y = landmarks.eye_middle * scale
    before_x, after_x, before_y, after_y = padding
    left, top = _floor8(max(round(x - before_x), 0)), _floor8(max(round(y - before_y), 0))
    right, bottom = _floor8(min(round(x + after_x), width)), _floor8(min(round(y + after_y), height))
    if left >= right or top >= bottom:
        raise VtoonError(f"a padding of {tuple(padding)} px leaves no region of this frame; enlarge it")
    return CropBox(scale, height, width, left, top, right, bottom)


def _floor8(value: int) -> int:
    return value // STRIDE * STRIDE


def crop_face(image: np.ndarray, box: CropBox, as_published: bool = False) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [*box.size, 3]: the frame smoothed, resized bilinearly to the box's frame, and cut.

    `as_published`: where the smoothing has moved the picture, leave it there. Only the pixels under the box are worked
    on; they are those of the whole resized frame, to a level of rounding.
    """
    height, width = image.shape[:2]
    sx, sy = width / box.width, height / box.height  # frame px for one px of the box
    if (sx, sy) == (1.0, 1.0):
        return np.ascontiguousarray(image[box.top : box.bottom, box.left : box.right])
    blurs = sum(box.scale <= below for below in BLUR_BELOW)
    around = 2 + 2 * blurs  # px that bilinear sampling and the blurs reach beyond the box
    left, right = max(int(box.left * sx) - around, 0), min(int(box.right * sx) + around + 1, width)
    top, bottom = max(int(box.top * sy) - around, 0), min(int(box.bottom * sy) + around + 1, height)
    region = image[top:bottom, left:right]
    for _ in range(blurs):
        region = cv2.sepFilter2D(region, -1, BLUR, BLUR)
    back = (0.0 if as_published else BLUR_SHIFT * blurs) - 0.5
    to_region = np.array(
        [
            [sx, 0, (box.left + 0.5) * sx + back - left],
            [0, sy, (box.top + 0.5) * sy + back - top],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(region, to_region, box.size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def pad_to_multiple(image: np.ndarray, multiple: int = STRIDE) -> tuple[np.ndarray, tuple[int, int]]:
    """Reflect [H, W(, C)] at its right and bottom up to multiples of `multiple`: (padded, (H, W)).

    Cut the result back with `[:H * k, :W * k]`, k the enlargement of the network. Any size works, also 1x1.
    """
    height, width = image.shape[:2]
    down, across = -height % multiple, -width % multiple
    if not (down or across):
        return image, (height, width)
    margins = ((0, down), (0, across), *((0, 0),) * (image.ndim - 2))
    return np.pad(image, margins, mode="symmetric"), (height, width)
