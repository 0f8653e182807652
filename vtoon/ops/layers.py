"""Layers with an equalized learning rate: weights are stored at unit variance and scaled when used
(Karras et al. 2018, "Progressive growing of GANs", section 4.1)."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.ops.fir import Blur

SQRT2 = math.sqrt(2.0)


def pixel_norm(x: Tensor) -> Tensor:
    """Scale [N, C, ...] to unit mean square over the channels, at each place by itself."""
    if x.ndim == 4 and not torch.is_grad_enabled() and x.is_contiguous(memory_format=torch.channels_last):
        # In one pass over the memory.
        return F.rms_norm(x.permute(0, 2, 3, 1), x.shape[1:2], eps=1e-8).permute(0, 3, 1, 2)
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def arithmetic(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Networks within compute in `dtype` where that is safe, their weights left as they are."""
    return nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype)


def full_precision(device: torch.device) -> AbstractContextManager:
    """Networks within compute in fp32, whatever is on around them. Tensors without memory know no other."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def sent(x: Tensor, device: torch.device) -> Tensor:
    """A small tensor on its way to the device: what the device still has to do need not end first."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def channels_last_(net: nn.Module) -> nn.Module:
    """Lay the weights of all convolutions out as [out, H, W, in] in memory, in place: faster wherever the features are
    laid out so, too. `Module.to(memory_format=...)` refuses weights of five dimensions, which modulation has."""
    for p in net.parameters():
        if p.ndim == 4:
            p.data = p.data.contiguous(memory_format=torch.channels_last)
    return net


def limit_activations_(net: nn.Module, limit: float = 256.0) -> nn.Module:
    """In place: features stay within `limit`, and in half precision where they are (Karras et al. 2020, "Training GANs
    with limited data", appendix D.1), instead of growing back to fp32 at each bias."""
    for module in net.modules():
        if hasattr(module, "limit"):
            module.limit = limit
    return net


class PixelNorm(nn.Module):
    """`pixel_norm` of latents [N, D]."""

    def forward(self, x: Tensor) -> Tensor:
        return pixel_norm(x)


class FusedLeakyReLU(nn.Module):
    """Bias, leaky ReLU of slope 0.2, gain sqrt 2."""

    limit: float | None = None  # of what goes out, where a training computes in half precision

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias.view(1, -1, *([1] * (x.ndim - 2)))
        if self.limit is None:
            return F.leaky_relu(x + bias, 0.2) * SQRT2
        scaled = torch.add((bias * SQRT2).to(x.dtype), x, alpha=SQRT2)  # fewer passes over what is as large as x
        return F.leaky_relu(scaled, 0.2).clamp(-self.limit, self.limit)


class EqualLinear(nn.Module):
    """Linear layer, optionally followed by the fused leaky ReLU (`activation=True`)."""

    def __init__(
        self, in_dim: int, out_dim: int, bias_init: float = 0.0, lr_mul: float = 1.0, activation: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_dim,), float(bias_init)))
        self.scale = lr_mul / math.sqrt(in_dim)
        self.lr_mul = lr_mul
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)
        return F.leaky_relu(x, 0.2) * SQRT2 if self.activation else x


class EqualConv2d(nn.Module):
    """Convolution without bias, padded to keep the size; with a stride it is not padded, for a blur does it before."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.scale = 1.0 / math.sqrt(in_channels * kernel**2)
        self.dilation = dilation
        self.stride = stride
        self.padding = kernel // 2 + dilation - 1 if stride == 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, None, self.stride, self.padding, self.dilation)


class FixedConv2d(nn.Module):
    """A convolution that keeps the size, with weights that are known. Made in no time, other than nn.Conv2d."""

    stride, dilation = 1, 1

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """weight: [out, in, k, k]; bias: [out]."""
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.padding = weight.shape[-1] // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)


class ConvLayer(nn.Sequential):
    """Equalized convolution, bias, leaky ReLU. `downsample` blurs and halves the size; `activate=False` ends bare."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        dilation: int = 1,
        downsample: bool = False,
        activate: bool = True,
    ) -> None:
        pad = kernel // 2 + 1  # on both sides: what the 4-tap filter and the convolution take away together
        blur = [Blur(pad=(pad, pad))] if downsample else []
        conv = EqualConv2d(in_channels, out_channels, kernel, dilation, stride=2 if downsample else 1)
        super().__init__(*blur, conv, *([FusedLeakyReLU(out_channels)] if activate else []))
