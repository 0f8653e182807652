"""Modulated convolution (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", section 2.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.ops.fir import Blur
from vtoon.ops.layers import EqualLinear


class ModulatedConv2d(nn.Module):
    """Convolution whose input channels are scaled by a style, its output renormalised to unit variance.

    The style scales the activations, not the weights: the same function (convolution is linear), but one dense
    convolution for the whole batch instead of one group per sample.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        style_dim: int,
        demodulate: bool = True,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel, kernel))
        self.modulation = EqualLinear(style_dim, in_channels, bias_init=1.0)
        self.scale = 1.0 / math.sqrt(in_channels * kernel**2)
        self.padding = kernel // 2
        self.demodulate = demodulate
        self.upsample = upsample
        if upsample:
            self.blur = Blur(pad=(1, 1), gain=4.0)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x: [N, in, H, W]; style: [N, style_dim]. Returns [N, out, H, W], or twice the size when upsampling."""
        weight = self.weight[0] * self.scale  # [out, in, k, k]
        s = self.modulation(style)  # [N, in]
        out = self.convolve(x * s[:, :, None, None], weight)
        if self.demodulate:
            d = torch.rsqrt(s.square() @ weight.square().sum((2, 3)).T + 1e-8)  # eq. 3, [N, out]
            out = out * d[:, :, None, None]
        return out

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution alone, with weight [out, in, k, k]."""
        if self.upsample:
            return self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        return F.conv2d(x, weight, padding=self.padding)
