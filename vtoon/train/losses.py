"""Loss terms. Images are [N, 3, H, W] in [-1, 1]; each returns a scalar."""

from __future__ import annotations

import math
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


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Squared gradient of D's answers [N, 1] in the real pictures, sum over a picture, mean over the batch
    (Mescheder et al. 2018, equation 9, without gamma / 2). `images` must have been asked for their gradient."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(image: Tensor, w_plus: Tensor, noise: Tensor) -> Tensor:
    """[N]: how far a picture [N, 3, H, W] goes along `noise`, normal and like it, for a step in w_plus [N, L, D]
    (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", equation 4; the root of the mean over
    rows)."""
    height, width = image.shape[2:]
    (gradient,) = torch.autograd.grad((image * noise).sum() / math.sqrt(height * width), w_plus, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def structure_loss(drawn: list[Tensor], source: list[Tensor]) -> Tensor:
    """Sum over resolutions of the MSE of what two generators have drawn up to there (Back 2021, "Fine-tuning StyleGAN2
    for cartoon face generation", section 3.2); the second is not taught."""
    return torch.stack([F.mse_loss(a, b.detach()) for a, b in zip(drawn, source, strict=True)]).sum()


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Embeddings [N, D]: nearer to `positive` than to `negative` by `margin`, with 1 - cosine as the distance."""
    near, far = (1 - F.cosine_similarity(anchor, other) for other in (positive, negative))
    return F.relu(near - far + margin).mean()
