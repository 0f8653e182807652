"""Modulated convolution (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", section 2.2),
also with kernels that the style chooses (Kang et al. 2023, "Scaling up GANs for text-to-image synthesis", 3.1)."""

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
    convolution for the whole batch instead of one group per sample. With a `bank`, the kernel itself is moved by the
    style: a few channels that must serve one look at a time need not be the same ones for all. Once the style is baked
    this costs nothing.
    """

    limit: float | None = None  # see `limit_activations_`: with one, features keep their precision

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        style_dim: int,
        demodulate: bool = True,
        upsample: bool = False,
        bank: int = 0,
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
        if bank:
            self.bank = nn.Parameter(torch.zeros(bank, *self.weight.shape[1:]))
            self.select = EqualLinear(style_dim, bank)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x: [N, in, H, W]; style: [N, style_dim]. Returns [N, out, H, W], or twice the size when upsampling."""
        weight, s = self.kernels(style), self.modulation(style)  # [N or 1, out, in, k, k], [N, in]
        x = x * s[:, :, None, None]
        if len(weight) == 1:
            out = self.convolve(x, weight[0])
        elif x.is_cuda:
            out = self.convolve_bank(x, style)
        else:
            out = torch.cat([self.convolve(one, w) for one, w in zip(x.split(1), weight, strict=True)])
        if self.demodulate:
            power = torch.einsum("ni,noi->no", s.square(), weight.square().sum((3, 4)).expand(len(s), -1, -1))
            norm = torch.rsqrt(power + 1e-8)[:, :, None, None]
            out = out * (norm.to(out.dtype) if self.limit else norm)  # eq. 3
        return out

    def kernels(self, style: Tensor) -> Tensor:
        """Before modulation: [1, out, in, k, k], or with a bank one for each style [N, ...]."""
        weight = self.weight * self.scale
        if not hasattr(self, "bank"):
            return weight
        share = self.select(style) / math.sqrt(len(self.bank))  # [N, bank]
        return weight + torch.einsum("nb,boikl->noikl", share, self.bank * self.scale)

    def convolve_bank(self, x: Tensor, style: Tensor) -> Tensor:
        """What the kernels of each style make of modulated x, as one dense convolution of the whole batch.

        conv(x, w + sum_b c_b k_b) = conv([x, c_1 x, ..., c_B x], [w, k_1, ..., k_B]): more arithmetic than a
        convolution for each sample, which a GPU has to spare, and one call instead of hundreds of small ones.
        """
        share = self.select(style) / math.sqrt(len(self.bank))
        share = torch.cat([torch.ones_like(share[:, :1]), share], 1).to(x.dtype)
        stack = torch.cat([self.weight, self.bank]) * self.scale  # [1 + bank, out, in, k, k]
        weight = stack.transpose(0, 1).flatten(1, 2)  # [out, (1 + bank) in, k, k]
        copies = x.permute(0, 2, 3, 1)[:, :, :, None] * share[:, None, None, :, None]  # [N, H, W, 1 + bank, in]
        return self.convolve(copies.flatten(3).permute(0, 3, 1, 2), weight)  # features last in memory, as GPUs like it

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution alone, with weight [out, in, k, k]."""
        if self.upsample:
            return self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        return F.conv2d(x, weight, padding=self.padding)
