"""Ink lines: flow-based difference of Gaussians (Kang et al. 2007, Winnemöller et al. 2012), cleaned like a drawing."""

from __future__ import annotations

import cv2
import numpy as np

from vtoon.train.looks.regions import Face
from vtoon.train.looks.tone import along, blur, guided, mix, smoothstep, tensor


def valleys(gray: np.ndarray, width: float, unit: float) -> np.ndarray:
    """How much darker each place is than its surroundings, relative to them: float32 [H, W], about [-1, 1].

    `gray` float32 [H, W] in [0, 1]; `width` of the lines in units. Contours come out coherent because the tone is
    smoothed along them before and the response after.
    """
    flow = tensor(gray, 3.0 * unit)[:2]
    stride = max(1.0, 1.5 * unit)
    smooth = along(gray, flow, 3.0 * unit, stride)
    inner, outer = blur(smooth, width * unit), blur(smooth, width * 1.8 * unit)
    response = (outer - inner) / (outer + 0.12)
    return along(response, flow, 6.0 * unit, stride)


def ink(light: np.ndarray, face: Face, width: float = 1.5, detail: float = 1.0) -> np.ndarray:
    """Ink coverage of a face drawing of `light` (L, [H, W]), float32 [H, W] in [0, 1]; `width` of a stroke in units.

    Eyes, brows, nose and lips are drawn readily, the outline next, hair and background only where contrast is
    strong, and plain skin hardly at all; `detail` above 1 draws more. Short pieces are dropped.
    """
    gray = mix(light, blur(light, 2.0 * face.unit), face.skin * (1 - face.glasses))
    gray = guided(gray, gray, 5 * face.unit, 0.03)
    fine, broad = valleys(gray, width, face.unit), valleys(gray, width * 1.7, face.unit)
    drawn = face.drawn * (1 - 0.9 * face.mouth)
    response = np.maximum(fine * np.maximum(drawn, 0.8 * face.skin), broad * (1 - drawn))
    threshold = mix(np.float32(0.045), 0.10, face.skin)
    threshold = mix(mix(mix(threshold, 0.05, face.glasses), 0.024, face.jaw), 0.019, drawn) / detail
    threshold = threshold + 0.5 * face.mouth + 0.04 * (1 - face.near)
    lines = smoothstep(response / threshold, 0.6, 1.8) * (
        1 - 0.75 * smoothstep(face.eyes, 0.55, 0.95)
    )  # not the irises
    return drop_specks(lines, face.drawn, face.unit)


def drop_specks(lines: np.ndarray, drawn: np.ndarray, unit: float) -> np.ndarray:
    """Fade out connected strokes that are short: below 40 units, or below 14 where `drawn` says there is a feature."""
    mask = (lines > 0.25).astype(np.uint8)
    _, labels, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    extent = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) / unit
    x, y = np.nan_to_num(centres).astype(int).T
    keep = smoothstep(extent / mix(40.0, 14.0, drawn[y, x]), 0.7, 1.3).astype(np.float32)
    keep[0] = 0
    return lines * cv2.dilate(keep[labels], np.ones((3, 3), np.uint8))
