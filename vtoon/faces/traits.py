"""`caricature`: how a face differs from the mean face, carried further (Brennan 1985, "Caricature generator"), the
head and the eyes a little larger.

Only what belongs to the person counts: the part of the difference that is the same on both sides (a turned head is
lopsided), with the mouth closed. Eyes and mouth move and grow as wholes, and never shrink by much: a blink or a word is
no trait. Points are [68, 2] in eye distances: origin between the eyes, u along them, v down.
"""

from __future__ import annotations

import numpy as np

from vtoon.faces.frame import FaceFrame, smoothstep
from vtoon.types import MIRRORED, Landmarks

# Hundredths of an eye distance: the mean of 475 synthetic faces (SFHQ, faker-js) that look ahead, both sides alike.
MEAN = np.array("""
-109 0 -107 28 -103 56 -98 84 -88 110 -72 133 -51 152 -27 166 0 171 27 166 51 152 72 133 88 110 98 84 103 56 107 28
109 0 -91 -20 -77 -32 -57 -36 -37 -33 -17 -25 17 -25 37 -33 57 -36 77 -32 91 -20 0 -3 0 16 0 35 0 54 -23 67 -12 70
0 73 12 70 23 67 -69 0 -57 -7 -42 -7 -30 3 -43 5 -58 5 30 3 42 -7 57 -7 69 0 58 5 43 5 -42 102 -27 95 -11 91 0 94
11 91 27 95 42 102 27 115 12 121 0 123 -12 121 -27 115 -36 103 -11 102 0 103 11 102 36 103 11 105 0 107 -11 105
""".split(), float).reshape(68, 2) / 100  # fmt: skip
WHOLES = (slice(36, 42), slice(42, 48), slice(48, 68))  # eyes, mouth
LEAST, MOST = -0.08, 0.40  # of their growth
# Eyes and head: place, reach, growth.
BELLS = (((-0.5, 0.0), 0.36, 0.18), ((0.5, 0.0), 0.36, 0.18), ((0.0, 0.55), 1.1, 0.12))
LIMIT = 0.34  # eye distances that a point moves at most
REACH = 0.36  # of a point, in eye distances
STIFF = 0.03  # of the field through the points: 0 passes through all of them
STEEPEST = 0.75  # change of the field along itself; at 1 it would fold
TURNED = (0.15, 0.60)  # lopsidedness of the head: where traits begin to be doubted, and where nothing is known
LOWERED = np.r_[np.sin(np.linspace(0, np.pi, 17)) ** 2, np.zeros(38), np.ones(5), np.zeros(4), 0.5, 1, 1, 1]


def exaggerated(landmarks: Landmarks, shape: tuple[int, int], amount: float) -> np.ndarray:
    """Backward-map offsets (dx, dy) px, float32 [h, w, 2], of the face in a picture of this shape."""
    frame = FaceFrame.of(landmarks)
    u, v = frame.coordinates(shape)
    return frame.offsets(*exaggeration(frame.in_face, amount, u, v), u, v)


def exaggeration(points: np.ndarray, amount: float, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Backward field (du, dv), float32 as `u` and `v`: the face 1 + `amount` times as far from the mean face."""
    move = traits(points) * amount
    for whole in WHOLES:
        move[whole] = _moved_whole(points[whole], traits(points)[whole], amount)
    move *= LIMIT / np.sqrt(LIMIT**2 + (move**2).sum(1, keepdims=True))
    centres = points + move
    apart = centres[:, None] - centres[None]
    kernel = np.exp(-(apart**2).sum(2) / REACH**2)
    weights = -np.linalg.solve(kernel + STIFF * np.eye(68), move)
    weights = weights * _calm(centres, weights)
    du, dv = np.zeros_like(u), np.zeros_like(v)
    for (cu, cv), (wu, wv) in zip(centres, weights, strict=True):
        bell = np.exp(-((u - np.float32(cu)) ** 2 + (v - np.float32(cv)) ** 2) / np.float32(REACH**2))
        du += np.float32(wu) * bell
        dv += np.float32(wv) * bell
    for (cu, cv), reach, growth in BELLS:
        right, down = u - np.float32(cu), v - np.float32(cv)
        bell = np.float32(growth) * np.exp(-(right**2 + down**2) / np.float32(reach**2))
        du -= right * bell
        dv -= down * bell
    return du, dv


def traits(points: np.ndarray) -> np.ndarray:
    """[68, 2]: how far each point is from where the mean face, brought on by a similarity, has it."""
    seen = points.copy()
    seen[:, 1] -= LOWERED * max(points[66, 1] - points[62, 1], 0.0)
    shape = (seen + seen[list(MIRRORED)] * (-1, 1)) / 2
    own, mean = shape - shape.mean(0), MEAN - MEAN.mean(0)
    scale = (own * mean).sum() / (mean * mean).sum()
    sides = points[27, 0] - points[[1, 15], 0]
    turn = abs(sides.sum()) / max(sides[0] - sides[1], 0.5)
    return (own - scale * mean) * (1 - smoothstep(turn, *TURNED))


def _moved_whole(points: np.ndarray, move: np.ndarray, amount: float) -> np.ndarray:
    """One shift and one growth for a part that has to keep its form."""
    across = points[:, 0] - points[:, 0].mean()
    growth = amount * (across * move[:, 0]).sum() / (across**2).sum()
    growth = LEAST + (MOST - LEAST) / (1 + (MOST / -LEAST) * np.exp(-growth * (MOST - LEAST) / (MOST * -LEAST)))
    return amount * move.mean(0) + growth * (points - points.mean(0))


def _calm(centres: np.ndarray, weights: np.ndarray) -> float:
    """The factor that keeps the field from folding, smooth in everything."""
    at = np.stack(np.meshgrid(np.linspace(-1.5, 1.5, 25), np.linspace(-0.9, 2.1, 25)), -1).reshape(-1, 2)
    apart = at[:, None] - centres[None]
    bell = np.exp(-(apart**2).sum(2) / REACH**2)
    slope = np.einsum("pc,pci,cj->pij", bell, apart * (-2 / REACH**2), weights)
    steepest = np.abs(np.linalg.norm(slope, axis=(1, 2))).max()
    return float((1 + (steepest / STEEPEST) ** 6) ** (-1 / 6))
