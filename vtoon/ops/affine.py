"""Affine maps of pictures without aliasing (Karras et al. 2020, "Training GANs with limited data", appendix B)."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.ops.layers import sent

# The low-pass filter of the symlet with six vanishing moments (Daubechies 1992, table 6.3), which sums to sqrt 2.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
REACH = len(SYM6) // 4  # px of the picture, that the filter at twice the size sees to each side
LATE = 0.5  # steps at twice the size: the filter's weight lies that far from the middle of its taps


def affine_resample(images: Tensor, matrices: Tensor) -> Tensor:
    """Move pictures [N, C, H, W] by `matrices` [N, 3, 3], which take a place in the picture to its place in the result,
    both as (x, y, 1) px from the middle. What comes in from outside mirrors the border.

    Twice as large by a wavelet's filter, sampled bilinearly, and down again by the same filter turned round: the
    second filter takes out what the first one shifted. Differentiable in the pictures.
    """
    height, width = images.shape[2:]
    inverse = torch.linalg.inv(matrices.double().cpu())
    x_margin, y_margin = _margins(inverse, width, height)
    padded = F.pad(images, (x_margin, x_margin, y_margin, y_margin), mode="reflect")
    kernel = _kernel(images.device).to(images.dtype)
    grid = _grid(inverse, width, height, padded.shape[3], padded.shape[2], images)
    sampled = F.grid_sample(_twice(padded, kernel), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return _half(sampled, kernel)


@cache
def _kernel(device: torch.device) -> Tensor:
    taps = torch.tensor(SYM6, dtype=torch.float64)
    return (torch.outer(taps, taps) / taps.sum() ** 2).float().to(device)


def _twice(x: Tensor, kernel: Tensor) -> Tensor:
    """Zeros between the pixels, then the filter: four small filters, each for one of four neighbours of the result.

    Every channel is a picture of its own: convolutions in groups are slow on graphics cards.
    """
    n, c, h, w = x.shape
    half = len(SYM6) // 2
    phases = 4 * kernel.flip(0, 1).unflatten(1, (half, 2)).unflatten(0, (half, 2)).permute(1, 3, 0, 2)
    wide = F.pad(x.reshape(n * c, 1, h, w), (half // 2,) * 4)
    four = F.conv2d(wide, phases.flip(0, 1).reshape(4, 1, half, half))  # [n * c, 4, h + 1, w + 1]
    return F.pixel_shuffle(four, 2)[..., 1:-1, 1:-1].reshape(n, c, 2 * h, 2 * w)


def _half(x: Tensor, kernel: Tensor) -> Tensor:
    """The filter turned round, of every second place; `REACH` px at each border are for the filter alone."""
    n, c, h, w = x.shape
    cut = len(SYM6) // 2 - 1 - 2 * REACH
    inner = F.pad(x.reshape(n * c, 1, h, w), (cut,) * 4)
    out = F.conv2d(inner, kernel[None, None], stride=2)
    return out.reshape(n, c, *out.shape[2:])


def _margins(inverse: Tensor, width: int, height: int) -> tuple[int, int]:
    """How far outside the picture the result looks, px for each axis; a mirror reaches no further than its picture.

    In few steps: a graphics card looks for the fastest way anew for each shape that it meets.
    """
    x, y = (width - 1) / 2 + REACH, (height - 1) / 2 + REACH
    corners = torch.tensor([[-x, -y, 1], [x, -y, 1], [x, y, 1], [-x, y, 1]], dtype=torch.float64)
    reach = (inverse @ corners.T).abs().amax((0, 2))
    margins = (
        math.ceil(float(r) - (side - 1) / 2) + 2 * REACH for r, side in zip(reach, (width, height), strict=False)
    )
    x_margin, y_margin = (
        min(max(0, m) + -m % max(side // 4, 1), side - 1) for m, side in zip(margins, (width, height), strict=True)
    )
    return x_margin, y_margin


def _grid(inverse: Tensor, width: int, height: int, padded_width: int, padded_height: int, like: Tensor) -> Tensor:
    """Where each place of the result at twice the size, `REACH` px larger on every side, looks: [N, h, w, 2] in
    [-1, 1] over the padded picture, of the type and on the device of `like`."""
    x, y = (
        (torch.arange(2 * (side + 2 * REACH), dtype=like.dtype, device=like.device) + 0.5 + LATE) / 2 - side / 2 - REACH
        for side in (width, height)
    )
    sizes = torch.tensor([[padded_width / 2], [padded_height / 2]], dtype=torch.float64)
    shift = torch.tensor([0.0, 0.0, LATE / 2], dtype=torch.float64)
    rows = sent(((inverse[:, :2] - shift) / sizes).to(like.dtype), like.device)  # [N, 2, 3]
    a, b, c = rows[:, None, None].unbind(-1)
    return a * x[:, None] + b * y[:, None, None] + c  # not a product of matrices, which graphics cards round
