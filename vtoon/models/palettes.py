"""Palettes: pointwise recolouring of a drawing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vtoon.image import luma

LEVELS = 256


class Palettes(nn.Module):
    """Each palette is a ramp of colours over luminance, plus a share of the picture's own colour.

    y = ramp(luma(x)) + own * (x - luma(x))

    This is known exactly, so that nothing has to be learned. The first palette leaves colours alone. The ramps are
    buffers: they travel with the weights.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)
        grey = torch.linspace(-1, 1, LEVELS)[None, :, None].expand(len(self.names), LEVELS, 3)
        self.register_buffer("ramps", grey.clone())
        self.register_buffer("own", torch.ones(len(self.names)))

    @torch.no_grad()
    def put(self, name: str, ramp: Tensor, own: float) -> None:
        """Set a palette: ramp [256, 3] RGB in [-1, 1] from black to white, own in [0, 1]."""
        index = self.names.index(name)
        self.ramps[index] = ramp
        self.own[index] = own

    def forward(self, x: Tensor, palette: Tensor) -> Tensor:
        """x: [N, 3, H, W], about [-1, 1]; palette: long [N]. Returns the same shape."""
        light = luma(x).clamp(-1, 1)
        at = (light + 1) * ((LEVELS - 1) / 2)
        low = at.floor().clamp(max=LEVELS - 2)
        rows, first = palette[:, None, None], low.long()
        below, above = self.ramps[rows, first], self.ramps[rows, first + 1]
        base = torch.lerp(below, above, (at - low)[..., None]).movedim(-1, 1)
        return base + self.own[palette][:, None, None, None] * (x - light[:, None])
