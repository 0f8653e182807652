"""Redrawn eyes: a shaded ball, a round iris with ring, gradient and catchlight, lash line and lid crease.

Everything is a smooth function of the photo and the landmarks (soft means instead of percentiles and thresholds), so
that an eye neither jumps nor blinks from frame to frame. Lengths in px, images float32 RGB [H, W, 3] in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from vtoon.faces.frame import smoothstep
from vtoon.image import blur, from_lab, mix, tensor, to_lab
from vtoon.types import Landmarks

UNIT_EYE_DISTANCE = 128.0  # lengths are in units: px of a face whose eyes are this far apart
IRIS = 0.28  # radius over the width of the eye
OPEN = (0.14, 0.24)  # height over width: closed, and open enough to be drawn in full
BROWN = (0.085, 0.115)  # Lab a, b
BLUE = (0.024, 0.042)  # -b of an iris: what brown ones reflect of the sky, and blue ones
COVERED = (0.40, 0.52)  # L under the eye over the skin's: behind dark glasses, and not
BARE = (0.30, 0.46)  # share of the opening that does not look like skin: shut, whatever the landmarks say, and open
OTHERS = 0.35  # of what the other eye is more open counts, too: few wink, and one eye may lie in shade
RIMS = (0.035, 0.085)  # how far it stands out of the photo: pores, and rims of glasses
LINES = (0.45, 0.75)  # how much of one direction it is: spots, and lines
DARK, PALE = (0.54, 0.66), (0.25, 0.55)  # what does not: L over the skin's, and how much of the skin's red is missing
LID = 1.25  # width of what is redrawn of a shut eye over that of the eye
TURNED = (0.40, 0.60)  # width of an eye over the other's: of a face in profile, and of one that shows both
LIGHT = np.array([-0.35, -0.75])  # right, down: toward the light, where both sides of a face are as light
SIDE = 0.5  # how far it turns to the lighter side at most
CHEEKS = ([2, 31, 41], [14, 35, 46])
Box = tuple[slice, slice]  # rows, columns
# The four points of each upper and lower lid, from the nose to the temple.
LIDS = (((39, 38, 37, 36), (39, 40, 41, 36)), ((42, 43, 44, 45), (42, 47, 46, 45)))


@dataclass(frozen=True)
class Portrait:
    """A photo and where its face is."""

    image: np.ndarray  # uint8 [H, W, 3] RGB, or float32 in [0, 1]
    landmarks: Landmarks

    @cached_property
    def unit(self) -> float:
        """Pixels of one unit of length."""
        return self.landmarks.eye_distance / UNIT_EYE_DISTANCE

    @cached_property
    def up(self) -> np.ndarray:
        """[2] unit vector from the mouth to the eyes."""
        vector = self.landmarks.eye_middle - self.landmarks.mouth
        return vector / max(float(np.hypot(*vector)), 1e-6)


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
class Eye:
    """One eye and the part of the picture around it."""

    upper: np.ndarray  # float [n, 2] px within the window, along the lid from the nose to the temple
    lower: np.ndarray
    window: tuple[slice, slice]
    size: tuple[int, int]  # h, w of the window
    unit: float
    up: np.ndarray

    @property
    def width(self) -> float:
        return max(float(np.hypot(*(self.upper[-1] - self.upper[0]))), 1.0)

    @property
    def opening(self) -> float:
        """Height over width, the mean of the middle half."""
        n = len(self.upper)
        gaps = self.upper[n // 4 : 3 * n // 4] - self.lower[n // 4 : 3 * n // 4]
        return float(np.hypot(*gaps.T).mean()) / self.width

    @cached_property
    def mask(self) -> np.ndarray:
        """The opening, float32 [h, w]; its border about a unit soft."""
        outline = np.vstack([self.upper + self.up * 1.2 * self.unit, self.lower[::-1] - self.up * 0.6 * self.unit])
        return filled(self.size, [outline], 1.0 * self.unit)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of the window's pixels."""
        return np.meshgrid(*(np.arange(n, dtype=np.float32) for n in self.size[::-1]))


def eyes_of(face: Portrait) -> list[Eye]:
    """Those eyes of a face that lie in the picture."""
    height, width = face.image.shape[:2]
    found = []
    for upper, lower in LIDS:
        both = [_curve(face.landmarks.points[list(lid)]) for lid in (upper, lower)]
        middle = (both[0][0] + both[0][-1]) / 2
        wide = float(np.hypot(*(both[0][-1] - both[0][0])))
        along = np.abs(both[0][-1] - both[0][0]) / max(wide, 1e-3)
        reach = wide * (0.6 + 0.3 * along) + 4  # lashes go out at the side, creases up
        (left, top), (right, bottom) = np.floor(middle - reach).astype(int), np.ceil(middle + reach).astype(int)
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if right - left > 3 and bottom - top > 3:
            lids = [lid - (left, top) for lid in both]
            window = slice(top, bottom), slice(left, right)
            found.append(Eye(*lids, window, (bottom - top, right - left), face.unit, face.up))
    return found


def _curve(points: np.ndarray, count: int = 33) -> np.ndarray:
    """The cubic through four points of a lid: [count, 2]."""
    at = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T)) + 1e-3 * np.arange(1, 4)])
    t = np.linspace(0, at[-1], count)
    basis = [np.prod([(t - at[j]) / (at[i] - at[j]) for j in range(4) if j != i], axis=0) for i in range(4)]
    return np.stack(basis, 1) @ points


def around_eyes(landmarks: Landmarks, size: tuple[int, int]) -> Box | None:
    """The part of a picture of `size` (h, w) in which `redraw_eyes` paints; None where no eye lies in it."""
    eyes, reach = landmarks.points[36:48], 0.6 * landmarks.eye_distance + 6
    left, top = np.maximum(np.floor(eyes.min(0) - reach).astype(int), 0)
    right, bottom = np.minimum(np.ceil(eyes.max(0) + reach).astype(int), (size[1], size[0]))
    return (slice(top, bottom), slice(left, right)) if min(right - left, bottom - top) >= 8 else None


def redraw_eyes(rgb: np.ndarray, face: Portrait, light: EyeLight) -> np.ndarray:
    """Both eyes drawn anew over `rgb`. What dark glasses cover stays covered, what is shut stays shut."""
    result, eyes = rgb.copy(), eyes_of(face)
    labs = [to_lab(face.image[eye.window]) for eye in eyes]
    level = max(light.level, 0.02)
    skins = [skin_below(lab, eye) for lab, eye in zip(labs, eyes, strict=True)]
    under = float(np.mean([light for light, _, _ in skins])) if eyes else 0.0
    strength = _step(under / level, COVERED)
    if strength == 0:
        return result
    iris = from_lab(np.float32(light.iris).reshape(1, 1, 3))[0, 0]
    widest = max(eye.width for eye in eyes)
    open_ = [bare(lab, eye, skin) for lab, eye, skin in zip(labs, eyes, skins, strict=True)]
    for lab, eye, own in zip(labs, eyes, open_, strict=True):
        part, seen = result[eye.window], Seen.of(lab, eye)
        turned = strength * _step(eye.width / widest, TURNED)
        shown = turned * _step(own + OTHERS * max(0.0, max(open_) - own), BARE)
        openness = _step(eye.opening, OPEN)
        if turned > shown:
            part = lid(part, face.image[eye.window], eye, turned - shown)
        part = mix(part, eyeball(seen, eye, iris, light.toward), seen.mask * openness * shown)
        result[eye.window] = mix(part, lashes(crease(part, eye), eye), shown)
    return result


def keep_rims(rgb: np.ndarray, face: Portrait) -> np.ndarray:
    """A drawing with what stands out of the photo as a line, round the eyes, at its own strength: glasses above all,
    deep wrinkles; no freckles. Eyes and brows stay as they are drawn."""
    points, up, unit = face.landmarks.points, face.up, face.unit
    eyes = [points[36:42], points[42:48]]
    middle = np.vstack(
        [points[[0, 36]].mean(0), eyes[0].mean(0), points[27], eyes[1].mean(0), points[[16, 45]].mean(0)]
    )
    round_eyes = filled(rgb.shape[:2], [ribbon(middle - up * 15 * unit, up, 54 * unit)], 8 * unit)
    openings = [grown(eye, 1.35) for eye in eyes]
    brows = [ribbon(points[brow], up, 5 * unit) for brow in (slice(17, 22), slice(22, 27))]
    own = round_eyes * (1 - filled(rgb.shape[:2], openings + brows, 2 * unit))
    photo = face.image.astype(np.float32) / 255 if face.image.dtype == np.uint8 else face.image
    told, drawn = (picture - blur(picture, 5 * unit) for picture in (photo, rgb))
    *_, line = tensor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 2.5 * unit)
    red, green, blue = cv2.split(np.abs(told))  # numpy takes ten times as long for the largest of three
    most = cv2.max(cv2.max(red, green), blue)
    strong = smoothstep(blur(most, 1.2 * unit), *RIMS) * smoothstep(line, *LINES) * own
    return np.clip(rgb + strong[..., None] * (told - drawn), 0, 1)


def grown(points: np.ndarray, factor: float) -> np.ndarray:
    """[n, 2] from their middle."""
    centre = points.mean(0)
    return centre + (points - centre) * factor


def ribbon(line: np.ndarray, up: np.ndarray, half: float) -> np.ndarray:
    """Of half width `half` px, along an open line [n, 2]."""
    return np.vstack([line + up * half, line[::-1] - up * half])


def filled(size: tuple[int, int], polygons: list[np.ndarray], feather: float) -> np.ndarray:
    """Polygons [n, 2] px each, their border `feather` px soft: float32 [h, w] in [0, 1]."""
    canvas = np.zeros(size, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(canvas, [np.round(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return blur(canvas.astype(np.float32) / 255, feather)


def _step(value: float, edges: tuple[float, float]) -> float:
    return float(smoothstep(np.float32(value), *edges))


@dataclass(frozen=True)
class Seen:
    """What the photo tells of an eye."""

    lab: np.ndarray  # of the window
    mask: np.ndarray
    bright: float  # L
    cast: np.ndarray  # [2] a, b of the light
    centre: np.ndarray  # [2] px, of the iris
    distance: np.ndarray  # of every pixel from there, in radii
    radius: float  # px

    @classmethod
    def of(cls, lab: np.ndarray, eye: Eye) -> Seen:
        mask, (x, y), radius = eye.mask, eye.grid(), IRIS * eye.width
        dark, bright = soft_range(lab[..., 0], mask)
        centre = iris_centre(lab[..., 0], mask, eye, dark, bright)
        distance = np.hypot(x - centre[0], y - centre[1]) / radius
        return cls(lab, mask, bright, _cast(lab, mask, bright), centre, distance, radius)


def lid(rgb: np.ndarray, photo: np.ndarray, eye: Eye, share: float) -> np.ndarray:
    """A shut eye as the photo has it, in the drawing's tone: a network that was taught on open ones sees an iris in the
    shadow of the lashes."""
    outline = ribbon(grown((eye.upper + eye.lower)[::4] / 2, LID), eye.up, 0.3 * eye.width)
    inside = filled(eye.size, [outline], 0.08 * eye.width)
    calm = blur(photo.astype(np.float32) / 255 if photo.dtype == np.uint8 else photo, 0.7 * eye.unit)
    ring = (filled(eye.size, [grown(outline, 1.3)], 0.08 * eye.width) - inside).clip(0)[..., None] + 1e-6
    tone = ((rgb * ring).sum((0, 1)) + 0.02) / ((calm * ring).sum((0, 1)) + 0.02)
    return mix(rgb, (calm * tone).clip(0, 1), share * inside)


def skin_below(lab: np.ndarray, eye: Eye) -> np.ndarray:
    """[3] Lab of the skin close under an eye."""
    band = stroke(eye.lower - eye.up * 0.16 * eye.width, np.full(len(eye.lower), 0.14 * eye.width), eye.size)
    return (lab * band[..., None]).sum((0, 1)) / (band.sum() + 1e-3)


def bare(lab: np.ndarray, eye: Eye, skin: np.ndarray) -> float:
    """The share of an eye's opening that is not skin [3] Lab but iris, pupil or white. During a blink landmarks come
    too late: they are smoothed, and the lid is fast."""
    light, red, _ = skin
    dark = 1 - smoothstep(lab[..., 0] / max(light, 0.02), *DARK)
    pale = smoothstep(1 - lab[..., 1] / max(red, 0.03), *PALE)
    mask = eye.mask
    return float((np.maximum(dark, pale) * mask).sum() / (mask.sum() + 1e-3))


def eyeball(seen: Seen, eye: Eye, colour: np.ndarray, light: np.ndarray) -> np.ndarray:
    """The ball as if there were no lids: float32 RGB of the window; `colour` [3] RGB of the iris."""
    (x, y), centre, radius, distance = eye.grid(), seen.centre, seen.radius, seen.distance
    ambient = float(np.clip(0.62 * seen.bright + 0.36, 0.32, 0.95))
    to_lid = _depth(eye.upper, eye, x, y) / radius
    side = ((x - centre[0]) * light[0] + (y - centre[1]) * light[1]) / (2.5 * radius)
    shade = 0.70 + 0.30 * smoothstep(to_lid, 0.0, 0.65) + 0.04 * np.clip(side, -1, 1)
    ball = from_lab(np.float32([[[ambient, *(0.3 * seen.cast)]]]))[0, 0] * shade[..., None]
    iris = paint_iris(colour, distance, (y - centre[1]) / radius)
    iris *= (0.62 + 0.38 * smoothstep(to_lid, 0.0, 0.8))[..., None]
    ball = mix(ball, iris, 1 - smoothstep(distance, 0.94, 1.07))
    spot = centre + light * radius * 0.5
    spark = 1 - smoothstep(np.hypot(x - spot[0], y - spot[1]) / radius, 0.17, 0.28)
    far = np.hypot(x - centre[0] + 0.45 * light[0] * radius, y - centre[1] + 0.5 * light[1] * radius) / radius
    ball = ball + 0.16 * ambient * (np.exp(-((far / 0.22) ** 2)) * seen.mask)[..., None]
    return mix(ball, np.float32([1, 1, 0.98]), spark * float(np.clip(ambient + 0.15, 0, 0.98)))


def soft_range(light: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """About the 5th and 95th percentile of L under a mask, as power means: smooth in both."""
    total = float(mask.sum()) + 1e-6
    bright = float(((np.clip(light, 0, 1) ** 10 * mask).sum() / total) ** 0.1)
    dark = 1 - float(((np.clip(1 - light, 0, 1) ** 10 * mask).sum() / total) ** 0.1)
    return min(dark, bright - 1e-3), bright


def iris_centre(light: np.ndarray, mask: np.ndarray, eye: Eye, dark: float, bright: float) -> np.ndarray:
    """[2] px: where the dark of the opening is, found twice, the second time near the first; drawn to the middle."""
    x, y = eye.grid()
    corners = (eye.upper[0] + eye.upper[-1]) / 2
    n = len(eye.upper) // 2
    middle = 0.5 * corners + 0.25 * (eye.upper[n] + eye.lower[n])
    calm = blur(light, 1.5 * eye.unit)
    weight = np.clip((0.25 * dark + 0.75 * bright - calm) / (bright - dark + 0.03), 0, 1) ** 2 * mask
    centre = middle
    for reach in (0.45, 0.30, 0.27):
        near = weight * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (reach * eye.width) ** 2)
        total = float(near.sum()) + 0.02 * eye.width
        centre = np.array([(x * near).sum(), (y * near).sum()]) + 0.02 * eye.width * middle
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
    clear = _step(light / max(bright, 0.05), (0.36, 0.52)) * _step(light, (0.10, 0.24))
    brown = 1 - (1 - red) * max(clear, _step(-b, BLUE))
    cast = np.mean([one.cast for one in eyes], 0)
    own = np.float32([a * gain, b * gain]) * (1 - brown) + np.float32(BROWN) * brown + 0.4 * cast
    light = 0.17 + 0.33 * np.tanh(max(light - 0.08, 0) / 0.33) + 0.12 * (1 - brown) * smoothstep(light, 0.1, 0.3)
    return np.array([light, *own])


def _ring(seen: Seen) -> tuple[float, float, float, float]:
    """Of the ring between pupil and rim: L, and a and b less those of the light; L of the white."""
    ring = np.exp(-(((seen.distance - 0.62) / 0.22) ** 2)) * seen.mask + 1e-6
    light, a, b = (float((seen.lab[..., i] * ring).sum() / ring.sum()) for i in range(3))
    return light, a - 0.8 * seen.cast[0], b - 0.8 * seen.cast[1], seen.bright


def paint_iris(colour: np.ndarray, distance: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Dark ring, light pooled below, pupil; `distance` from the centre and `down` in radii."""
    pool = 0.62 + 0.75 * smoothstep(down, -0.5, 0.8) * (1 - 0.4 * smoothstep(distance, 0.6, 1.0))
    iris = colour * pool[..., None] * (1 - 0.68 * smoothstep(distance, 0.68, 0.98))[..., None]
    return mix(iris, np.float32([0.025, 0.02, 0.02]), 1 - smoothstep(distance, 0.36, 0.47))


def _cast(lab: np.ndarray, mask: np.ndarray, bright: float) -> np.ndarray:
    """[2] a, b of the scene's light, as the brightest of the eye shows it."""
    weight = np.clip(lab[..., 0] / max(bright, 1e-3), 0, 1) ** 6 * mask + 1e-6
    return 0.12 * np.tanh(np.array([(lab[..., i] * weight).sum() / weight.sum() for i in (1, 2)]) / 0.12)


def _depth(lid: np.ndarray, eye: Eye, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far each pixel lies below a lid, px, along the face's own down."""
    across = np.array([-eye.up[1], eye.up[0]])
    s, t = lid @ across, -(lid @ eye.up)
    order = np.argsort(s)
    here = x * across[0] + y * across[1]
    return -(x * eye.up[0] + y * eye.up[1]) - np.interp(here, s[order], t[order]).astype(np.float32)


def lashes(rgb: np.ndarray, eye: Eye) -> np.ndarray:
    """The upper line, thickest past the middle, with a flick at the temple; a thin one below."""
    n = len(eye.upper)
    tip = eye.upper[-1] + 0.09 * (eye.upper[-1] - eye.upper[-8]) + eye.up * 2.2 * eye.unit
    upper = np.vstack([eye.upper + eye.up * 0.8 * eye.unit, [(eye.upper[-1] + tip) / 2 + eye.up, tip]])
    t = np.linspace(0, 1, len(upper))
    line = stroke(upper, (1.0 + 3.6 * np.sin(np.pi * np.clip(t, 0, 1) ** 1.3) ** 0.8) * eye.unit, eye.size)
    low = stroke(eye.lower[n // 3 :] - eye.up * 0.4 * eye.unit, np.full(n - n // 3, 1.1 * eye.unit), eye.size)
    cover = np.maximum(0.92 * blur(line, 0.7 * eye.unit), 0.35 * blur(low, 0.9 * eye.unit))
    return mix(rgb, rgb * 0.10 + np.float32([0.025, 0.018, 0.018]), cover)


def crease(rgb: np.ndarray, eye: Eye) -> np.ndarray:
    """A soft fold above the lid, and the shade of the socket between fold and lashes."""
    gap = (0.085 + 0.20 * min(eye.opening, 0.4)) * eye.width
    lift = eye.up * gap * np.sin(np.pi * np.linspace(0.16, 0.93, len(eye.upper)))[:, None] ** 0.6
    line = blur(stroke(eye.upper + lift, np.full(len(eye.upper), 1.6 * eye.unit), eye.size), 1.3 * eye.unit)
    return rgb * (1 - line[..., None] * np.float32([0.30, 0.40, 0.42]))


def stroke(points: np.ndarray, widths: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A line of varying width, px, as a smooth polygon: float32 [h, w] in [0, 1]."""
    ahead = np.gradient(points, axis=0)
    normal = np.stack([-ahead[:, 1], ahead[:, 0]], 1) / (np.hypot(*ahead.T)[:, None] + 1e-6)
    half = normal * widths[:, None] / 2
    return filled(size, [np.vstack([points + half, (points - half)[::-1]])], 0)
