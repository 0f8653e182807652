"""Pictures and their squares of pixels: means, one pixel for each square, and back.

PyTorch has all of it. On a CPU its own functions go through pictures of three channels pixel by pixel; the same as
convolutions with constant weights takes a third to a fifth of the time. The weights are made each time: kept ones might
be those of a graph that was being traced, and hold no numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def means(x: Tensor, side: int) -> Tensor:
    """Of each square of `side` px the mean: [N, C, H, W] -> [N, C, H / side, W / side], rounded down."""
    if not _convolves(x):
        return F.avg_pool2d(x, side)
    return F.conv2d(x, _even(x.shape[1], side, x.dtype), stride=side, groups=x.shape[1])


def folded(x: Tensor, side: int) -> Tensor:
    """Each square of `side` px as one pixel: [N, C, H, W] -> [N, C side side, H / side, W / side]."""
    if side == 1:
        return x
    return F.conv2d(x, _places(x.shape[1], side, x.dtype), stride=side) if _convolves(x) else F.pixel_unshuffle(x, side)


def unfolded(x: Tensor, side: int) -> Tensor:
    """The way back: [N, C side side, h, w] -> [N, C, h side, w side]."""
    if side == 1:
        return x
    weight = _places(x.shape[1] // side**2, side, x.dtype)
    return F.conv_transpose2d(x, weight, stride=side) if _convolves(x) else F.pixel_shuffle(x, side)


def enlarged(x: Tensor, times: int) -> Tensor:
    """Bilinear, the border repeated: [N, C, h, w] -> [N, C, h times, w times]; `times` is even."""
    if not _convolves(x):
        return F.interpolate(x, scale_factor=times, mode="bilinear")
    wide, weight = F.pad(x, (1, 1, 1, 1), mode="replicate"), _tent(x.shape[1], times, x.dtype)
    return F.conv_transpose2d(wide, weight, stride=times, padding=times + times // 2, groups=x.shape[1])


def _convolves(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _even(channels: int, side: int, dtype: torch.dtype) -> Tensor:
    return torch.full((channels, 1, side, side), 1 / side**2, dtype=dtype)


def _tent(channels: int, times: int, dtype: torch.dtype) -> Tensor:
    line = 1 - (torch.arange(2 * times) - (times - 0.5)).abs() / times
    return (line[:, None] * line).to(dtype).repeat(channels, 1, 1, 1)


def _places(channels: int, side: int, dtype: torch.dtype) -> Tensor:
    """[channels side side, channels, side, side]: 1 where a channel comes from a place of the square."""
    weight = torch.eye(channels * side**2).unflatten(1, (channels, side, side))
    return weight.to(dtype).contiguous(memory_format=torch.channels_last)
