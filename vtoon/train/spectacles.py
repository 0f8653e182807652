"""Glasses drawn onto photos that have none: frames of many shapes, lenses with glints, a few of them dark.

A drawing that loses a person's glasses loses the person, and few portraits wear any.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtoon.faces.frame import FaceFrame
from vtoon.train.looks.tone import blur, mix, to_bytes
from vtoon.types import Landmarks

FRAMES = np.float32(  # RGB: black, tortoise, horn, steel, gold, silver, clear, navy, red
    (
        *((16, 16, 18), (62, 38, 24), (96, 66, 44), (70, 72, 78), (158, 124, 70), (176, 178, 182), (206, 204, 200)),
        *((30, 40, 76), (120, 26, 30)),
    )
)
DARK = 0.12  # share of sunglasses
SHIFT = 4  # bits of OpenCV's sub-pixel coordinates


@dataclass(frozen=True)
class Frame:
    """One pair of glasses; lengths in eye distances."""

    colour: np.ndarray  # [3] RGB in [0, 1]
    width: float  # of the rim
    half: tuple[float, float]  # half width and half height of a lens
    power: float  # of the superellipse: 2 round, 5 nearly a box
    drop: float  # lower half wider than high, as pilots' glasses
    rimless_below: bool
    tint: float  # of the lens, 0 clear
    glint: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Frame:
        thin = rng.random() < 0.55
        dark = rng.random() < DARK
        half_width = rng.uniform(0.33, 0.41)
        colour = FRAMES[rng.integers(len(FRAMES))] * rng.uniform(0.75, 1.1)
        return cls(
            colour=np.clip(colour / 255, 0, 1),
            width=rng.uniform(0.014, 0.028) if thin else rng.uniform(0.03, 0.065),
            half=(half_width, half_width * rng.uniform(0.62, 0.98)),
            power=rng.uniform(2.0, 4.5),
            drop=rng.uniform(-0.05, 0.18),
            rimless_below=bool(thin and rng.random() < 0.25),
            tint=rng.uniform(0.75, 0.95) if dark else rng.uniform(0.0, 0.12),
            glint=rng.uniform(0.0, 0.45) * (rng.random() < 0.6),
        )


def put_on(rng: np.random.Generator, photo: np.ndarray, landmarks: Landmarks) -> np.ndarray:
    """A photo uint8 [H, W, 3] RGB with a random pair of glasses on its face."""
    frame, face = Frame.random(rng), FaceFrame.of(landmarks)
    lenses = [_lens(frame, face, side, landmarks) for side in (-1, 1)]
    shape, unit = photo.shape[:2], face.size
    glass = np.maximum(*(_filled(lens, shape) for lens in lenses))
    rims = np.zeros(shape, np.uint8)
    for lens in lenses:
        if frame.rimless_below:
            lens = lens[len(lens) // 2 :]  # from one corner over the top to the other
        _line(rims, lens, frame.width * unit, closed=not frame.rimless_below)
    for line in _bridge_and_sides(lenses, landmarks, face):
        _line(rims, line, 0.9 * frame.width * unit)
    metal = blur(rims.astype(np.float32) / 255, 0.004 * unit)
    scene = photo.astype(np.float32) / 255
    bright = float(np.clip(1.6 * scene.mean(), 0.2, 1.1))  # a frame is no lighter than the light that falls on it
    cast = np.roll(blur(metal, 0.03 * unit), round(0.03 * unit), 0)
    scene = scene * (1 - 0.28 * cast)[..., None]
    scene = mix(scene, scene * 0.25 + np.float32([0.02, 0.02, 0.03]), frame.tint * glass)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / unit
    streak = np.exp(-(((x + y * rng.uniform(0.4, 1.2)) % 0.9 - 0.3) ** 2) / rng.uniform(0.003, 0.02))
    scene = mix(scene, np.float32([0.95, 0.97, 1.0]) * min(bright, 1.0), frame.glint * bright * streak * glass)
    light = frame.colour * bright * (0.8 + 0.4 * np.roll(metal, round(0.5 * frame.width * unit) + 1, 0))[..., None]
    return to_bytes(mix(scene, light, 0.97 * metal))


def _lens(frame: Frame, face: FaceFrame, side: int, landmarks: Landmarks) -> np.ndarray:
    """The outline of a lens, [n, 2] px, from the temple's corner along the lower rim and back over the top."""
    points = landmarks.points
    bridge = face.to_face(points[27])
    eye = face.to_face(points[36:42].mean(0) if side < 0 else points[42:48].mean(0))
    edge = face.to_face(points[0 if side < 0 else 16])
    turned = np.clip(abs(edge[0] - bridge[0]) / 1.05, 0.55, 1.15)
    middle = np.array([bridge[0] + side * turned * (0.13 + frame.half[0]) * 1.04, eye[1] + 0.06])
    t = np.linspace(0, 2 * np.pi, 73)
    c, s = np.cos(t), np.sin(t)
    u = np.sign(c) * np.abs(c) ** (2 / frame.power) * (1 - frame.drop * np.maximum(-s, 0))
    v = np.sign(s) * np.abs(s) ** (2 / frame.power)
    u, v = middle[0] + side * u * frame.half[0] * turned, middle[1] + v * frame.half[1]
    return face.origin + face.size * (u[:, None] * face.axes[0] + v[:, None] * face.axes[1])


def _bridge_and_sides(lenses: list[np.ndarray], landmarks: Landmarks, face: FaceFrame) -> list[np.ndarray]:
    """From lens to lens over the nose, and from each lens to the ear."""
    up, n = -face.axes[1], len(lenses[0])
    inner = [lens[n // 2] + 0.06 * face.size * up for lens in lenses]
    arch = (inner[0] + inner[1]) / 2 + 0.05 * face.size * up
    lines = [np.stack([inner[0], 0.5 * (inner[0] + arch) + 0.015 * face.size * up, arch, inner[1]])]
    for lens, ear in zip(lenses, landmarks.points[[0, 16]], strict=True):
        corner = lens[0] + 0.08 * face.size * up
        end = ear + 0.02 * face.size * up
        if (end - corner) @ (corner - lens[n // 2]) > 0:  # the far side of a turned head shows none
            lines.append(np.stack([corner, end]))
    return lines


def _filled(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.round(outline * 2**SHIFT).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) / 255


def _line(canvas: np.ndarray, points: np.ndarray, width: float, closed: bool = False) -> None:
    points = np.round(points * 2**SHIFT).astype(np.int32)
    cv2.polylines(canvas, [points], closed, 255, max(1, round(width)), cv2.LINE_AA, SHIFT)
