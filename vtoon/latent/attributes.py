"""Directions of what landmarks measure on generated faces: yaw, smile, open eyes.

After Shen et al. 2020, "Interpreting the latent space of GANs for semantic face editing": a linear model of each
attribute, made independent of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.faces.detect import QUICK, FaceDetector
from vtoon.image import to_uint8
from vtoon.latent.direction import Direction, latents, scaled
from vtoon.latent.sampler import Sampler
from vtoon.models.stylegan2 import Generator
from vtoon.types import Landmarks

ATTRIBUTES = ("yaw", "smile", "eyes")
FACES = 400  # generated faces that are measured
ENOUGH = 60  # of them with landmarks, at least
LOOKED_AT = 256  # px: smaller faces are enlarged before landmarks are looked for
NOSE_TIP, CORNERS, LIPS = 30, (48, 54), (51, 57)
EYES = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))
Watch = Callable[[int, int], None]
_known: WeakKeyDictionary[Generator, tuple[Tensor, Tensor]] = WeakKeyDictionary()  # measured once for all attributes


def measured(face: Landmarks) -> dict[str, float]:
    """yaw: how far the nose is to the right of the eyes' middle; smile: how wide the mouth is and how far its corners
    are raised; eyes: how open. In eye distances (eyes: of their own width), in the axes of the head."""
    points, unit = face.points, face.eye_distance
    left, right = face.eyes
    across = (right - left) / unit
    down = np.array([-across[1], across[0]])
    corners, lips = points[list(CORNERS)], points[list(LIPS)]
    raised = (lips.mean(0) - corners.mean(0)) @ down
    opened = [
        (np.hypot(*(points[b] - points[f])) + np.hypot(*(points[c] - points[e])))
        / (2 * np.hypot(*(points[d] - points[a])))
        for a, b, c, d, e, f in EYES
    ]
    return {
        "yaw": float((points[NOSE_TIP] - face.eye_middle) @ across / unit),
        "smile": float((np.hypot(*(corners[1] - corners[0])) + raised) / unit),
        "eyes": float(np.mean(opened)),
    }


def attribute_direction(sampler: Sampler, name: str, rows: Sequence[int], watch: Watch | None = None) -> Direction:
    """Along which an attribute grows and the others stay, from generated faces. Raises VtoonError where the generator
    draws too few faces that can be measured."""
    if sampler.net not in _known:
        _known[sampler.net] = measured_faces(sampler, watch)
    x, y = _known[sampler.net]
    if len(x) < ENOUGH:
        raise VtoonError(
            f"{sampler.path}: faces were found in {len(x)} of {FACES} pictures that it draws, {ENOUGH} are needed: "
            f"{name} can be told of generators of faces only; take a number or a file"
        )
    x, y = x - x.mean(0), (y - y.mean(0)) / y.std(0).clamp_min(1e-6)
    place = ATTRIBUTES.index(name)
    told = f"{len(x)} generated faces, r {_held_out(x, y[:, place]):.2f} on those held out"
    return Direction(name, scaled(sampler, independent(ridge(x, y), place), rows), told)


def measured_faces(sampler: Sampler, watch: Watch | None = None) -> tuple[Tensor, Tensor]:
    """Latents w [N, D] of generated faces that could be measured, and what was measured, [N, 3]."""
    w, kept, values = latents(sampler, FACES), [], []
    detector = FaceDetector()
    for i, code in enumerate(w):
        if watch:
            watch(i + 1, FACES)
        face = _face(sampler, code, detector)
        if face is not None:
            kept.append(i)
            values.append([measured(face)[each] for each in ATTRIBUTES])
    return w[kept], torch.tensor(values, device=w.device).reshape(-1, len(ATTRIBUTES))


def _face(sampler: Sampler, code: Tensor, detector: FaceDetector) -> Landmarks | None:
    images = sampler.draw(code.expand(1, sampler.rows, -1))
    if images.shape[-1] < LOOKED_AT:
        images = F.interpolate(images, (LOOKED_AT, LOOKED_AT), mode="bicubic", align_corners=False)
    return next(iter(detector.detect(to_uint8(images)[0], QUICK)), None)


def ridge(x: Tensor, y: Tensor) -> Tensor:
    """Linear model of y [N, K] by x [N, D], both centred: [K, D]. As much is added to each direction's variance as the
    directions have on average, for there may be fewer faces than numbers in a latent."""
    gram = x.T @ x
    return torch.linalg.solve(gram + gram.diagonal().mean() * torch.eye(len(gram), device=x.device), x.T @ y).T


def independent(models: Tensor, place: int) -> Tensor:
    """[D] of models [K, D]: one of them without its part along the others."""
    others = torch.linalg.qr(torch.cat([models[:place], models[place + 1 :]]).T).Q  # [D, K - 1]
    return models[place] - others @ (others.T @ models[place])


def _held_out(x: Tensor, y: Tensor) -> float:
    """Correlation of the attribute with what a model of every second face says of the others."""
    said = torch.empty_like(y)
    for first in (0, 1):
        said[1 - first :: 2] = x[1 - first :: 2] @ ridge(x[first::2], y[first::2, None])[0]
    return float(torch.corrcoef(torch.stack([said, y]))[0, 1])
