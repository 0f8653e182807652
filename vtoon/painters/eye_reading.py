"""What the photo tells of eyes: where they look, their colour, whether they are open, the light on them.

Everything is a smooth function of the photo and the landmarks (soft means instead of percentiles and thresholds), so
that an eye neither jumps nor blinks from frame to frame. Lengths in px, images float32 Lab [H, W, 3].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtoon.faces.frame import smoothstep
from vtoon.image import blur, to_lab
from vtoon.painters.eye_shapes import Eye, Portrait, eyes_of, stroke

IRIS = 0.28  # radius over the width of the eye
BROWN = (0.085, 0.115)  # Lab a, b
BLUE = (0.024, 0.042)  # -b of an iris: what brown ones reflect of the sky, and blue ones
COVERED = (0.52, 0.66)  # L under the eye over the skin's: behind dark glasses, and not
PLAIN = (0.12, 0.20)  # from the darkest to the lightest of an eye, over the skin's L: through dark glass, and not
DARK, PALE = (0.54, 0.66), (0.25, 0.55)  # what is no skin: L over its, how much of its red is missing
LIGHT = np.array([-0.35, -0.75])  # right, down: toward the light, where both sides of a face are as light
SIDE = 0.5  # how far it turns to the lighter side at most
CHEEKS = ([2, 31, 41], [14, 35, 46])


@dataclass(frozen=True)
class EyeLight:
    """What eyes are painted with besides their shape."""

    iris: np.ndarray  # [3] Lab
    toward: np.ndarray  # [2] px direction toward the light, length 1 at most
    level: float  # L of the skin

    @classmethod
    def of(cls, face: Portrait, toward: np.ndarray | None = None, level: float | None = None) -> EyeLight:
        """As the photo shows it; where nothing is told, the light is from the side whose cheek is lighter."""
        if toward is None or level is None:
            right, left = (_patch(face, face.landmarks.points[cheek].mean(0)) for cheek in CHEEKS)
            level = (right + left) / 2
            side = SIDE * np.tanh(2.5 * (left - right) / max(level, 0.05))
            toward = LIGHT + np.array([side, 0])
        iris = iris_colour([Seen.of(to_lab(face.image[eye.window]), eye) for eye in eyes_of(face)])
        return cls(iris, toward, level)

    @property
    def numbers(self) -> np.ndarray:
        """[6], to be averaged over time."""
        return np.float32([*self.iris, *self.toward, self.level])

    @classmethod
    def from_numbers(cls, numbers: np.ndarray) -> EyeLight:
        return cls(numbers[:3], numbers[3:5], float(numbers[5]))


def _patch(face: Portrait, centre: np.ndarray) -> float:
    """Mean L round a point."""
    reach = max(1, round(14 * face.unit))
    (left, top), (height, width) = np.round(centre).astype(int) - reach, face.image.shape[:2]
    left, top = (int(np.clip(v, 0, max(0, n - 2 * reach))) for v, n in ((left, width), (top, height)))
    return float(to_lab(face.image[top : top + 2 * reach, left : left + 2 * reach])[..., 0].mean())


@dataclass(frozen=True)
class Seen:
    """What the photo tells of an eye."""

    lab: np.ndarray  # of the window
    mask: np.ndarray
    dark: float  # L
    bright: float
    cast: np.ndarray  # [2] a, b of the light
    centre: np.ndarray  # [2] px, of the iris
    distance: np.ndarray  # of every pixel from there, in radii
    radius: float  # px

    @classmethod
    def of(cls, lab: np.ndarray, eye: Eye) -> Seen:
        mask, (x, y), radius = eye.mask, eye.grid, IRIS * eye.width
        dark, bright = soft_range(lab[..., 0], mask)
        centre = iris_centre(lab[..., 0], mask, eye, dark, bright)
        distance = np.hypot(x - float(centre[0]), y - float(centre[1])) / radius
        return cls(lab, mask, dark, bright, _cast(lab, mask, bright), centre, distance, radius)


def skin_below(lab: np.ndarray, eye: Eye) -> np.ndarray:
    """[3] Lab of the skin close under an eye."""
    band = stroke(eye.lower - eye.up * 0.16 * eye.width, np.full(len(eye.lower), 0.14 * eye.width), eye.size)
    return (lab * band[..., None]).sum((0, 1)) / (band.sum() + 1e-3)


def uncovered(eyes: list[Seen], skins: list[np.ndarray], level: float) -> float:
    """1 where eyes are seen, 0 behind dark glasses: it is dark under them, and they show neither white nor pupil.
    `skins`: of each, [3] Lab under it; `level`: L of the cheeks, which on dark skin may shine far above the rest."""
    if not eyes:
        return 0.0
    light = step(float(np.mean([skin[0] for skin in skins])) / max(level, 0.02), COVERED)
    ranges = [(eye.bright - eye.dark) / max(float(skin[0]), 0.05) for eye, skin in zip(eyes, skins, strict=True)]
    return max(light, step(max(ranges), PLAIN))


def bare(lab: np.ndarray, eye: Eye, skin: np.ndarray) -> float:
    """The share of an eye's opening that is not skin [3] Lab but iris, pupil or white. During a blink landmarks come
    too late: they are smoothed, and the lid is fast."""
    light, red, _ = skin
    dark = 1 - smoothstep(lab[..., 0] / max(light, 0.02), *DARK)
    pale = smoothstep(1 - lab[..., 1] / max(red, 0.03), *PALE)
    mask = eye.mask
    return float((np.maximum(dark, pale) * mask).sum() / (mask.sum() + 1e-3))


def soft_range(light: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """About the 5th and 95th percentile of L under a mask, as power means: smooth in both."""
    total = float(mask.sum()) + 1e-6
    bright = float(((np.clip(light, 0, 1) ** 10 * mask).sum() / total) ** 0.1)
    dark = 1 - float(((np.clip(1 - light, 0, 1) ** 10 * mask).sum() / total) ** 0.1)
    return min(dark, bright - 1e-3), bright


def iris_centre(light: np.ndarray, mask: np.ndarray, eye: Eye, dark: float, bright: float) -> np.ndarray:
    """[2] px: where the dark of the opening is, found twice, the second time near the first; drawn to the middle."""
    x, y = eye.grid
    corners = (eye.upper[0] + eye.upper[-1]) / 2
    n = len(eye.upper) // 2
    middle = 0.5 * corners + 0.25 * (eye.upper[n] + eye.lower[n])
    calm = blur(light, 1.5 * eye.unit)
    weight = np.clip((0.25 * dark + 0.75 * bright - calm) / (bright - dark + 0.03), 0, 1) ** 2 * mask
    centre = middle
    for reach in (0.45, 0.30, 0.27):
        across, down = x - float(centre[0]), y - float(centre[1])
        near = weight * np.exp(-(across * across + down * down) / (reach * eye.width) ** 2)
        total = float(near.sum()) + 0.02 * eye.width
        centre = np.array([np.vdot(x, near), np.vdot(y, near)], float) + 0.02 * eye.width * middle
        centre = centre / total
    along = eye.upper[-1] - eye.upper[0]
    along = along / max(float(np.hypot(*along)), 1e-6)
    offset = centre - middle
    side = float(offset @ along)
    across = offset - side * along
    limit = 0.24 * eye.width
    return middle + eye.up * 0.012 * eye.width + 0.92 * limit * np.tanh(side / limit) * along + 0.5 * across


def iris_colour(eyes: list[Seen]) -> np.ndarray:
    """[3] Lab: the photo's own as white light would show it, a little stronger, light enough to be seen as a colour.

    Both eyes are measured together: one may lie in shade. What is dark beside the white of the eye is brown, whatever
    tint the sky leaves on it, unless that is a strong blue.
    """
    if not eyes:
        return np.array([0.3, *BROWN])
    light, a, b, bright = np.mean([_ring(one) for one in eyes], 0)
    chroma = float(np.hypot(a, b))
    gain = np.tanh(2.8 * chroma / 0.20) * 0.20 / max(chroma, 1e-3)
    red = float(smoothstep(a - 0.5 * max(b, 0.0), 0.01, 0.04))  # the red of lids is no colour of eyes
    clear = step(light / max(bright, 0.05), (0.36, 0.52)) * step(light, (0.10, 0.24))
    brown = 1 - (1 - red) * max(clear, step(-b, BLUE))
    cast = np.mean([one.cast for one in eyes], 0)
    own = np.float32([a * gain, b * gain]) * (1 - brown) + np.float32(BROWN) * brown + 0.4 * cast
    light = 0.17 + 0.33 * np.tanh(max(light - 0.08, 0) / 0.33) + 0.12 * (1 - brown) * smoothstep(light, 0.1, 0.3)
    return np.array([light, *own])


def _ring(seen: Seen) -> tuple[float, float, float, float]:
    """Of the ring between pupil and rim: L, and a and b less those of the light; L of the white."""
    ring = np.exp(-(((seen.distance - 0.62) / 0.22) ** 2)) * seen.mask + 1e-6
    light, a, b = (float((seen.lab[..., i] * ring).sum() / ring.sum()) for i in range(3))
    return light, a - 0.8 * seen.cast[0], b - 0.8 * seen.cast[1], seen.bright


def _cast(lab: np.ndarray, mask: np.ndarray, bright: float) -> np.ndarray:
    """[2] a, b of the scene's light, as the brightest of the eye shows it."""
    weight = np.clip(lab[..., 0] / max(bright, 1e-3), 0, 1) ** 6 * mask + 1e-6
    return 0.12 * np.tanh(np.array([(lab[..., i] * weight).sum() / weight.sum() for i in (1, 2)]) / 0.12)


def step(value: float, edges: tuple[float, float]) -> float:
    """`smoothstep` of one number."""
    return float(smoothstep(np.float32(value), *edges))
