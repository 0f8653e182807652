"""How photo and drawing are moved alike in VToonify's training: the geometry of StyleGAN2-ADA, gentler (Karras et al.
2020, "Training GANs with limited data", appendix B; VToonify, section 4.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vtoon.ops import affine_resample
from vtoon.train.draws import Draws

CHANCE = 0.2  # of each kind of motion
SHIFT = 0.125  # of the side
SCALE = 0.1 * math.log(2)  # standard deviation of the logarithm of the scale
TURN = math.pi / 4  # radians, either way


def random_affine(draws: Draws, size: int, translate: bool = True) -> Tensor:
    """[N, 3, 3], px from the middle: flip, whole-pixel shift, scale, turn, stretch, turn, shift, each with its chance.

    `translate=False`: shifts count as pixels, an eighth of one at most, as the published sampler has them.
    """
    unit = float(size) if translate else 1.0

    def chosen(value: Tensor, neutral: float, chance: float = CHANCE) -> Tensor:
        return torch.where(draws.uniform() < chance, value, torch.full_like(value, neutral))

    turns = 1 - math.sqrt(1 - CHANCE)  # two turns: together the chance of one
    matrix = scaled(chosen(1 - 2 * draws.integers(2).float(), 1.0))
    shifts = [(draws.uniform() * 2 - 1) * SHIFT * unit for _ in "xy"]
    matrix = shifted(*(chosen(torch.round(v) if translate else v, 0.0) for v in shifts)) @ matrix
    even = torch.exp2(chosen(draws.normal() * SCALE / math.log(2), 0.0))
    matrix = scaled(even, even) @ matrix
    matrix = turned(chosen((draws.uniform() * 2 - 1) * TURN, 0.0, turns)) @ matrix
    stretch = torch.exp2(chosen(draws.normal() * SCALE / math.log(2), 0.0))
    matrix = scaled(stretch, 1 / stretch) @ matrix
    matrix = turned(chosen((draws.uniform() * 2 - 1) * TURN, 0.0, turns)) @ matrix
    return shifted(*(chosen(draws.normal() * SHIFT * unit, 0.0) for _ in "xy")) @ matrix


def moved(images: Tensor, matrices: Tensor) -> Tensor:
    """[N, C, S, S] moved by [N, 3, 3]; those that stay where they are stay as they are."""
    still = (matrices == torch.eye(3, device=matrices.device)).all(-1).all(-1)
    if still.all():
        return images
    out = images.clone()
    out[~still] = affine_resample(images[~still].float(), matrices[~still]).to(images.dtype)
    return out


def scaled(x: Tensor, y: Tensor | None = None) -> Tensor:
    y = torch.ones_like(x) if y is None else y
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], -1))


def shifted(x: Tensor, y: Tensor) -> Tensor:
    matrix = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    matrix[:, 0, 2], matrix[:, 1, 2] = x, y
    return matrix


def turned(angle: Tensor) -> Tensor:
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [torch.stack(row, -1) for row in ((c, -s, zero), (s, c, zero), (zero, zero, one))]
    return torch.stack(rows, -2)
