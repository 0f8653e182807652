"""FIR resampling (Karras et al. 2019, "A style-based generator architecture", section 3)."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BINOMIAL = (1.0, 3.0, 3.0, 1.0)


def fir_kernel(taps: tuple[float, ...] = BINOMIAL, gain: float = 1.0) -> Tensor:
    """Separable FIR filter [T, T] that sums to `gain`."""
    k = torch.tensor(taps, dtype=torch.float32)
    k = torch.outer(k, k)
    return k * (gain / k.sum())


def upfirdn2d(
    x: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0), bias: Tensor | None = None
) -> Tensor:
    """Insert `up - 1` zeros between samples, pad (before, after) on both axes, convolve, keep every `down`-th.

    x: [N, C, H, W]; kernel: [T, T]; bias, added last: [C].
    Returns [N, C, (H * up + sum(pad) - T) // down + 1, same for W].
    """
    n, c, h, w = x.shape
    if up > 1:
        x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    even = pad[0] == pad[1] >= 0  # the convolution itself can pad, without a copy of x
    if not even:
        x = F.pad(x, (*pad, *pad))
    weight = kernel.flip(0, 1).to(x.dtype).expand(c, 1, *kernel.shape)
    return F.conv2d(x, weight, bias, stride=down, padding=pad[0] if even else 0, groups=c)


def doubled(x: Tensor) -> Tensor:
    """What `Upsample` gives, tens of times as fast: between pixels, its filter is bilinear interpolation; beyond the
    border lies zero. [N, C, H, W] -> [N, C, 2 H, 2 W]."""
    wide = x.float() if x.device.type == "cpu" else x  # of 16 bits, a CPU takes three times as long
    return F.interpolate(F.pad(wide, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")[..., 2:-2, 2:-2].to(x.dtype)


def blurred(x: Tensor, pad: int, gain: float = 1.0) -> Tensor:
    """What `Blur` gives with `pad` (3 at most) on all sides: [1, 3, 3, 1] is three means of two pixels, one after the
    other. On graphics cards means are fast in any layout; convolutions of one channel each are not."""
    for i in range(3):
        last = {"divisor_override": 1} if i == 2 and gain == 4 else {}
        x = F.avg_pool2d(x, 2, stride=1, padding=int(i < pad), **last)
    return x if gain in (1, 4) else x * gain


class Blur(nn.Module):
    """Low-pass filter at constant resolution; `gain` 4 makes up for the zeros of a transposed convolution."""

    def __init__(self, pad: tuple[int, int], gain: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(gain=gain))
        self.pad, self.gain = pad, gain

    @cached_property
    def binomial(self) -> bool:
        """Whether the filter is the usual one; a file may hold another."""
        return torch.allclose(self.kernel.cpu(), fir_kernel(gain=self.gain))

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda and self.pad[0] == self.pad[1] <= 3 and self.binomial:
            return blurred(x, self.pad[0], self.gain)
        return upfirdn2d(x, self.kernel, pad=self.pad)


class Upsample(nn.Module):
    """Twice the size by zero insertion and the [1, 3, 3, 1] filter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(gain=4.0))

    @cached_property
    def binomial(self) -> bool:
        """Whether the filter is the usual one, for which there is `doubled`; a file may hold another."""
        return torch.equal(self.kernel.cpu(), fir_kernel(gain=4.0))

    def forward(self, x: Tensor) -> Tensor:
        if x.is_meta or not torch.is_autocast_enabled(x.device.type):
            return upfirdn2d(x, self.kernel, up=2, pad=(2, 1))
        with torch.autocast(x.device.type, enabled=False):  # colours would be rounded once more at every size
            return upfirdn2d(x, self.kernel, up=2, pad=(2, 1))
