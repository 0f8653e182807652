"""Looks made of colour: watercolour, oil, poster, clay, caricature. Each: Face -> float32 RGB [H, W, 3] in [0, 1]."""

from __future__ import annotations

import numpy as np

from vtoon.train.looks.features import clean_teeth, clear_eyes, complexion, lift, smooth
from vtoon.train.looks.lines import ink
from vtoon.train.looks.modelled import toon3d
from vtoon.train.looks.regions import Face
from vtoon.train.looks.tone import (
    along,
    blur,
    from_lab,
    guided,
    kuwahara,
    luma,
    mix,
    smoothstep,
    steps,
    tensor,
    to_lab,
    vivid,
)


def watercolour(face: Face) -> np.ndarray:
    """Transparent washes on white paper: pale, bleeding, darker where a wash dries at its rim."""
    unit = face.unit
    lab = clean_teeth(clear_eyes(face.lab, face, 0.7), face)
    wash = kuwahara(lab, tensor(face.lab[..., 0], 5 * unit)[:2], 9 * unit, 1.3)
    features = np.clip(face.drawn + face.eyes + face.mouth, 0, 1)
    wash = mix(wash, guided(lab, face.lab[..., 0], 4 * unit, 0.03), features * 0.9)
    light = lift(wash[..., 0], face, 0.5)
    tone = mix(light, steps(light, 5, 9), 1 - 0.5 * face.skin)
    paper = 0.75 * (1 - features) * (1 - 0.6 * face.skin) * smoothstep(tone, 0.55, 0.95)
    light = mix(0.40 + 0.60 * tone, np.float32(0.985), np.maximum(paper, 0.55 * (1 - face.near)))
    wash = vivid(np.dstack([light, blur(wash[..., 1:], 7 * unit) * (1 - 0.7 * paper)[..., None]]), 1.7)
    rgb = from_lab(complexion(wash, face, 0.30))
    rim = np.clip(blur(tone, 4 * unit) - tone, 0, 1) * 3.6
    grain = blur(face.lab[..., 0], 1.0 * unit) - blur(face.lab[..., 0], 4 * unit)
    density = 1 + rim - 1.5 * grain * (1 - features) + 0.6 * features * ink(face.lab[..., 0], face, width=1.0)
    # Bousseau et al. 2006: pigment density d darkens a colour c to c - (c - c^2)(d - 1).
    return np.clip(rgb - (rgb - rgb * rgb) * (density - 1)[..., None], 0, 1)


def oil(face: Face) -> np.ndarray:
    """Thick paint: strokes that follow the form, rich colour, ridges that catch the light from the left."""
    unit = face.unit
    flow = tensor(face.lab[..., 0], 7 * unit)[:2]
    calm = smooth(face)
    broad = kuwahara(mix(face.lab, calm, 0.7 * face.skin), flow, 9 * unit, 2.2)
    fine = kuwahara(face.lab, flow, 3 * unit, 2.0)
    lab = mix(broad, fine, np.clip(face.drawn + face.eyes + face.mouth, 0, 1))
    light = lab[..., 0]
    lab[..., 0] = mix(steps(light, 9, 5), smoothstep(light, -0.15, 1.10), 0.5) * 0.97
    lab = vivid(lab, 1.7, 0.8)
    lab[..., 2] += 0.07 * (1 - light)  # the warm glaze of old paintings, in the darks
    rgb = from_lab(clean_teeth(clear_eyes(lab, face, 0.8), face))
    texture = np.clip(face.lab[..., 0] - blur(face.lab[..., 0], 4 * unit), -0.03, 0.03)
    bristle = along(texture, flow, 12 * unit, 3 * max(1.0, unit))
    bristle = bristle / (np.sqrt(np.maximum(blur(bristle * bristle, 14 * unit), 0)) + 0.004) * (1 - 0.75 * face.skin)
    height = 2 * luma(rgb) + 1.6 * blur(bristle, 0.8 * unit)
    return np.clip(rgb * (1 + 0.17 * relief(height, unit) * (1 - 0.7 * face.eyes))[..., None], 0, 1)


def poster(face: Face) -> np.ndarray:
    """Screen print: four flat inks with hard borders, deep cool shadow, cream light."""
    unit = face.unit
    lab = clean_teeth(clear_eyes(face.lab, face, 0.8), face)
    flat = kuwahara(lab, tensor(face.lab[..., 0], 6 * unit)[:2], 9 * unit, 1.5)
    flat = mix(
        flat, guided(lab, face.lab[..., 0], 3 * unit, 0.03), np.clip(face.drawn + face.eyes + face.mouth, 0, 1) * 0.8
    )
    skin = float(np.clip(face.skin_lab[0], 0.25, 0.8))
    light = flat[..., 0]
    edges = (skin * 0.42, skin * 0.80, skin + 0.55 * (0.97 - skin) * 0.55)
    level = sum(smoothstep(light, edge - 0.012, edge + 0.012) for edge in edges)
    tones = np.float32([0.13, max(skin - 0.20, 0.30), min(skin + 0.10, 0.80), 0.94])
    lab = np.dstack([np.interp(level, range(4), tones).astype(np.float32), blur(flat[..., 1:], 3 * unit)])
    lab = vivid(lab, 2.0, 0.85)
    shade, cream = 1 - smoothstep(level, 0.0, 1.0), smoothstep(level, 2.0, 3.0)
    lab[..., 1:] = mix(lab[..., 1:], np.float32([0.14, -0.30]), 0.85 * shade)
    lab[..., 1:] = mix(lab[..., 1:], np.float32([0.0, 0.14]), 0.75 * cream)
    return from_lab(lab)


def clay(face: Face) -> np.ndarray:
    """A modelled figure: rounded matte forms, warm light through the skin, soft gloss, eyes like glass."""
    unit = face.unit
    masses = kuwahara(face.lab, tensor(face.lab[..., 0], 7 * unit)[:2], 9 * unit, 1.6)
    lab = mix(masses, smooth(face, strength=1.5), np.clip(face.skin + face.drawn + face.eyes, 0, 1))
    light = lift(lab[..., 0], face, 0.5)
    eyes = np.clip(face.eyes + 0.6 * face.drawn + face.mouth, 0, 1)
    form = relief(26 * blur(light, 4.5 * unit), unit) * (1 - eyes)
    gloss = (
        smoothstep(blur(light, 3 * unit) - blur(light, 20 * unit), 0.02, 0.16) * (1 - eyes) * (0.3 + 0.7 * face.skin)
    )
    skin = float(face.skin_lab[0])
    warm = face.skin * np.exp(-(((lab[..., 0] - skin * 0.75) / 0.18) ** 2))
    lab = vivid(lab, 1.5)
    lab[..., 0] = np.clip(0.05 + 0.97 * light + 0.12 * form + 0.18 * gloss * (1 - light), 0, 1)
    lab[..., 1] += 0.12 * warm + 0.02 * face.skin
    lab[..., 2] += 0.09 * warm + 0.02 * face.skin
    lab = complexion(lab, face, 0.34)
    return from_lab(clean_teeth(clear_eyes(lab, face, 1.0), face))


def caricature(face: Face) -> np.ndarray:
    """Gouache over a modelled head: visible strokes along the form, warm lights and cool shadows of strong colour, the
    drawing set off with a dark contour; eyes and mouth keep a fine brush."""
    unit = face.unit
    lab = to_lab(toon3d(face))
    flow = tensor(lab[..., 0], 6 * unit)[:2]
    features = np.clip(face.drawn + face.eyes + face.mouth, 0, 1)
    broad, fine = kuwahara(lab, flow, 8 * unit, 2.4), kuwahara(lab, flow, 3 * unit, 1.8)
    paint = mix(mix(broad, fine, np.maximum(features, 0.35 * face.oval)), lab, np.clip(face.eyes, 0, 1))
    light = paint[..., 0]
    paint[..., 0] = mix(light, steps(light, 9, 7), 0.55 * (1 - features))
    paint = vivid(paint, 1.4, 0.75)
    turn = smoothstep(light, 0.15, 0.8) - 0.5
    paint[..., 1] += 0.02 * (0.5 - turn) * (1 - face.eyes)
    paint[..., 2] += 0.10 * turn * (1 - face.eyes)
    bristle = along(np.clip(light - blur(light, 4 * unit), -0.03, 0.03), flow, 10 * unit, 3 * max(1.0, unit))
    bristle = bristle / (np.sqrt(np.maximum(blur(bristle * bristle, 14 * unit), 0)) + 0.004) * (1 - features)
    rgb = from_lab(paint) * (1 + 0.12 * relief(1.5 * blur(bristle, 0.8 * unit), unit))[..., None]
    contour = 0.55 * ink(lab[..., 0], face, width=1.5, detail=1.0) * (1 - face.eyes)
    return np.clip(mix(rgb, rgb * np.float32([0.30, 0.16, 0.20]), contour), 0, 1)


def relief(height: np.ndarray, unit: float) -> np.ndarray:
    """Light from the upper left on a surface; `height` in units of length: float32 [H, W] in [-1, 1]."""
    down, right = np.gradient(blur(height, 0.8 * unit))
    return np.tanh((down + right) * unit)
