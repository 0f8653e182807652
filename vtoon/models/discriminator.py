"""Discriminators: of StyleGAN2 (Karras et al. 2020) and VToonify, with the published key names, and one for patches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from vtoon.models.stylegan2 import published_channels
from vtoon.ops import ConvLayer, EqualLinear, full_precision

STDDEV_GROUP = 4  # samples compared with one another (Karras et al. 2018, table 2)
LABEL_DIM = 64  # of the degree's and of the style's half of a condition


class DownBlock(nn.Module):
    """Residual block that halves the size, output divided by sqrt 2 to keep the variance."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(in_channels, in_channels, 3)
        self.conv2 = ConvLayer(in_channels, out_channels, 3, downsample=True)
        self.skip = ConvLayer(in_channels, out_channels, 1, downsample=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


def add_batch_stddev(x: Tensor) -> Tensor:
    """[N, C, H, W] and one channel more: how much the samples of a group differ (Karras et al. 2018, section 3).

    Sample i is in group i mod (N / size); a group is the largest that divides N, 4 samples at most.
    """
    n, _, h, w = x.shape
    size = max(k for k in range(1, STDDEV_GROUP + 1) if n % k == 0)
    variance = x.unflatten(0, (size, n // size)).var(0, correction=0)  # [groups, C, H, W]
    spread = (variance + 1e-8).sqrt().mean((1, 2, 3))
    return torch.cat([x, spread.repeat(size)[:, None, None, None].expand(n, 1, h, w)], 1)


class Discriminator(nn.Module):
    """StyleGAN2's residual discriminator of `size` px. `channels`: of each resolution, as in `Generator`."""

    def __init__(self, size: int, channels: Mapping[int, int] | None = None, out_dim: int = 1) -> None:
        super().__init__()
        c = channels or published_channels()
        sizes = [2**k for k in range(int(math.log2(size)), 1, -1)]  # size ... 8, 4 px
        self.convs = nn.Sequential(ConvLayer(3, c[size], 1), *(DownBlock(c[a], c[b]) for a, b in pairwise(sizes)))
        self.final_conv = ConvLayer(c[4] + 1, c[4], 3)
        self.final_linear = nn.Sequential(EqualLinear(c[4] * 4 * 4, c[4], activation=True), EqualLinear(c[4], out_dim))

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, 3, size, size] in [-1, 1]. Returns logits [N, out_dim], positive for real."""
        x = self.convs(x)
        with full_precision(x.device):  # small differences decide here, and it costs little
            x = self.final_conv(add_batch_stddev(x.float()))
            return self.final_linear(x.flatten(1))


class ConditionalDiscriminator(Discriminator):
    """VToonify's: whether a picture is real, given style and degree (projection: Miyato & Koyama 2018, eq. 3)."""

    def __init__(self, size: int, num_styles: int, channels: Mapping[int, int] | None = None) -> None:
        super().__init__(size, channels, out_dim=2 * LABEL_DIM)
        self.label_mapper = nn.Sequential(
            nn.Linear(1, LABEL_DIM),
            nn.LeakyReLU(0.2),
            nn.Linear(LABEL_DIM, LABEL_DIM),
            nn.LeakyReLU(0.2),
            nn.Linear(LABEL_DIM, LABEL_DIM),
        )
        self.style_mapper = nn.Embedding(num_styles, LABEL_DIM)

    def forward(self, x: Tensor, degree: Tensor, style: Tensor) -> Tensor:
        """x: [N, 3, size, size] in [-1, 1]; degree: [N, 1] in [0, 1]; style: long [N]. Returns logits [N, 1]."""
        condition = torch.cat([self.label_mapper(degree), self.style_mapper(style)], 1)
        return (super().forward(x) * condition).sum(1, keepdim=True) / math.sqrt(condition.shape[1])


class PatchDiscriminator(nn.Module):
    """Real or fake, patch by patch, given the style: a projection discriminator (Miyato & Koyama 2018)
    with a 34-pixel view, spectrally normalised so that it needs no gradient penalty."""

    def __init__(self, num_styles: int, width: int = 32) -> None:
        super().__init__()
        sizes = [(3, width, 2), (width, width * 2, 2), (width * 2, width * 4, 1)]
        self.blocks = nn.ModuleList(
            nn.Sequential(spectral_norm(nn.Conv2d(a, b, 4, stride, padding=1)), nn.LeakyReLU(0.2))
            for a, b, stride in sizes
        )
        self.logit = spectral_norm(nn.Conv2d(width * 4, 1, 3, padding=1))
        self.style = spectral_norm(nn.Embedding(num_styles, width * 4))

    def forward(self, x: Tensor, style: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x: [N, 3, H, W] in [-1, 1]; style: long [N]. Returns logits [N, 1, H/4, W/4] and each block's features."""
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        match = torch.einsum("nchw,nc->nhw", x, self.style(style))[:, None]
        return self.logit(x) + match / x.shape[1] ** 0.5, features
