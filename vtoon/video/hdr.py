"""HDR light (PQ or HLG) to 8-bit SDR in BT.709, for a display with BT.1886's gamma of 2.4.

ITU-R BT.2100 gives the two transfer functions and the HLG display (1000 cd/m2, system gamma 1.2), BT.2408 the level of
reference white (203 cd/m2). Up to half of reference white light passes unchanged, so skin keeps its tone; above, a
hyperbola bends it so that 1000 cd/m2 arrive at SDR white.
"""

from __future__ import annotations

import cv2
import numpy as np

PQ, HLG = 16, 18  # transfer characteristics, ITU-T H.273
REFERENCE_WHITE, PEAK = 203.0, 1000.0  # cd/m2
KNEE = 0.5  # of reference white: where the curve leaves the straight line
DISPLAY_GAMMA = 2.4
LUMA_2020 = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
_STEPS = 1 << 16

# CIE xy of red, green, blue by H.273 code; the white is D65 for all of them.
CHROMATICITIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
D65 = (0.3127, 0.3290)


def pq_to_light(signal: np.ndarray) -> np.ndarray:
    """BT.2100 PQ EOTF: signal in [0, 1] -> cd/m2."""
    m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
    p = np.power(signal, 1 / m2)
    return 10000.0 * np.power(np.maximum(p - c1, 0) / (c2 - c3 * p), 1 / m1)


def hlg_to_scene(signal: np.ndarray) -> np.ndarray:
    """BT.2100 HLG inverse OETF: signal in [0, 1] -> scene light in [0, 1]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def tone_curve(light: np.ndarray, knee: float = KNEE, peak: float = PEAK / REFERENCE_WHITE) -> np.ndarray:
    """Straight up to `knee`, then the hyperbola with slope 1 at `knee` and value 1 at `peak`; 1.0 = reference white.

    With x = light - knee and h = 1 - knee it is knee + x / (1 + x * (1 / h - 1 / (peak - knee))).
    """
    x = np.clip(light, 0, peak) - knee
    bend = 1 / (1 - knee) - 1 / (peak - knee)
    return np.where(x <= 0, x + knee, knee + x / (1 + np.maximum(x, 0) * bend))


def gamut_matrix(source: int, target: int = 1) -> np.ndarray:
    """Linear light [3, 3] from the primaries `source` to `target` (H.273 codes)."""
    return np.linalg.inv(_to_xyz(target)) @ _to_xyz(source)


def _to_xyz(primaries: int) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*CHROMATICITIES[primaries], D65)]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])


class ToneMap:
    """Callable: uint16 [H, W, 3] PQ or HLG R'G'B', full range -> uint8 [H, W, 3] BT.709."""

    def __init__(self, transfer: int, primaries: int = 9) -> None:
        signal = np.linspace(0, 1, _STEPS)
        self._hlg = transfer == HLG
        light = hlg_to_scene(signal) if self._hlg else pq_to_light(signal) / REFERENCE_WHITE
        self._light = light.astype(np.float32)
        self._matrix = gamut_matrix(primaries if primaries in CHROMATICITIES else 9).astype(np.float32)
        # Indexed by the square root of light / peak, so that the shadows have steps enough.
        shown = tone_curve(signal**2 * PEAK / REFERENCE_WHITE)
        self._code = np.rint(255 * shown ** (1 / DISPLAY_GAMMA)).astype(np.uint8)

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        light = self._light[signal]
        if self._hlg:  # the display's system gamma: Y ** 0.2 is what luminance adds (BT.2100, OOTF)
            light *= cv2.transform(light, LUMA_2020)[..., None] ** 0.2 * (PEAK / REFERENCE_WHITE)
        light = cv2.transform(light, self._matrix * (REFERENCE_WHITE / PEAK))
        return self._code[(np.sqrt(np.clip(light, 0, 1)) * (_STEPS - 1)).astype(np.uint16)]
