"""New styles: noise to extrinsic style codes, structure and colours each by a network of its own (Yang et al. 2022,
"Pastiche Master", supplement, section 2)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS

NOISE = 128
WIDTH = 512


class CodeNet(nn.Module):
    """Noise [N, 128] to `rows` rows of a style code."""

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.rows, self.dim = rows, dim
        layers = [NOISE, WIDTH, WIDTH]
        body = [(nn.Linear(a, b), nn.LayerNorm(b), nn.LeakyReLU(0.2)) for a, b in pairwise(layers)]
        self.layers = nn.Sequential(*(part for block in body for part in block), nn.Linear(WIDTH, rows * dim))

    def forward(self, noise: Tensor) -> Tensor:
        """[N, 128] to [N, rows, dim]."""
        return self.layers(noise).unflatten(1, (self.rows, self.dim))


class StyleSampler(nn.Module):
    """Both networks."""

    def __init__(self, rows: int, dim: int) -> None:
        """`rows`, `dim`: of whole style codes."""
        super().__init__()
        self.structure = CodeNet(NUM_STRUCTURE_LAYERS, dim)
        self.color = CodeNet(rows - NUM_STRUCTURE_LAYERS, dim)

    def forward(self, structure: Tensor, color: Tensor) -> Tensor:
        """Noise [N, 128] of each kind to codes in Z+ [N, L, D]."""
        return torch.cat([self.structure(structure), self.color(color)], 1)
