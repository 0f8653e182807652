"""Affine maps of pictures without aliasing (Karras et al. 2020, "Training GANs with limited data", appendix B)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.ops.fir import upfirdn2d

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
    kernel = torch.tensor(SYM6, device=images.device, dtype=torch.float32)
    kernel = torch.outer(kernel, kernel)
    kernel = kernel / kernel.sum()
    twice = upfirdn2d(padded, kernel * 4, up=2, pad=(len(SYM6) // 2, len(SYM6) // 2 - 1))
    grid = _grid(inverse, width, height, padded.shape[3], padded.shape[2]).to(images.device, images.dtype)
    sampled = F.grid_sample(twice, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    cut = len(SYM6) // 2 - 1 - 2 * REACH
    return upfirdn2d(sampled, kernel.flip(0, 1), down=2, pad=(cut, cut))


def _margins(inverse: Tensor, width: int, height: int) -> tuple[int, int]:
    """How far outside the picture the result looks, px for each axis; a mirror reaches no further than its picture."""
    x, y = (width - 1) / 2 + REACH, (height - 1) / 2 + REACH
    corners = torch.tensor([[-x, -y, 1], [x, -y, 1], [x, y, 1], [-x, y, 1]], dtype=torch.float64)
    reach = (inverse @ corners.T).abs().amax((0, 2))
    margins = (
        math.ceil(float(r) - (side - 1) / 2) + 2 * REACH for r, side in zip(reach, (width, height), strict=False)
    )
    x_margin, y_margin = (min(max(0, m), side - 1) for m, side in zip(margins, (width, height), strict=True))
    return x_margin, y_margin


def _grid(inverse: Tensor, width: int, height: int, padded_width: int, padded_height: int) -> Tensor:
    """Where each place of the result at twice the size, `REACH` px larger on every side, looks: [N, h, w, 2] in
    [-1, 1] over the padded picture."""
    x, y = (
        (torch.arange(2 * (side + 2 * REACH), dtype=torch.float64) + 0.5 + LATE) / 2 - side / 2 - REACH
        for side in (width, height)
    )
    y, x = torch.meshgrid(y, x, indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], -1) @ inverse[:, None, :2].transpose(-1, -2) - LATE / 2
    return places / torch.tensor([padded_width / 2, padded_height / 2], dtype=torch.float64)
