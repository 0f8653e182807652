"""Terms and helpers for finding latents by optimisation: shared by projection and by the trainings that invert."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 8  # px, of the noise pyramid


def noise_regularize(maps: Sequence[Tensor]) -> Tensor:
    """How much noise maps [N, 1, r, r] correlate with their neighbours, over a pyramid down to 8 px, one number.

    Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", appendix D. Of several samples (N > 1)
    the sum over them: none feels the others.
    """
    total = maps[0].new_zeros(())
    for noise in maps:
        while True:
            for axis in (2, 3):
                total = total + (noise * noise.roll(1, axis)).mean((1, 2, 3)).square().sum()
            if noise.shape[-1] <= SMALLEST:
                break
            noise = F.avg_pool2d(noise, 2)
    return total


@torch.no_grad()
def normalize_noise_(maps: Sequence[Tensor]) -> None:
    """Every map of every sample to mean 0 and variance 1, in place."""
    for noise in maps:
        noise.sub_(noise.mean((1, 2, 3), keepdim=True))
        noise.mul_(noise.square().mean((1, 2, 3), keepdim=True).clamp_min(1e-12).rsqrt())


def latent_spread(codes: Tensor) -> Tensor:
    """Standard deviation over the rows of style codes [N, L, D], averaged: 0 where all rows are alike."""
    return codes.std(1).mean()


def ramped(share: float, up: float = 0.05, down: float = 0.25) -> float:
    """Learning rate over its peak after a `share` of the steps: linear up, cosine down (same appendix)."""
    falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - share) / down)) if down else 1.0
    return falling * (min(1.0, share / up) if up else 1.0)
