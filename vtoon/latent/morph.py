"""Walks through latent space, and the videos of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.latent.sampler import Sampler
from vtoon.video import VideoWriter

EASINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "smooth": lambda t: t * t * (3 - 2 * t),
    "sine": lambda t: 0.5 - 0.5 * math.cos(math.pi * t),
}


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Straight from a to b."""
    return torch.lerp(a, b, t)


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Along the great circle from a to b [..., D], their lengths interpolated: for z, whose length hardly varies."""
    lengths = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    ua, ub = a / lengths[0].clamp_min(1e-8), b / lengths[1].clamp_min(1e-8)
    angle = (ua * ub).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    curved = (((1 - t) * angle).sin() * ua + (t * angle).sin() * ub) / sine.clamp_min(1e-6)
    unit = torch.where(sine < 1e-4, torch.lerp(ua, ub, t), curved)
    return unit * torch.lerp(*lengths, t)


def walk(
    keys: Tensor,
    frames: int,
    loop: bool = False,
    easing: str = "smooth",
    between: Callable[[Tensor, Tensor, float], Tensor] = lerp,
) -> Iterator[Tensor]:
    """From key to key [K, ...], `frames` steps each; the last key closes the walk, or with `loop` the way back to the
    first, which is not shown twice. Raises VtoonError where there are not two keys or no steps."""
    if len(keys) < 2 or frames < 1:
        raise VtoonError(f"a walk needs two latents and a frame between them at least, not {len(keys)} and {frames}")
    ends = [*keys, keys[0]] if loop else list(keys)
    for a, b in pairwise(ends):
        for step in range(frames):
            yield between(a, b, EASINGS[easing](step / frames))
    if not loop:
        yield ends[-1]


def film(sampler: Sampler, codes: Iterable[Tensor], path: Path, rate: int = 25, overwrite: bool = False) -> int:
    """A video of w+ [L, D] after w+; returns the number of frames. Raises VtoonError as VideoWriter does."""
    with VideoWriter(path, rate=rate, overwrite=overwrite) as writer:
        for code in codes:
            writer.write(sampler.pictures(code[None])[0])
        return writer.frames
