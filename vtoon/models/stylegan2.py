"""StyleGAN2 generator (Karras et al. 2020), with the key names of the published PyTorch checkpoints."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from vtoon.ops import EqualLinear, FusedLeakyReLU, ModulatedConv2d, PixelNorm, Upsample


def published_channels(channel_multiplier: int = 2) -> dict[int, int]:
    """Channels of each resolution in the published networks."""
    wide = {4: 512, 8: 512, 16: 512, 32: 512}
    return wide | {r: min(512, 256 * channel_multiplier * 64 // r) for r in (64, 128, 256, 512, 1024)}


def truncate(w: Tensor, mean: Tensor, psi: float) -> Tensor:
    """Pull latents toward their mean: less variety, fewer failures (Karras et al. 2019, appendix B)."""
    return mean + psi * (w - mean)


class ConstantInput(nn.Module):
    """The learned 4x4 start of the generator."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class NoiseInjection(nn.Module):
    """Adds noise [1 or N, 1, H, W], scaled by one learned weight."""

    limit: float | None = None  # see `limit_activations_`: with one, features keep their precision

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        if noise is None:
            return x
        scaled = self.weight * noise
        return x + (scaled.to(x.dtype) if self.limit else scaled)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, style_dim: int, upsample: bool = False, bank: int = 0
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, style_dim, upsample=upsample, bank=bank)
        self.noise = NoiseInjection()
        self.activate = FusedLeakyReLU(out_channels)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.activate(self.noise(self.conv(x, style), noise))


class ToRGB(nn.Module):
    """Features to RGB, added to the upsampled RGB of the resolution below."""

    def __init__(self, in_channels: int, style_dim: int, upsample: bool = True, out_channels: int = 3) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))
        if upsample:
            self.upsample = Upsample()

    def forward(self, x: Tensor, style: Tensor, skip: Tensor | None = None) -> Tensor:
        rgb = self.conv(x, style) + self.bias
        return rgb if skip is None else rgb + self.upsample(skip)


class Generator(nn.Module):
    """z or w+ to an image of `size` px. `convs[2k]`, `convs[2k + 1]`, `to_rgbs[k]` work at 2 ** (k + 3) px."""

    def __init__(
        self,
        size: int,
        style_dim: int = 512,
        mapping_layers: int = 8,
        channels: Mapping[int, int] | None = None,
        banks: Mapping[int, int] | None = None,
        out_channels: int = 3,
    ) -> None:
        """`out_channels`: of the picture; more where a pixel stands for a square of them."""
        super().__init__()
        channels = channels or published_channels()
        self.size, self.style_dim, self.mapping_layers = size, style_dim, mapping_layers
        self.channels = {2**k: channels[2**k] for k in range(2, int(math.log2(size)) + 1)}
        self.num_latents = 2 * int(math.log2(size)) - 2
        mapping = [EqualLinear(style_dim, style_dim, lr_mul=0.01, activation=True) for _ in range(mapping_layers)]
        self.style = nn.Sequential(PixelNorm(), *mapping)
        self.input = ConstantInput(channels[4])
        self.conv1 = StyledConv(channels[4], channels[4], style_dim)
        self.to_rgb1 = ToRGB(channels[4], style_dim, upsample=False, out_channels=out_channels)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        self.noises.register_buffer("noise_0", torch.randn(1, 1, 4, 4))
        for level in range(3, int(math.log2(size)) + 1):
            below, here = channels[2 ** (level - 1)], channels[2**level]
            bank = (banks or {}).get(2**level, 0)
            self.convs.append(StyledConv(below, here, style_dim, upsample=True, bank=bank))
            self.convs.append(StyledConv(here, here, style_dim, bank=bank))
            self.to_rgbs.append(ToRGB(here, style_dim, out_channels=out_channels))
            for index in (2 * level - 5, 2 * level - 4):
                self.noises.register_buffer(f"noise_{index}", torch.randn(1, 1, 2**level, 2**level))

    def forward(self, w_plus: Tensor, noise: list[Tensor | None] | None = None) -> Tensor:
        """w_plus: [N, num_latents, style_dim]. Returns RGB [N, 3, size, size], about [-1, 1].

        `noise`: one map for each of the `num_latents - 1` convolutions; the stored maps by default.
        """
        _, rgb = deque(self.grow(w_plus, noise), maxlen=1).pop()
        return rgb

    def grow(
        self,
        w_plus: Tensor,
        noise: list[Tensor | None] | None = None,
        after: Callable[[int, Tensor], Tensor] = lambda _, x: x,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Features [N, C, r, r] and RGB [N, 3, r, r] for r = 4, 8, ... `size` px, each computed when asked for.

        `after(i, x)` gets what convolution i puts out (0: conv1, i: convs[i - 1]) and returns what goes on.
        """
        noise = noise or [getattr(self.noises, f"noise_{i}") for i in range(self.num_latents - 1)]
        x = after(0, self.conv1(self.input.input.repeat(w_plus.shape[0], 1, 1, 1), w_plus[:, 0], noise[0]))
        rgb = self.to_rgb1(x, w_plus[:, 1])
        yield x, rgb
        for i, to_rgb in zip(range(1, self.num_latents - 2, 2), self.to_rgbs, strict=True):
            x = after(i, self.convs[i - 1](x, w_plus[:, i], noise[i]))
            x = after(i + 1, self.convs[i](x, w_plus[:, i + 1], noise[i + 1]))
            rgb = to_rgb(x, w_plus[:, i + 2], rgb)
            yield x, rgb

    def to_w_plus(self, w: Tensor, other: Tensor | None = None, inject_index: int = 0) -> Tensor:
        """w [N, D] for every row, with `other` from row `inject_index` on (style mixing: Karras et al. 2019, 3.1)."""
        w_plus = w[:, None].repeat(1, self.num_latents, 1)
        if other is not None:
            w_plus[:, inject_index:] = other[:, None]
        return w_plus

    def zplus2wplus(self, z_plus: Tensor) -> Tensor:
        """[N, L, D] in Z+ to W+, row by row through the mapping network."""
        return self.style(z_plus.flatten(0, 1)).unflatten(0, z_plus.shape[:2])
