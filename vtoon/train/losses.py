"""Loss terms. Images are [N, 3, H, W] in [-1, 1]; each returns a scalar."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def gradient_l1(a: Tensor, b: Tensor) -> Tensor:
    """L1 between the horizontal and vertical differences: keeps lines sharp where plain L1 lets them fade."""
    dx = F.l1_loss(a[..., 1:] - a[..., :-1], b[..., 1:] - b[..., :-1])
    dy = F.l1_loss(a[..., 1:, :] - a[..., :-1, :], b[..., 1:, :] - b[..., :-1, :])
    return dx + dy


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Non-saturating logistic loss (Goodfellow et al. 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Non-saturating logistic loss (Goodfellow et al. 2014); `weight`: of each sample, as it broadcasts to `fake`."""
    return (weight * F.softplus(-fake)).mean()


def feature_l1(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Mean L1 over feature maps, the second detached: feature matching, or a perceptual loss."""
    return torch.stack([F.l1_loss(x, y.detach()) for x, y in zip(a, b, strict=True)]).mean()


def crop_consistency(
    network: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, size: int, offset: tuple[int, int], margin: int = 16
) -> Tensor:
    """MSE between the drawing of a crop and the crop of the drawing, `margin` px inside (VToonify, eq. 8).

    A camera that moves by a few pixels must not change the drawing. x, y: input and output of `network`, same size;
    offset: (top, left). The rim is left out: there the crop really knows less.
    """
    top, left = offset
    inner = slice(margin, size - margin)
    again = network(x[:, :, top : top + size, left : left + size])[:, :, inner, inner]
    return F.mse_loss(again, y[:, :, top : top + size, left : left + size][:, :, inner, inner])
