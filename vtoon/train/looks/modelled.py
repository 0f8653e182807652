"""`toon3d`: the character of an animated film. The scene's light and colour stay; form is modelled, strands are crisp.

Each function: Lab float32 [H, W, 3] as `tone.to_lab` gives it (not stretched: a dark scene stays dark) and a Face.
"""

from __future__ import annotations

import numpy as np

from vtoon.painters.eye_reading import EyeLight
from vtoon.painters.living_eyes import redraw_eyes
from vtoon.train.looks.form import Form, form_of
from vtoon.train.looks.masks import brow_mask, mane, skin_of
from vtoon.train.looks.regions import Face
from vtoon.train.looks.strands import bounded, strands, textured
from vtoon.train.looks.tone import along, blur, from_lab, guided, mix, smoothstep, tensor, to_lab


def toon3d(face: Face) -> np.ndarray:
    """Face -> float32 RGB [H, W, 3] in [0, 1]."""
    lab = to_lab(face.image)
    flow = tensor(lab[..., 0], 2.2 * face.unit)[:2]
    skin = skin_of(face, lab)
    form = form_of(face, lab[..., 0], skin)
    around = mix(lab, strands(lab, flow, face.unit), mane(face) * textured(lab[..., 0], face.unit))
    drawn = mix(around, modelled_skin(lab, face, flow, form, skin), skin)
    drawn = brows(drawn, lab, face, flow)
    drawn = lips(drawn, lab, face, form)
    drawn = teeth(drawn, lab, face, form.level)
    return redraw_eyes(from_lab(drawn), face, EyeLight.of(face, form.toward, form.level))


def modelled_skin(
    lab: np.ndarray, face: Face, flow: tuple[np.ndarray, np.ndarray], form: Form, skin: np.ndarray
) -> np.ndarray:
    """Skin without texture, its planes turned in the scene's light, warm where light grazes; marks stay."""
    unit, light = face.unit, lab[..., 0]
    calm = guided(lab, blur(light, 2 * unit), 12 * unit, 0.07)
    calm = guided(calm, calm[..., 0], 8 * unit, 0.035)
    calm[..., 0] += marks(light, calm[..., 0], flow, unit)
    level = max(form.level, 0.08)
    turned = form.shade * level
    calm[..., 0] += turned + 0.16 * form.gloss * (1 - level) * level
    calm[..., 1:] *= 1.02
    warm = 0.025 * form.terminator + form.flush
    calm[..., 1] += warm * (0.4 + 0.6 * level)
    calm[..., 2] += 0.35 * warm * (0.4 + 0.6 * level)
    calm[..., 0] = np.clip(calm[..., 0], 0, 1)
    return calm


def marks(light: np.ndarray, calm: np.ndarray, flow: tuple[np.ndarray, np.ndarray], unit: float) -> np.ndarray:
    """What is kept of what smoothing took: strong edges (rims of glasses, moles, a beard's border) whole, wrinkles as
    clean lines, pores not at all."""
    lines = along(blur(light, 0.8 * unit), flow, 4 * unit, max(1.0, 1.3 * unit))
    detail = lines - calm
    size = np.abs(detail)
    strong = smoothstep(blur(size, 1.0 * unit), 0.05, 0.13)
    return detail * mix(0.75 * smoothstep(size, 0.006, 0.025), np.float32(1.0), strong)


def brows(drawn: np.ndarray, lab: np.ndarray, face: Face, flow: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Brows a little fuller and darker, every hair along its own direction."""
    unit, mask = face.unit, brow_mask(face)
    light = lab[..., 0]
    hair = along(light, flow, 4 * unit, max(1.0, unit))
    hair = bounded(hair + 1.2 * (hair - blur(hair, 1.6 * unit)), light, 2.5 * unit)
    dark = smoothstep(blur(light, 14 * unit) - hair, 0.0, 0.12)
    result = drawn.copy()
    result[..., 0] = mix(drawn[..., 0], hair * (1 - 0.30 * dark), mask * np.maximum(dark, 0.4))
    return result


def lips(drawn: np.ndarray, lab: np.ndarray, face: Face, form: Form) -> np.ndarray:
    """Lips of one tone with a clean contour, a fuller colour, a soft light on the lower one, a dark line between."""
    unit, mask, light = face.unit, face.lips, lab[..., 0]
    calm = guided(lab, blur(light, unit), 5 * unit, 0.05)
    calm[..., 0] += 0.7 * (calm[..., 0] - blur(calm[..., 0], 6 * unit))
    calm[..., 0] += 0.10 * form.lip_light * max(form.level, 0.1)
    calm[..., 1] += 0.012 + 0.02 * max(form.level, 0.1)
    calm[..., 1:] *= 1.04
    edge = mask * (1 - mask) * 4
    calm[..., 0] *= 1 - 0.10 * edge
    inside = mix(drawn, guided(lab, light, 2 * unit, 0.03), 0.9 * face.mouth)
    return mix(inside, calm, np.clip(1.15 * mask, 0, 1))


def teeth(drawn: np.ndarray, lab: np.ndarray, face: Face, level: float) -> np.ndarray:
    """One clean band, no lighter than the scene allows, with a breath of the gaps."""
    unit, light = face.unit, lab[..., 0]
    lip = float((lab[..., 1] * face.lips).sum() / (face.lips.sum() + 1e-3))
    pale = 1 - smoothstep(blur(lab[..., 1], unit) / max(lip, 0.06), 0.45, 0.95)
    likely = face.mouth * pale * smoothstep(light, 0.40 * max(level, 0.05), 0.80 * max(level, 0.05))
    band = smoothstep(blur(likely, 2.5 * unit), 0.20, 0.60) * smoothstep(face.mouth, 0.2, 0.7)
    white = min(0.94, 1.15 * level + 0.17) * (0.80 + 0.20 * np.clip(blur(light, 5 * unit) / max(level, 0.05), 0, 1))
    gaps = np.clip(light - blur(light, 4 * unit), -0.10, 0.04)
    result = drawn.copy()
    result[..., 0] = mix(drawn[..., 0], white + 0.4 * gaps, 0.85 * band)
    result[..., 1:] *= (1 - 0.7 * band)[..., None]
    return result
