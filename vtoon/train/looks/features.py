"""What every attractive drawing of a face does first: calm skin, clear eyes, clean teeth. All on Lab images."""

from __future__ import annotations

import numpy as np

from vtoon.train.looks.regions import Face
from vtoon.train.looks.tone import blur, guided, kuwahara, mix, smoothstep, steps, tensor, to_lab

SKIN_HUES = (0.72, 1.0)  # radians in (a, b): from rosy to golden


def smooth(face: Face, strength: float = 1.0) -> np.ndarray:
    """Lab [H, W, 3] without texture: skin strongly smoothed, hair and clothes into clean masses, eyes little."""
    lab, light, unit = face.lab, face.lab[..., 0], face.unit
    masses = kuwahara(lab, tensor(light, 4 * unit)[:2], 6 * unit * strength)
    skin = guided(lab, blur(light, 2 * unit), 14 * unit * strength, 0.10 * strength)
    skin = guided(skin, skin[..., 0], 8 * unit, 0.05)
    fine = guided(lab, light, 3 * unit, 0.03)
    fine[..., 0] += 0.6 * (fine[..., 0] - blur(fine[..., 0], 10 * unit))  # crisper, as make-up does
    result = mix(masses, skin, face.skin)
    return mix(result, fine, np.clip(face.drawn + face.eyes, 0, 1) * 0.8)


def cel(light: np.ndarray, face: Face, count: float, hardness: float, flat: float) -> np.ndarray:
    """Cel shading of L: `count` soft tones, the middle of one of them on the skin; `flat` 1 is tones only."""
    middle = float(face.skin_lab[0]) * count - 0.5
    return mix(light, steps(light, count, hardness, middle % 1.0), flat)


def lift(light: np.ndarray, face: Face, strength: float = 0.25) -> np.ndarray:
    """Brighten L by a curve so that the skin moves part of the way to a well lit tone; never darkens."""
    skin = float(np.clip(face.skin_lab[0], 0.1, 0.95))
    wanted = skin + strength * max(0.0, 0.78 - skin)
    gamma = float(np.log(wanted) / np.log(skin))
    return np.power(np.clip(light, 1e-4, 1), gamma)


def keep_tone(lab: np.ndarray, face: Face, share: float = 0.3) -> np.ndarray:
    """L darkened by a curve so that the skin is lighter than in the photo by `share` of what it was made lighter: dark
    skin stays dark, and a face in a dark room does not glow. White stays white."""
    skin = face.skin * face.oval
    own, drawn = (
        float((light * skin).sum() / (skin.sum() + 1e-3)) for light in (to_lab(face.image)[..., 0], lab[..., 0])
    )
    own, drawn = (float(np.clip(light, 0.05, 0.95)) for light in (own, drawn))
    wanted = own + share * max(drawn - own, 0.0)
    gamma = max(1.0, float(np.log(wanted) / np.log(drawn)))
    light = np.power(np.clip(lab[..., 0], 1e-4, 1), gamma)
    light = mix(light, np.minimum(light, wanted + 0.08), face.lips)  # a gleam on dark lips is no tooth
    return np.dstack([light, lab[..., 1:]])


def warm_shadows(lab: np.ndarray, face: Face, strength: float) -> np.ndarray:
    """More colour in the shaded skin, as light that comes through it gives; keeps pale faces from turning grey."""
    depth = smoothstep(float(face.skin_lab[0]) + 0.08 - lab[..., 0], 0.0, 0.35)
    pallor = np.clip(0.24 / max(float(np.hypot(*face.skin_lab[1:])), 0.05) - 1, 0, 0.6)
    gain = 1 + strength * np.maximum(depth, pallor) * face.skin
    rosy = np.float32([0.12, 0.0]) * (strength * depth * face.skin)[..., None]  # olive shadows look ill
    return np.dstack([lab[..., 0], lab[..., 1:] * gain[..., None] + rosy])


def complexion(lab: np.ndarray, face: Face, chroma: float = 0.31) -> np.ndarray:
    """Skin in the colours of skin, whatever light fell on it: its mean hue and chroma are moved most of the way into a
    natural range, up to `chroma`, and no place burns. Orange and grey faces look ill in a drawing."""
    weight = float(face.skin.sum()) + 1e-3
    a, b = (float((lab[..., i] * face.skin).sum()) / weight for i in (1, 2))
    hue, mean = float(np.arctan2(b, a)), max(float(np.hypot(a, b)), 0.03)
    turn = 0.8 * (float(np.clip(hue, *SKIN_HUES)) - hue)
    gain = min(1 + 0.85 * (float(np.clip(mean, 0.65 * chroma, chroma)) / mean - 1), 1.6)
    colour = lab[..., 1:] @ np.float32([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    strength = np.hypot(colour[..., 0], colour[..., 1]) + 1e-6
    excess = np.maximum(strength * gain - chroma, 0)
    limited = np.minimum(strength * gain, chroma) + 0.1 * np.tanh(excess / 0.1)
    return np.dstack([lab[..., 0], mix(lab[..., 1:], colour * (limited / strength)[..., None], face.complexion)])


def neck_shadow(lab: np.ndarray, face: Face, depth: float = 0.224) -> np.ndarray:
    """One flat shadow under the jaw: it sets the face off from a neck of the same tone."""
    shade = face.neck * face.complexion
    light = lab[..., 0] * (1 - depth * shade)
    return np.dstack([light, lab[..., 1:] * (1 + 0.25 * shade)[..., None]])


def clear_eyes(lab: np.ndarray, face: Face, strength: float = 1.0) -> np.ndarray:
    """White the whites, brighten and colour the iris, keep pupil and catchlight. Dark glasses stay dark."""
    light, chroma = face.lab[..., 0], np.hypot(face.lab[..., 1], face.lab[..., 2])
    inside = face.eyes * strength
    local = blur(light * face.eyes, 8 * face.unit) / (blur(face.eyes, 8 * face.unit) + 1e-3)
    white = (
        inside
        * smoothstep(light - local, 0.0, 0.12)
        * smoothstep(light, 0.16, 0.38)
        * (1 - smoothstep(chroma, 0.2, 0.35))
    )
    iris = inside * (1 - white) * smoothstep(light, 0.08, 0.22)
    bright = lab[..., 0] + white * np.clip(0.96 - lab[..., 0], 0, 0.30) * 0.9 + iris * 0.07
    colour = lab[..., 1:] * (1 - 0.75 * white + 0.3 * iris)[..., None]
    colour[..., 0] -= inside * np.maximum(colour[..., 0] - 0.12, 0) * 0.8  # tired red rims
    spark = inside * smoothstep(light - blur(light, 5 * face.unit), 0.10, 0.25)
    return np.dstack([np.clip(mix(bright, np.float32(1.0), spark), 0, 1), colour])


def clean_teeth(lab: np.ndarray, face: Face) -> np.ndarray:
    """One clean white shape for the teeth, one dark shape behind them."""
    light, unit = face.lab[..., 0], face.unit
    chroma, redness = np.hypot(face.lab[..., 1], face.lab[..., 2]), face.lab[..., 1]
    lips = redness[face.lips > 0.7]
    lip_redness = max(float(np.median(lips)) if lips.size else 0.2, 0.08)
    pale = (1 - smoothstep(chroma, 0.22, 0.40)) * (1 - smoothstep(redness / lip_redness, 0.6, 0.9))
    likely = face.mouth * smoothstep(light, 0.38, 0.58) * pale
    teeth = smoothstep(blur(likely, 3.5 * unit), 0.35, 0.6) * smoothstep(face.mouth, 0.2, 0.6)
    shade = np.clip(0.78 + 0.2 * blur(light, 8 * unit), 0, 0.96)
    result = lab.copy()
    result[..., 0] = mix(lab[..., 0], shade, teeth)
    result[..., 1:] *= (1 - 0.8 * teeth)[..., None]
    return result
