"""Looks made of lines: cartoon, comic, pencil, charcoal. Each: Face -> float32 RGB [H, W, 3] in [0, 1]."""

from __future__ import annotations

import numpy as np

from vtoon.painters.eye_reading import EyeLight
from vtoon.painters.living_eyes import redraw_eyes
from vtoon.train.looks.features import (
    cel,
    clean_teeth,
    clear_eyes,
    complexion,
    keep_tone,
    lift,
    neck_shadow,
    smooth,
    warm_shadows,
)
from vtoon.train.looks.lines import ink
from vtoon.train.looks.regions import Face
from vtoon.train.looks.tone import along, blur, from_lab, mix, smoothstep, tensor, vivid

LIGHT = np.array([-0.6, -0.8])  # direction toward the lamp: from the upper left, as in print
PAPER = np.float32([0.97, 0.96, 0.93])
GRAPHITE = np.float32([0.17, 0.17, 0.20])
TONED_PAPER = np.float32([0.60, 0.61, 0.63])
CHARCOAL = np.float32([0.09, 0.08, 0.09])
CHALK = np.float32([1.0, 0.97, 0.90])


def cartoon(face: Face) -> np.ndarray:
    """Big-eyed animation: smooth cel shading, clear colours, tapering lines in a dark tint of what they bound."""
    lab = smooth(face)
    lab[..., 0] = cel(lift(lab[..., 0], face), face, count=6, hardness=7, flat=0.8)
    lab = neck_shadow(complexion(warm_shadows(vivid(lab, 1.3), face, 0.35), face), face)
    lab = clean_teeth(keep_tone(lab, face), face)
    rgb = inked(from_lab(lab), ink(face.lab[..., 0], face), face, darkness=0.85)
    return redraw_eyes(rgb, face, EyeLight.of(face, LIGHT, float(face.skin_lab[0])))


def comic(face: Face) -> np.ndarray:
    """Printed comic: few flat strong colours, shadows for the halftone screen, heavy black line and solid blacks."""
    lab = smooth(face, strength=1.2)
    light = lift(lab[..., 0], face, 0.35)
    lab[..., 0] = cel(light, face, count=4, hardness=14, flat=0.95)
    lab = complexion(warm_shadows(vivid(lab, 1.7, 0.9), face, 0.25), face, 0.36)
    lab = clean_teeth(clear_eyes(lab, face), face)
    rgb = from_lab(lab)
    depth = np.clip((shadow_edge(face, 0.35) - light) / 0.25, 0, 1)
    depth *= np.clip(1 - face.eyes - face.mouth - 0.8 * face.drawn, 0, 1)
    rgb = mix(rgb, rgb * np.float32([0.8, 0.76, 0.84]), depth)
    blacks = (1 - smoothstep(lab[..., 0], 0.10, 0.20)) * (1 - face.mouth)
    lines = np.maximum(ink(face.lab[..., 0], face, width=2.2, detail=1.35), blacks)
    return mix(rgb, np.float32([0.05, 0.04, 0.07]), lines)


def pencil(face: Face) -> np.ndarray:
    """Graphite on white paper: soft tone, slanting strokes that follow the photo's own texture, dark accents."""
    light = mix(clean_teeth(face.lab, face)[..., 0], smooth(face)[..., 0], 0.6 * face.skin)
    light = lift(light, face, 0.6)
    tone = strokes(light, face)
    dodge = np.clip(tone / np.maximum(blur(tone, 9 * face.unit), 0.05), 0, 1)
    shade = 0.45 * (1 - smoothstep(tone, 0.05, 0.85)) * (1 - 0.6 * face.mouth)
    lines = 0.8 * ink(light, face, width=1.0, detail=1.1)
    graphite = 1 - dodge**2.2 * (1 - shade) * (1 - lines)
    return mix(np.broadcast_to(PAPER, face.image.shape), GRAPHITE, np.clip(graphite, 0, 1))


def charcoal(face: Face) -> np.ndarray:
    """Charcoal and white chalk on grey paper: broad smudged darks, slanting chalk lights, rough line."""
    light = clean_teeth(clear_eyes(face.lab, face, 0.7), face)[..., 0]
    features = np.clip(face.drawn + face.eyes + face.mouth, 0, 1)
    tone = mix(strokes(smudged(light, face), face, 0.07), light, 0.8 * features)
    middle = float(np.clip(face.skin_lab[0], 0.35, 0.65))
    dark = 0.95 * (1 - smoothstep(tone, middle * 0.30, middle * 0.92))
    chalk = 0.95 * smoothstep(tone, middle, min(middle + 0.28, 0.93))
    lines = 0.95 * ink(light, face, width=2.4, detail=1.3)
    paper = mix(np.broadcast_to(TONED_PAPER, face.image.shape), CHALK, chalk)
    return mix(paper, CHARCOAL, np.clip(1 - (1 - dark) * (1 - lines), 0, 1))


def inked(rgb: np.ndarray, lines: np.ndarray, face: Face, darkness: float) -> np.ndarray:
    """Draw `lines` in a deep tint of the local colour; `darkness` 1 is black."""
    tint = blur(rgb, 3 * face.unit) * (1 - darkness) * np.float32([1.0, 0.9, 0.95])
    return mix(rgb, tint, lines)


def strokes(light: np.ndarray, face: Face, strength: float = 0.05) -> np.ndarray:
    """Tone with its own fine texture drawn out into slanting strokes, so that they stay on the content."""
    slant = np.float32(np.sqrt(0.5)) * np.ones_like(light)
    texture = np.clip(light - blur(light, 2.5 * face.unit), -0.03, 0.03)  # hard edges would ring
    texture = along(texture, (slant, -slant), 6 * face.unit, max(1.0, face.unit))
    contrast = np.sqrt(np.maximum(blur(texture * texture, 8 * face.unit), 0)) + 0.012
    return np.clip(light + strength * texture / contrast * (1 - face.mouth) * (1 - face.eyes), 0, 1)


def smudged(light: np.ndarray, face: Face) -> np.ndarray:
    """L smudged along the contours, as with a finger."""
    flow = tensor(light, 5 * face.unit)[:2]
    return along(blur(light, 2 * face.unit), flow, 7 * face.unit, 2 * max(1.0, face.unit))


def shadow_edge(face: Face, lifted: float) -> float:
    """L below which the face is in shadow, after `lift` by `lifted`."""
    return float(lift(np.float32([face.skin_lab[0]]), face, lifted)[0]) - 0.17
