"""Hair as crisp strands: smoothed along its flow, sharpened across it, never beyond the photo's own range."""

from __future__ import annotations

import cv2
import numpy as np

from vtoon.train.looks.tone import along, blur, smoothstep


def strands(lab: np.ndarray, flow: tuple[np.ndarray, np.ndarray], unit: float, rounds: int = 2) -> np.ndarray:
    """Lab [H, W, 3] -> the same: line integral convolution (Cabral and Leedom 1993) and a shock (Osher and Rudin 1990;
    Kyprianidis and Kang 2011) in turns, on L; the colours follow the flow."""
    source = lab[..., 0]
    light = source
    for _ in range(rounds):
        light = along(light, flow, 6 * unit, max(1.0, 1.4 * unit))
        light = light + 0.9 * (light - blur(light, 1.8 * unit)) + 0.45 * (light - blur(light, 6 * unit))
        light = bounded(light, source, 4 * unit)
    colour = along(lab[..., 1:], flow, 5 * unit, max(1.0, 2.5 * unit))
    return np.dstack([light, colour])


def bounded(light: np.ndarray, source: np.ndarray, reach: float) -> np.ndarray:
    """L no lighter and no darker than the photo's within `reach` px: sharpening leaves no rims beside strong edges."""
    size = 2 * max(1, round(reach)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    calm = blur(source, max(0.8, reach / 4))
    low, high = cv2.erode(calm, kernel), cv2.dilate(calm, kernel)
    return np.clip(light, blur(low, reach / 2), blur(high, reach / 2))


def textured(light: np.ndarray, unit: float) -> np.ndarray:
    """[0, 1]: where there is something to comb. A plain wall has grain only, which strands would turn into wool."""
    fine = blur(light, 0.8 * unit) - blur(light, 5 * unit)
    contrast = np.sqrt(np.maximum(blur(fine * fine, 9 * unit), 0)) / (0.12 + blur(light, 9 * unit))
    return smoothstep(contrast, 0.020, 0.045)
