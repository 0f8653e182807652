"""The pSp encoder (Richardson et al. 2021, "Encoding in style"): a face to one style row for each generator layer.

Its backbone is IR-SE50: the improved residual units of ArcFace (Deng et al. 2019, section 3.2) with squeeze and
excitation (Hu et al. 2018).
"""

from __future__ import annotations

import math
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.ops import EqualLinear

STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))  # (channels, units) of IR-50; the first unit of each halves the size
LAST_UNITS = tuple(accumulate(units for _, units in STAGES))  # of each stage, counted from 1
FINE, MEDIUM, COARSE = 64, 32, 16  # px: the feature maps, for an input of 256
MEDIUM_ROW, FINE_ROW = 3, 7  # rows 0..2 come from the coarse map, 3..6 from the medium, 7.. from the fine (section 3)


class SqueezeExcite(nn.Module):
    """Channels weighted by what the whole picture says about them."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class ResidualUnit(nn.Module):
    """Normalisation, convolution, PReLU, convolution, normalisation, squeeze and excitation; beside a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        if in_channels == channels:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(shortcut, nn.BatchNorm2d(channels))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            SqueezeExcite(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class MapToStyle(nn.Module):
    """A feature map of `size` px to one style row, by strided convolutions down to a single place (map2style)."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        layers = [(nn.Conv2d(channels, channels, 3, 2, padding=1), nn.LeakyReLU()) for _ in range(int(math.log2(size)))]
        self.convs = nn.Sequential(*(module for layer in layers for module in layer))
        self.linear = EqualLinear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


def _add_enlarged(coarse: Tensor, fine: Tensor) -> Tensor:
    """One step down the feature pyramid (Lin et al. 2017, section 3)."""
    return F.interpolate(coarse, fine.shape[2:], mode="bilinear", align_corners=True) + fine


class StyleEncoder(nn.Module):
    """GradualStyleEncoder: 50 layers, squeeze and excitation. `num_styles` rows: 18 for a generator of 1024 px."""

    def __init__(self, num_styles: int = 18, style_dim: int = 512) -> None:
        super().__init__()
        first = STAGES[0][0]
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.PReLU(first)
        )
        plan = [(channels, 2 if i == 0 else 1) for channels, units in STAGES for i in range(units)]
        before = [first, *(channels for channels, _ in plan[:-1])]
        self.body = nn.Sequential(*(ResidualUnit(b, c, stride) for b, (c, stride) in zip(before, plan, strict=True)))
        rows = (MEDIUM_ROW, FINE_ROW - MEDIUM_ROW, num_styles - FINE_ROW)
        self.sizes = [size for size, n in zip((COARSE, MEDIUM, FINE), rows, strict=True) for _ in range(n)]
        self.styles = nn.ModuleList(MapToStyle(size, style_dim) for size in self.sizes)
        self.latlayer1 = nn.Conv2d(STAGES[2][0], style_dim, 1)
        self.latlayer2 = nn.Conv2d(STAGES[1][0], style_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: aligned faces [N, 3, 256, 256] in [-1, 1]. Returns rows [N, num_styles, style_dim].

        They are differences from the average latent, which the published file carries beside the weights.
        """
        maps = dict(zip((COARSE, MEDIUM, FINE), self.pyramid(x), strict=True))
        return torch.stack([style(maps[size]) for size, style in zip(self.sizes, self.styles, strict=True)], 1)

    def pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feature maps [N, style_dim, s, s] at 16, 32 and 64 px, each with the coarser ones in it."""
        ends, x = [], self.input_layer(x)
        for i, unit in enumerate(self.body, start=1):
            x = unit(x)
            if i in LAST_UNITS:
                ends.append(x)
        coarse = ends[3]
        medium = _add_enlarged(coarse, self.latlayer1(ends[2]))
        return coarse, medium, _add_enlarged(medium, self.latlayer2(ends[1]))
