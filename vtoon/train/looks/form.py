"""The form of a face from its landmarks, and the scene's light fitted to it: planes, terminator, gloss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtoon.faces.frame import FaceFrame
from vtoon.train.looks.regions import Face
from vtoon.train.looks.tone import blur, smoothstep

PRIOR = np.array([-0.35, -0.55, 0.75])  # right, down, toward the viewer: the light where the photo tells none
TRUST = 0.004  # of the fit: variance of normals below which the prior wins
CONTRAST = (0.16, 0.34)  # of the shading over the skin's lightness, as the fit is kept


@dataclass(frozen=True)
class Form:
    """Fields float32 [H, W]: what light does to this face."""

    shade: np.ndarray  # change of L over the skin's own, about [-0.2, 0.15]
    terminator: np.ndarray  # [0, 1], 1 where the light grazes
    gloss: np.ndarray  # [0, 1]
    flush: np.ndarray  # added redness: nose, cheeks, ears
    lip_light: np.ndarray  # [0, 1], on the lower lip
    level: float  # L of the skin
    toward: np.ndarray  # [2] px direction to the light, for catchlights


def form_of(face: Face, light: np.ndarray, skin: np.ndarray) -> Form:
    """Fit the light to L of the skin and shade the modelled face with it."""
    frame = FaceFrame.of(face.landmarks)
    u, v = frame.coordinates(light.shape)
    normals = _normals(_height(frame, u, v), face.unit)
    level = float((light * skin).sum() / (skin.sum() + 1e-3))
    toward = fit_light(blur(light, 5 * face.unit), normals, skin * face.oval, level)
    lit = normals @ np.float32(toward)
    inside = blur(face.oval, 6 * face.unit)
    flat = float((lit * face.oval).sum() / (face.oval.sum() + 1e-3))
    strength = float(np.linalg.norm(toward))
    soft = np.tanh((lit - flat) / 0.30) * 0.30
    half = toward / strength + np.array([0, 0, 1.0])
    gloss = np.clip(normals @ np.float32(half / np.linalg.norm(half)), 0, 1) ** 40
    terminator = np.exp(-(((lit - flat + 0.07) / 0.07) ** 2)) * inside
    right, down = frame.axes
    flat_light = toward[0] * right + toward[1] * down
    flat_light = flat_light / max(float(np.hypot(*flat_light)), 0.25 * strength)
    shade = (0.42 * soft * inside).astype(np.float32)
    return Form(
        shade, terminator.astype(np.float32), gloss.astype(np.float32) * inside, *_spots(frame, u, v), level, flat_light
    )


def fit_light(light: np.ndarray, normals: np.ndarray, weight: np.ndarray, level: float) -> np.ndarray:
    """[3]: least squares of L / level on the normals, held to the prior, its length within CONTRAST."""
    step = max(1, round(np.sqrt(light.size / 16000)))
    n, w = normals[::step, ::step].reshape(-1, 3).astype(np.float64), weight[::step, ::step].ravel().astype(np.float64)
    tone = np.clip(light[::step, ::step].ravel() / max(level, 0.05) - 1, -0.6, 0.6)
    total = w.sum() + 1e-3
    n, tone = n - (n * w[:, None]).sum(0) / total, tone - (tone * w).sum() / total
    normal = (n * w[:, None]).T @ n / total + 0.02 * np.eye(3)
    fitted = np.linalg.solve(normal, (n * w[:, None]).T @ tone / total + 0.02 * 0.25 * PRIOR)
    fitted[2] = max(fitted[2], 0.5 * float(np.hypot(fitted[0], fitted[1])), 0.05)  # the light is before the face
    length = float(np.linalg.norm(fitted))
    return fitted / length * np.clip(length, *CONTRAST) / CONTRAST[1]


def _height(frame: FaceFrame, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Depth of a face in eye distances: an egg with a nose, brows, cheeks, lips and a chin set on by the landmarks."""
    points = frame.points
    place = lambda index: frame.to_face(points[index].reshape(-1, 2).mean(0))  # noqa: E731
    left, right, chin = place([0, 1, 2]), place([14, 15, 16]), place([8])
    cu, half = (left[0] + right[0]) / 2, max((right[0] - left[0]) / 2, 0.5)
    cv = 0.30 * chin[1]
    tall = max(chin[1] - cv, 0.6) * 1.12
    round_ = ((u - cu) / half) ** 2 + ((v - cv) / tall) ** 2
    height = (half * (1.25 * np.exp(-0.5 * round_) - 0.25)).astype(np.float32)  # no rim, unlike an ellipsoid
    bridge, tip = place([27]), place([30])
    t = np.clip((v - bridge[1]) / max(tip[1] - bridge[1], 0.1), 0, 1.0)
    ridge = bridge[0] + (tip[0] - bridge[0]) * t
    wide = 0.10 + 0.05 * t
    fall = np.exp(-((np.maximum(v - tip[1], 0) / 0.10) ** 2)) * smoothstep(v, bridge[1] - 0.12, bridge[1] + 0.2)
    height += (0.05 + 0.15 * t) * np.exp(-(((u - ridge) / wide) ** 2)) * fall
    spots = [([31, 32], 0.07, 0.07), ([34, 35], 0.07, 0.07), ([48, 2, 31], 0.09, 0.26), ([54, 14, 35], 0.09, 0.26)]
    spots += [([8, 57], 0.08, 0.17), ([51], 0.05, 0.10), ([57], 0.06, 0.10)]
    spots += [([19, 20], 0.06, 0.16), ([23, 24], 0.06, 0.16)]
    spots += [([36, 39, 37, 40], -0.07, 0.20), ([42, 45, 43, 46], -0.07, 0.20), ([33, 51], -0.03, 0.07)]
    for index, rise, radius in spots:
        su, sv = place(index)
        height += np.float32(rise) * np.exp(-((u - su) ** 2 + (v - sv) ** 2) / radius**2)
    return height


def _normals(height: np.ndarray, unit: float) -> np.ndarray:
    """[H, W, 3] unit vectors (right, down, toward the viewer) of a surface in eye distances."""
    size = 128 * unit
    down, right = np.gradient(blur(height, 2.5 * unit) * size)
    flat = np.dstack([-right, -down, np.ones_like(down)])
    return (flat / np.linalg.norm(flat, axis=2, keepdims=True)).astype(np.float32)


def _spots(frame: FaceFrame, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Redness of cheeks and nose, and the light on the lower lip."""
    points = frame.points
    flush = np.zeros_like(u)
    for index, radius, red in (([2, 31, 48, 41], 0.28, 0.018), ([14, 35, 54, 46], 0.28, 0.018), ([30], 0.14, 0.015)):
        su, sv = frame.to_face(points[index].mean(0))
        flush += np.float32(red) * np.exp(-((u - su) ** 2 + (v - sv) ** 2) / radius**2)
    su, sv = frame.to_face(points[[57, 66]].mean(0))
    return flush, np.exp(-(((u - su) / 0.14) ** 2) - ((v - sv) / 0.045) ** 2).astype(np.float32)
