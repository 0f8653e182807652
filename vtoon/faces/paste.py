"""The way back: a drawn region returns to its place in the frame behind a soft, head-shaped mask."""

from __future__ import annotations

import cv2
import numpy as np

from vtoon.faces.region import chin_distance, face_size
from vtoon.types import CropBox, Landmarks

# The head as a superellipse about a point a little below the eyes, in face sizes: half width, reach up and down.
HALF_WIDTH, UP, DOWN = 2.15, 2.25, 2.4
CHIN_REACH = 1.35  # up and down at least, in distances from the eyes to the chin
DROP = 0.1  # from the middle of the eyes to its centre
EXPONENT = 2.5  # 2: an ellipse; more: fuller corners (hair, jaw)
FEATHER = 0.3  # share of the radius over which the mask falls from 1 to 0
BORDER_FEATHER = 0.5  # face sizes: width of the ramp to 0 at a border of the box inside the frame
CORE = 0.55  # of the mask's reach: face and ears, which never take the tone of what is behind them
ALIKE = 24.0  # levels: colours this far from the background's own are taken for something else
NARROW = 4.0  # px: a wider blur is computed at the size where it is this wide
COARSE = 4  # px: the mask is smooth, so it is computed on every 4th pixel only


def blend_mask(landmarks: Landmarks, frame_size: tuple[int, int], box: CropBox, reach: float = 1.0) -> np.ndarray:
    """How much of the drawing is shown, float32 [H, W] in [0, 1] for a frame of (H, W) px.

    1 over hair, face and chin, falling smoothly to 0; 0 outside `box` and at its borders, except where the box ends
    because the frame does. A smaller `reach` covers less of the head.
    """
    height, width = frame_size
    left, top, right, bottom = _place(frame_size, box)
    shape = (bottom - top, right - left)
    x, y = (_samples(*ends) for ends in ((left, right), (top, bottom)))
    coarse = _head(landmarks, x[None, :], y[:, None], reach) * _border(landmarks, frame_size, box, x, y)
    mask = np.zeros((height, width), np.float32)
    mask[top:bottom, left:right] = cv2.resize(coarse.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
    return mask


def _samples(first: int, end: int) -> np.ndarray:
    """Evenly spread points of the pixels `first` to `end`, where cv2.resize expects them (centres of larger pixels)."""
    count = max((end - first) // COARSE, 1)
    return first - 0.5 + (np.arange(count) + 0.5) * (end - first) / count


def _head(landmarks: Landmarks, x: np.ndarray, y: np.ndarray, reach: float) -> np.ndarray:
    """The head's soft shape at frame px (x [1, W], y [H, 1]): [H, W] in [0, 1]."""
    size = face_size(landmarks)
    left, right = landmarks.eyes
    across = (right - left) / max(landmarks.eye_distance, 1e-6)
    down = np.array([-across[1], across[0]])
    centre = landmarks.eye_middle + DROP * size * down
    u = ((x - centre[0]) * across[0] + (y - centre[1]) * across[1]) / size
    v = ((x - centre[0]) * down[0] + (y - centre[1]) * down[1]) / size
    least = CHIN_REACH * chin_distance(landmarks) / size
    v = v / np.where(v < 0, max(UP, least) + DROP, max(DOWN, least) - DROP)
    radius = (np.abs(u / HALF_WIDTH) ** EXPONENT + np.abs(v) ** EXPONENT) ** (1 / EXPONENT)
    return _smoothstep((1 - radius / reach) / FEATHER)


def _border(
    landmarks: Landmarks, frame_size: tuple[int, int], box: CropBox, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """[H, W] ramps from 0 at the borders of the box; none at a border that is the frame's own edge."""
    ramps = []
    for points, first, end, resized, side in (
        (x, box.left, box.right, box.width, frame_size[1]),
        (y, box.top, box.bottom, box.height, frame_size[0]),
    ):
        step = side / resized
        low, high = first * step + 0.5, end * step - 1.5  # centres of the outermost whole pixels: 0 there
        width = min(BORDER_FEATHER * face_size(landmarks), max((high - low) / 2, 1.0))
        ramp = np.ones_like(points)
        if first > 0:
            ramp = ramp * _smoothstep((points - low - COARSE) / width)
        if resized - end >= 1:
            ramp = ramp * _smoothstep((high - COARSE - points) / width)
        ramps.append(ramp)
    return ramps[0][None, :] * ramps[1][:, None]


def _smoothstep(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def paste_back(
    frame: np.ndarray, toon: np.ndarray, box: CropBox, mask: np.ndarray, core: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Show `toon` in `frame` where `mask` says so: (uint8 [H, W, 3], weight float32 [H, W]).

    toon: uint8 [k h, k w, 3], the drawing of `box`'s (h, w) enlarged k times; mask: float32 [H, W] in [0, 1].
    Several faces: paste one after the other on the last result. Each is laid over what is there, so that
    overlapping feathers never let more of the photo through than the densest of them does.
    `core`: as the mask, but of the face alone; where it is given, the background around the head keeps the photo's
    tone, or a drawing lighter than its photo would stand in a halo.
    """
    left, top, right, bottom = _place(frame.shape[:2], box)
    drawn = _resampled(toon, frame.shape[:2], box)
    alpha = mask[top:bottom, left:right]
    under = frame[top:bottom, left:right]
    if core is not None:
        drawn = _in_tone(drawn, under, alpha, core[top:bottom, left:right])
    image, weight = frame.copy(), np.zeros(frame.shape[:2], np.float32)
    image[top:bottom, left:right] = cv2.blendLinear(drawn, under, alpha, 1 - alpha)
    weight[top:bottom, left:right] = alpha
    return image, weight


def _in_tone(drawn: np.ndarray, photo: np.ndarray, mask: np.ndarray, core: np.ndarray) -> np.ndarray:
    """The drawing with the photo's tone where the photo looks like its background at the rim of the mask, that close by
    or that above: beside the jaw, what is close by are shoulders, too.

    Strokes stay: only what is left of the difference after a wide blur is taken away, and the blur sees nothing but
    background. uint8 [h, w, 3].
    """
    height, width = mask.shape
    small = max(width // COARSE, 1), max(height // COARSE, 1)
    seen, toon, rim, face = (
        cv2.resize(part, small, interpolation=cv2.INTER_AREA).astype(np.float32).reshape(*small[::-1], -1)
        for part in (photo, drawn, 1 - mask, core)
    )
    wide = max(small) / 8

    def spread(values: np.ndarray, weight: np.ndarray, wide: float) -> tuple[np.ndarray, np.ndarray]:
        both = _blurred(np.concatenate([values * weight, weight], 2), wide)
        return both[..., :3] / (both[..., 3:] + 1e-3), both[..., 3:] / (both[..., 3:] + 0.02)

    def likeness(rim: np.ndarray, wide: float) -> np.ndarray:
        behind, known = spread(seen, rim, wide)  # known: 0 where no rim is near
        return known * np.exp(-np.square(seen - behind).sum(2, keepdims=True) / (2 * ALIKE**2))

    rows = np.arange(small[1], dtype=np.float32)[:, None, None]
    above = rim * (rows < (face * rows).sum() / (face.sum() + 1e-3))  # of the middle of the face
    alike = np.maximum(likeness(rim, wide), likeness(above, 2 * wide)) * (1 - face)
    offset = alike * spread(toon - seen, alike, wide)[0]
    offset = cv2.resize(offset, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.subtract(drawn, offset, dtype=cv2.CV_8U)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur so wide that it is the same at a smaller size."""
    height, width = image.shape[:2]
    small = max(width * NARROW / sigma, 1), max(height * NARROW / sigma, 1)
    if small[0] >= width:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    small = round(small[0]), round(small[1])
    coarse = cv2.GaussianBlur(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (0, 0), sigma * small[0] / width)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def _place(frame_size: tuple[int, int], box: CropBox) -> tuple[int, int, int, int]:
    """The box in whole px of the frame, rounded outwards: left, top, right, bottom."""
    sx, sy = frame_size[1] / box.width, frame_size[0] / box.height
    left, top = int(np.floor(box.left * sx + 1e-6)), int(np.floor(box.top * sy + 1e-6))
    right, bottom = int(np.ceil(box.right * sx - 1e-6)), int(np.ceil(box.bottom * sy - 1e-6))
    return left, top, min(right, frame_size[1]), min(bottom, frame_size[0])


def _resampled(toon: np.ndarray, frame_size: tuple[int, int], box: CropBox) -> np.ndarray:
    """The drawing at the frame's own size, on the pixels of `_place`: uint8 [h, w, 3]."""
    left, top, right, bottom = _place(frame_size, box)
    high, wide = box.size
    sx, sy = frame_size[1] / box.width, frame_size[0] / box.height  # frame px for one px of the box
    target = max(round(wide * sx), 1), max(round(high * sy), 1)
    if target[0] < toon.shape[1]:  # shrinking: average areas first, only a shift is left
        toon = cv2.resize(toon, target, interpolation=cv2.INTER_AREA)
    kx, ky = toon.shape[1] / (wide * sx), toon.shape[0] / (high * sy)  # drawing px for one px of the frame
    to_toon = np.array(
        [
            [kx, 0, (left + 0.5 - box.left * sx) * kx - 0.5],
            [0, ky, (top + 0.5 - box.top * sy) * ky - 0.5],
        ]
    )
    if np.allclose(to_toon, np.eye(2, 3), atol=1e-3) and toon.shape[:2] == (bottom - top, right - left):
        return toon
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(toon, to_toon, (right - left, bottom - top), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
