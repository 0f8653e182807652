"""`anime`: a cel of an animated series. Flat tones of skin that follow the form, hair in masses with a band of light,
thin lines, redrawn eyes."""

from __future__ import annotations

import numpy as np

from vtoon.painters.eye_reading import EyeLight
from vtoon.painters.living_eyes import redraw_eyes
from vtoon.train.looks.features import cel, complexion, keep_tone, lift, smooth
from vtoon.train.looks.form import Form, form_of
from vtoon.train.looks.lines import ink
from vtoon.train.looks.masks import brow_mask, skin_of
from vtoon.train.looks.modelled import teeth
from vtoon.train.looks.regions import Face
from vtoon.train.looks.tone import blur, from_lab, guided, mix, smoothstep, vivid

LINE = np.float32([0.20, 0.09, 0.14])
SHADOW = np.float32([0.79, 0.02, -0.055])  # of the skin: L times this, and what is added to a and b
TERMINATOR = (-0.19, -0.14)  # of the form's shade and the photo's, where light ends


def anime(face: Face) -> np.ndarray:
    """Face -> float32 RGB [H, W, 3] in [0, 1]."""
    masses = smooth(face, strength=1.3)
    light = cel(lift(masses[..., 0], face, 0.35), face, count=4.5, hardness=16, flat=0.9)
    lab = vivid(masses, 1.45, 0.85)
    shade = 1 - smoothstep(light, 0.2, 0.7)
    lab[..., 0] = 0.10 + 0.88 * light
    lab[..., 1:] += np.float32([0.03, -0.08]) * (shade * (1 - face.lips))[..., None]
    skin = skin_of(face, face.lab)
    form = form_of(face, face.lab[..., 0], skin)
    lab = mix(lab, flat_skin(face, form), skin)
    lab = keep_tone(complexion(lab, face, 0.32), face)
    lab = teeth(lab, face.lab, face, form.level)
    under = smoothstep(blur(face.lab[..., 0], 14 * face.unit) - face.lab[..., 0], 0, 0.1)
    lab[..., 0] *= 1 - 0.25 * brow_mask(face) * under
    lines = ink(face.lab[..., 0], face, width=1.0, detail=1.25)
    rgb = mix(from_lab(lab), LINE, 0.9 * lines)
    return redraw_eyes(rgb, face, EyeLight.of(face, form.toward, form.level * 0.8))


def flat_skin(face: Face, form: Form) -> np.ndarray:
    """Lab of skin in one tone, in another where the light does not reach, and a little red on cheeks and nose."""
    unit, light = face.unit, face.lab[..., 0]
    calm = guided(face.lab, blur(light, 2 * unit), 16 * unit, 0.12)
    level = max(form.level, 0.1)
    lit = 0.9 * form.shade + 0.75 * (blur(guided(light, light, 9 * unit, 0.08), 2.5 * unit) / level - 1)
    dark = 1 - smoothstep(lit, *TERMINATOR)
    bright = smoothstep(lit, 0.20, 0.24)
    base = float(lift(np.float32([level]), face, 0.5)[0])
    result = np.empty_like(calm)
    result[..., 0] = (0.12 * calm[..., 0] + 0.88 * base) * mix(np.float32(1.0), SHADOW[0], dark) + 0.05 * bright
    colour = blur(calm[..., 1:], 14 * unit) * 1.25
    result[..., 1] = colour[..., 0] + SHADOW[1] * dark + 1.8 * form.flush
    result[..., 2] = colour[..., 1] + SHADOW[2] * dark
    return result
