"""Redrawn eyes: a shaded ball, a round iris with ring, gradient and catchlight, lash line and lid crease.

Lengths in px, images float32 RGB [H, W, 3] in [0, 1]; smooth in everything, see `eye_reading`.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtoon.faces.frame import smoothstep
from vtoon.image import blur, from_lab, mix, tensor, to_lab
from vtoon.painters.eye_reading import EyeLight, Seen, bare, skin_below, step, uncovered
from vtoon.painters.eye_shapes import Eye, Portrait, eyes_of, filled, grown, ribbon, stroke

OPEN = (0.14, 0.24)  # height over width: closed, and open enough to be drawn in full
BARE = (0.30, 0.46)  # share of the opening that does not look like skin: shut, whatever the landmarks say, and open
OTHERS = 0.35  # of what the other eye is more open counts, too: few wink, and one eye may lie in shade
RIMS = (0.035, 0.085)  # how far it stands out of the photo: pores, and rims of glasses
LINES = (0.45, 0.75)  # how much of one direction it is: spots, and lines
LID = 1.25  # width of what is redrawn of a shut eye over that of the eye
TURNED = (0.40, 0.60)  # width of an eye over the other's: of a face in profile, and of one that shows both


def redraw_eyes(rgb: np.ndarray, face: Portrait, light: EyeLight) -> np.ndarray:
    """Both eyes drawn anew over `rgb`. What dark glasses cover stays covered, what is shut stays shut."""
    result, eyes = rgb.copy(), eyes_of(face)
    labs = [to_lab(face.image[eye.window]) for eye in eyes]
    skins = [skin_below(lab, eye) for lab, eye in zip(labs, eyes, strict=True)]
    told = [Seen.of(lab, eye) for lab, eye in zip(labs, eyes, strict=True)]
    strength = uncovered(told, skins, light.level)
    if strength == 0:
        return result
    iris = from_lab(np.float32(light.iris).reshape(1, 1, 3))[0, 0]
    widest = max(eye.width for eye in eyes)
    open_ = [bare(lab, eye, skin) for lab, eye, skin in zip(labs, eyes, skins, strict=True)]
    for seen, eye, own in zip(told, eyes, open_, strict=True):
        part = result[eye.window]
        turned = strength * step(eye.width / widest, TURNED)
        shown = turned * step(own + OTHERS * max(0.0, max(open_) - own), BARE)
        openness = step(eye.opening, OPEN)
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


def lid(rgb: np.ndarray, photo: np.ndarray, eye: Eye, share: float) -> np.ndarray:
    """A shut eye as the photo has it, in the drawing's tone: a network that was taught on open ones sees an iris in the
    shadow of the lashes."""
    outline = ribbon(grown((eye.upper + eye.lower)[::4] / 2, LID), eye.up, 0.3 * eye.width)
    inside = filled(eye.size, [outline], 0.08 * eye.width)
    calm = blur(photo.astype(np.float32) / 255 if photo.dtype == np.uint8 else photo, 0.7 * eye.unit)
    ring = (filled(eye.size, [grown(outline, 1.3)], 0.08 * eye.width) - inside).clip(0)[..., None] + 1e-6
    tone = ((rgb * ring).sum((0, 1)) + 0.02) / ((calm * ring).sum((0, 1)) + 0.02)
    return mix(rgb, (calm * tone).clip(0, 1), share * inside)


def eyeball(seen: Seen, eye: Eye, colour: np.ndarray, light: np.ndarray) -> np.ndarray:
    """The ball as if there were no lids: float32 RGB of the window; `colour` [3] RGB of the iris."""
    (x, y), radius, distance = eye.grid, seen.radius, seen.distance
    right, down = (float(v) for v in light)
    across, below = x - float(seen.centre[0]), y - float(seen.centre[1])
    ambient = float(np.clip(0.62 * seen.bright + 0.36, 0.32, 0.95))
    to_lid = _depth(eye.upper, eye, x, y) / radius
    side = (across * right + below * down) / (2.5 * radius)
    shade = 0.70 + 0.30 * smoothstep(to_lid, 0.0, 0.65) + 0.04 * np.clip(side, -1, 1)
    ball = from_lab(np.float32([[[ambient, *(0.3 * seen.cast)]]]))[0, 0] * shade[..., None]
    iris = paint_iris(np.float32(colour), distance, below / radius)
    iris *= (0.62 + 0.38 * smoothstep(to_lid, 0.0, 0.8))[..., None]
    ball = mix(ball, iris, 1 - smoothstep(distance, 0.94, 1.07))
    spark = 1 - smoothstep(np.hypot(across - 0.5 * right * radius, below - 0.5 * down * radius) / radius, 0.17, 0.28)
    far = np.hypot(across + 0.45 * right * radius, below + 0.5 * down * radius) / (0.22 * radius)
    ball = ball + 0.16 * ambient * (np.exp(-far * far) * seen.mask)[..., None]
    return mix(ball, np.float32([1, 1, 0.98]), spark * float(np.clip(ambient + 0.15, 0, 0.98)))


def paint_iris(colour: np.ndarray, distance: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Dark ring, light pooled below, pupil; `distance` from the centre and `down` in radii."""
    pool = 0.62 + 0.75 * smoothstep(down, -0.5, 0.8) * (1 - 0.4 * smoothstep(distance, 0.6, 1.0))
    iris = colour * pool[..., None] * (1 - 0.68 * smoothstep(distance, 0.68, 0.98))[..., None]
    return mix(iris, np.float32([0.025, 0.02, 0.02]), 1 - smoothstep(distance, 0.36, 0.47))


def _depth(lid: np.ndarray, eye: Eye, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far each pixel lies below a lid, px, along the face's own down."""
    up = float(eye.up[0]), float(eye.up[1])
    s, t = lid @ (-up[1], up[0]), -(lid @ up)
    order = np.argsort(s)
    return -(x * up[0] + y * up[1]) - np.interp(y * up[0] - x * up[1], s[order], t[order]).astype(np.float32)


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
