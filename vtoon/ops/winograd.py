"""Wide 3x3 convolutions with a quarter of the multiplications, for CPUs.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2015, "Fast algorithms for convolutional neural networks",
section 4.3): 4x4 px of the result from the 6x6 px around them. A linear map takes each channel's 6x6 px to 36 numbers,
a product of matrices for each of the 36 mixes the channels, and another linear map makes 4x4 px of what comes out. GPUs
do this by themselves; PyTorch's convolution on a CPU does not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.ops.layers import EqualConv2d, FixedConv2d

TILE, SEEN = 4, 6  # px of the result in one tile, px that it depends on; both are squares
WIDE = 128  # channels in and out from which it is faster: below, the maps cost more than they save
AT_ONCE = 1 << 23  # numbers: what is worked on at once should stay in a cache of some size, yet be worth a product


def _both_axes(*rows: list[float]) -> Tensor:
    """A map of rows and of columns as one of flattened squares, float32."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


# B^T, G and A^T of the paper, for the points 0, 1, -1, 2, -2 and infinity.
INPUT = _both_axes(
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
)
KERNEL = _both_axes(
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
)
OUTPUT = _both_axes([1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1])
CONSTANT = SEEN + 1  # of the 36: the one that adds itself to all 16 px alike, where the bias goes


def winograd_bytes(conv: nn.Module) -> int:
    """What the kernels of a convolution take as float32 in this form."""
    return 4 * SEEN**2 * conv.weight.shape[:2].numel()


def winograd_weight(weight: Tensor) -> Tensor:
    """Kernels [out, in, 3, 3] as `winograd_conv2d` takes them: [36, in, out], four times as large."""
    kernels = weight.flatten(2).permute(2, 1, 0)  # [9, in, out]
    return (KERNEL @ kernels.flatten(1)).view(-1, *kernels.shape[1:])


def winograd_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1) -> Tensor:
    """A 3x3 convolution padded to keep the size, for drawing: no gradients. Off by about 5e-5 of the mean value.

    x: float32 [N, in, H, W]; weight: [36, in, out] of `winograd_weight`; bias: [out]. Returns [N, out, H, W] in
    channels_last.
    """
    count, _, height, width = x.shape
    tall, across = (-(-side // (TILE * dilation)) for side in (height, width))  # tiles
    out = x.new_empty(count, tall, TILE, dilation, across, TILE, dilation, weight.shape[2])
    tiles = _tiles(x, tall, across, dilation)
    numbers = SEEN**2 * dilation**2 * across * max(weight.shape[1:])  # of one row of tiles
    pictures = max(1, AT_ONCE // (numbers * tall))
    rows = tall if pictures > 1 else max(1, AT_ONCE // numbers)
    for n in range(0, count, pictures):
        for row in range(0, tall, rows):
            seen = tiles[:, :, n : n + pictures, row : row + rows]
            part = seen.shape[2:-1]  # pictures, tall, dilation, across, dilation
            mixed = torch.bmm((INPUT @ seen.reshape(SEEN**2, -1)).view(SEEN**2, part.numel(), -1), weight)
            if bias is not None:
                mixed[CONSTANT] += bias
            made = (OUTPUT @ mixed.flatten(1)).view(TILE, TILE, *part, -1)
            out[n : n + pictures, row : row + rows] = made.permute(2, 3, 0, 4, 5, 1, 6, 7)
    out = out.view(count, tall * TILE * dilation, across * TILE * dilation, -1)[:, :height, :width]
    return out.contiguous().permute(0, 3, 1, 2)


def _tiles(x: Tensor, tall: int, across: int, dilation: int) -> Tensor:
    """What each tile depends on: [6, 6, N, tall, dilation, across, dilation, in], a view of x in channels_last.

    With a dilation each of its pixels in turn starts a picture of its own, every so many pixels apart.
    """
    below, right = (
        (TILE * tiles + 1) * dilation - side for tiles, side in zip((tall, across), x.shape[2:], strict=True)
    )
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, dilation, right, dilation, below)).contiguous()
    picture, down, along, channel = x.stride()
    step = dilation * TILE
    return x.as_strided(
        (SEEN, SEEN, len(x), tall, dilation, across, dilation, x.shape[3]),
        (dilation * down, dilation * along, picture, step * down, down, step * along, along, channel),
    )


def gains(conv: nn.Module) -> bool:
    """Whether a module is a convolution that is faster in this form."""
    if not isinstance(conv, nn.Conv2d | EqualConv2d | FixedConv2d) or conv.weight.shape[2:] != (3, 3):
        return False
    plain = not isinstance(conv, nn.Conv2d) or (conv.groups == 1 and conv.padding_mode == "zeros")
    keeps_size = conv.stride in (1, (1, 1)) and conv.padding == conv.dilation
    return plain and keeps_size and min(conv.weight.shape[:2]) >= WIDE


class WinogradConv2d(nn.Module):
    """A convolution that `gains`, in this form."""

    def __init__(self, conv: nn.Conv2d | EqualConv2d | FixedConv2d) -> None:
        super().__init__()
        self.register_buffer("weight", winograd_weight(conv.weight * getattr(conv, "scale", 1)))
        self.register_buffer("bias", getattr(conv, "bias", None))
        self.dilation = conv.dilation if isinstance(conv.dilation, int) else conv.dilation[0]

    def forward(self, x: Tensor) -> Tensor:
        return winograd_conv2d(x, self.weight, self.bias, self.dilation)
