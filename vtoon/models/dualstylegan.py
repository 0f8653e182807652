"""DualStyleGAN (Yang et al. 2022, "Pastiche Master"): StyleGAN2 with an extrinsic style path."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.models.stylegan2 import Generator
from vtoon.ops import ConvLayer, EqualLinear, PixelNorm

NUM_STRUCTURE_LAYERS = 7  # style rows 0..6 shape the face, the rest colour it (DualStyleGAN, section 3.2)


class AdaptiveInstanceNorm(nn.Module):
    """Scale and shift of each channel from a style (Huang & Belongie 2017)."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.style = nn.Linear(style_dim, channels * 2)
        with torch.no_grad():
            self.style.bias[:channels] = 1.0
            self.style.bias[channels:] = 0.0

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gamma, beta = self.style(style)[:, :, None, None].chunk(2, 1)
        return gamma * F.instance_norm(x) + beta


class ModResBlock(nn.Module):
    """Modulative residual block: AdaIN, convolution, AdaIN, convolution; the residual is scaled by the degree."""

    def __init__(self, channels: int, style_dim: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = ConvLayer(channels, channels, 3, dilation=dilation)
        self.conv2 = ConvLayer(channels, channels, 3, dilation=dilation)
        self.norm = AdaptiveInstanceNorm(channels, style_dim)
        self.norm2 = AdaptiveInstanceNorm(channels, style_dim)
        with torch.no_grad():
            for layer in (self.conv[0], self.conv2[0]):
                layer.weight *= 0.01

    def forward(self, x: Tensor, style: Tensor, weight: Tensor) -> Tensor:
        """x: [N, C, H, W]; style: [N, D]; weight: [N, 1] in [0, 1]."""
        out = self.conv(self.norm(x, style))
        out = self.conv2(self.norm2(out, style))
        return x + out * weight[:, :, None, None]


class DualStyleGAN(nn.Module):
    """Generator plus the extrinsic path: `style` is T_c, `res[:7]` the ModRes blocks, `res[7:]` T_s.

    `structure_channels=0` leaves the ModRes blocks out: enough inside VToonify, which replaces the layers they follow.
    """

    def __init__(
        self,
        size: int,
        style_dim: int = 512,
        mapping_layers: int = 8,
        channels: Mapping[int, int] | None = None,
        structure_channels: int = 512,
    ) -> None:
        super().__init__()
        self.style = nn.Sequential(
            PixelNorm(), *(EqualLinear(style_dim, style_dim, lr_mul=0.01, activation=True) for _ in range(2))
        )
        self.generator = Generator(size, style_dim, mapping_layers, channels)
        blocks = NUM_STRUCTURE_LAYERS if structure_channels else 0
        self.res = nn.ModuleList(ModResBlock(structure_channels, style_dim) for _ in range(blocks))
        for _ in range(NUM_STRUCTURE_LAYERS - blocks):
            self.res.append(nn.Identity())
        for _ in range(NUM_STRUCTURE_LAYERS, self.generator.num_latents):
            layer = EqualLinear(style_dim, style_dim)
            with torch.no_grad():
                layer.weight.copy_(torch.eye(style_dim) / layer.scale)
            self.res.append(layer)

    def transform_color(self, style: Tensor) -> Tensor:
        """T_s: the colour rows of [N, L, D] in W+ to the generator's own; the structure rows stay as they are."""
        rows = [self.res[i](style[:, i]) for i in range(NUM_STRUCTURE_LAYERS, style.shape[1])]
        return torch.cat([style[:, :NUM_STRUCTURE_LAYERS], torch.stack(rows, 1)], 1)

    def forward(
        self, intrinsic: Tensor, extrinsic: Tensor, weights: Tensor, noise: list[Tensor | None] | None = None
    ) -> Tensor:
        """The face `intrinsic` in the style `extrinsic`, both W+ [N, L, D] (Z+ codes: `generator.zplus2wplus`).

        weights: degree of each row, [L] or [N, L] in [0, 1]; `noise` as in `Generator`. Returns RGB [N, 3, size, size].
        """
        _, rgb = deque(self.grow(intrinsic, extrinsic, weights, noise), maxlen=1).pop()
        return rgb

    def grow(
        self, intrinsic: Tensor, extrinsic: Tensor, weights: Tensor, noise: list[Tensor | None] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Features and RGB at 4, 8, ... `size` px, as `Generator.grow` gives them."""
        weights = weights.expand(extrinsic.shape[:2])
        blocks = NUM_STRUCTURE_LAYERS

        def add_structure(i: int, x: Tensor) -> Tensor:
            return self.res[i](x, self.style(extrinsic[:, i]), weights[:, i : i + 1]) if i < blocks else x

        colors = torch.lerp(intrinsic, self.transform_color(extrinsic), weights[:, :, None])
        w_plus = torch.cat([intrinsic[:, :blocks], colors[:, blocks:]], 1)
        return self.generator.grow(w_plus, noise, add_structure)
