"""Tone and colour: Lab, soft steps, and smoothing that keeps contours. Images are float32; lengths in px."""

from __future__ import annotations

import cv2
import numpy as np

from vtoon.faces.frame import smoothstep as smoothstep
from vtoon.image import blur as blur
from vtoon.image import from_lab as from_lab
from vtoon.image import mix as mix
from vtoon.image import tensor as tensor
from vtoon.image import to_lab as to_lab


def to_bytes(rgb: np.ndarray) -> np.ndarray:
    """float32 RGB in [0, 1] -> uint8."""
    return np.clip(rgb * 255 + 0.5, 0, 255).astype(np.uint8)


def luma(rgb: np.ndarray) -> np.ndarray:
    """float32 [H, W, 3] -> [H, W]."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def guided(image: np.ndarray, guide: np.ndarray, radius: float, contrast: float) -> np.ndarray:
    """Guided filter (He et al. 2010): smooths what varies less than `contrast` of the guide over `radius` px.

    `image` float32 [H, W] or [H, W, 3], `guide` float32 [H, W] in [0, 1].
    """
    size = 2 * max(1, round(radius)) + 1

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x, (size, size), borderType=cv2.BORDER_REFLECT)

    spread = guide[..., None] if image.ndim == 3 else guide
    centre, average = mean(guide), mean(image)
    variance = mean(guide * guide) - centre * centre
    covariance = mean(image * spread) - average * (centre[..., None] if image.ndim == 3 else centre)
    slope = covariance / ((variance + contrast**2)[..., None] if image.ndim == 3 else variance + contrast**2)
    offset = average - slope * (centre[..., None] if image.ndim == 3 else centre)
    return mean(slope) * spread + mean(offset)


def steps(x: np.ndarray, count: float, hardness: float, phase: float = 0.0) -> np.ndarray:
    """Soft quantisation (Winnemöller et al. 2006) of x in [0, 1] to `count` tones; `phase` moves the tones.

    Monotone; `hardness` 1 is nearly the identity, 10 nearly flat tones.
    """
    position = x * count - phase
    base = np.floor(position)
    edge = np.tanh((position - base - 0.5) * hardness) / np.tanh(0.5 * hardness)
    return (base + 0.5 + 0.5 * edge + phase) / count


def along(image: np.ndarray, flow: tuple[np.ndarray, np.ndarray], sigma: float, stride: float = 1.0) -> np.ndarray:
    """Gaussian smoothing along `flow` (x, y), `sigma` px; sampled every `stride` px."""
    height, width = image.shape[:2]
    x = np.arange(width, dtype=np.float32)[None]
    y = np.arange(height, dtype=np.float32)[:, None]
    total, result = 1.0, image.astype(np.float32)
    for k in range(1, int(2 * sigma / stride) + 1):
        weight = float(np.exp(-0.5 * (k * stride / sigma) ** 2))
        for step in (k * stride, -k * stride):
            moved = cv2.remap(
                image, x + flow[0] * step, y + flow[1] * step, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
            )
            result = result + weight * moved
        total += 2 * weight
    return result / total


def kuwahara(rgb: np.ndarray, flow: tuple[np.ndarray, np.ndarray], radius: float, stretch: float = 1.6) -> np.ndarray:
    """Flat patches with clean borders: a Kuwahara filter whose eight windows are placed along the contours.

    After Papari et al. 2007 and Kyprianidis et al. 2009: each window votes with the inverse of its variance.
    float32 [H, W, 3] -> the same; `radius` px across, `radius * stretch` along `flow`.
    """
    height, width = rgb.shape[:2]
    x = np.arange(width, dtype=np.float32)[None]
    y = np.arange(height, dtype=np.float32)[:, None]
    mean = blur(rgb, radius * 0.5)
    variance = np.maximum(blur((rgb * rgb).sum(2), radius * 0.5) - (mean * mean).sum(2), 0)
    stack = cv2.merge([mean, variance])
    total, votes = np.zeros_like(rgb), np.zeros((height, width, 1), np.float32)
    for angle in np.arange(8) * np.pi / 4:
        a, b = np.float32(np.cos(angle) * radius * stretch), np.float32(np.sin(angle) * radius)
        sample = cv2.remap(
            stack,
            x + a * flow[0] - b * flow[1],
            y + a * flow[1] + b * flow[0],
            cv2.INTER_LINEAR,
            None,
            cv2.BORDER_REFLECT,
        )
        weight = 1 / (1e-4 + sample[..., 3:]) ** 3
        total += weight * sample[..., :3]
        votes += weight
    return total / votes


def stretched(lab: np.ndarray, sample: np.ndarray, limit: float = 1.7) -> np.ndarray:
    """Lab with L moved and stretched, by `limit` times at most, so that `sample` (any L values) spans [0.07, 0.93]."""
    low, high = np.percentile(sample[:: max(1, sample.size // 20000)], (1, 99)) if sample.size else (0.07, 0.93)
    gain = float(np.clip(0.86 / max(high - low, 1e-3), 1.0, limit))
    offset = float(np.clip(0.5 - (low + high) / 2 * gain, -0.2, 0.2)) if gain > 1 else 0.0
    light = np.clip(lab[..., 0] * gain + offset, 0, 1)
    return np.dstack([light, lab[..., 1:]])


def vivid(lab: np.ndarray, gain: float, ceiling: float = 0.75) -> np.ndarray:
    """More chroma, levelling off toward `ceiling` so that strong colours do not burn."""
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    wanted = ceiling * np.tanh(chroma * gain / ceiling)
    return np.dstack([lab[..., 0], lab[..., 1:] * (wanted / (chroma + 1e-6))[..., None]])
