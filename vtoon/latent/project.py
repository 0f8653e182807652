"""Projection: the latents whose pictures are most like given ones, by optimisation.

Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, appendix D; W+ from Abdal, Qin
and Wonka, Image2StyleGAN, ICCV 2019. Each picture of a batch goes its own way: none feels the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.latent.likeness import Identity
from vtoon.latent.sampler import Sampler
from vtoon.models.stylegan2 import truncate
from vtoon.ops.inversion import noise_regularize, normalize_noise_, ramped
from vtoon.weights.perceptual import Likeness

SPREAD_SAMPLES = 4096  # z drawn for the standard deviation of w


@dataclass(frozen=True)
class ProjectOptions:
    """The published projectors' settings. Weights of 0 leave a term out."""

    space: Literal["w", "w+"] = "w+"
    steps: int = 500
    lr: float = 0.05  # at its peak; Adam
    perceptual: float = 1.0  # weight of the perceptual distance
    pixel: float = 1.0  # weight of the mean squared difference
    identity: float = 0.1  # weight of 1 - cosine of the face embeddings
    noise: float = 0.05  # share of the latents' spread that is added while searching
    noise_ramp: float = 0.75  # share of the steps after which nothing is added any more
    noise_regularize: float = 1e5  # weight against pictures hidden in the noise maps; 0 leaves the stored noise alone
    near: float = 0.05  # weight of the rows' distance from one another, in spreads: keeps W+ where editing works
    truncation: float = 0.7  # of the start, where it is not the mean
    seed: int = 303

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 10**6:
            raise VtoonError(f"steps is {self.steps}; it must be 1 to 1000000")
        if not 0 < self.lr < 10:
            raise VtoonError(f"lr is {self.lr}; it must be above 0 and under 10")
        for name in ("perceptual", "pixel", "identity", "noise", "noise_regularize", "near"):
            if not getattr(self, name) >= 0:
                raise VtoonError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if not 0 < self.noise_ramp <= 1:
            raise VtoonError(f"noise_ramp is {self.noise_ramp}; it must be above 0 and up to 1")
        if not (self.perceptual or self.pixel or self.identity):
            raise VtoonError("perceptual, pixel and identity are all 0: nothing is left to lower")


@dataclass(frozen=True)
class Projection:
    """What was found for N pictures."""

    w_plus: Tensor  # [N, L, D]
    images: Tensor  # [N, 3, size, size], drawn with the generator's own noise
    terms: dict[str, Tensor] = field(default_factory=dict)  # name -> [N] at the last step, weights included


def project(
    sampler: Sampler,
    targets: Tensor,
    options: ProjectOptions,
    likeness: Likeness | None,
    identity: Identity | None = None,
    start: Tensor | None = None,
    watch: Callable[[int, Tensor], None] = lambda step, images: None,
) -> Projection:
    """Search for targets [N, 3, size, size] in [-1, 1]. `start`: w+ [N, L, D], default the mean latent.

    `watch(step, images)` sees every picture drawn, before the step.
    """
    dice = torch.Generator().manual_seed(options.seed)
    code, spread = _start(sampler, len(targets), options, start, dice)
    free = options.noise_regularize > 0
    maps = [noise.repeat(len(targets), 1, 1, 1).requires_grad_(free) for noise in _stored_noise(sampler)]
    optimizer = torch.optim.Adam([code, *(maps if free else ())])
    wanted = _wanted(targets, likeness)
    terms: dict[str, Tensor] = {}
    for step in range(options.steps):
        share = step / options.steps
        optimizer.param_groups[0]["lr"] = options.lr * ramped(share)
        jitter = spread * options.noise * max(0.0, 1 - share / options.noise_ramp) ** 2
        w = code + jitter * torch.randn(code.shape, generator=dice).to(code.device)
        images = sampler.net(w.expand(-1, sampler.rows, -1), maps)
        watch(step, images)
        terms = _terms(images, targets, wanted, options, likeness, identity)
        terms |= _near(code, spread, options)
        loss = sum(term.sum() for term in terms.values())
        loss = loss + options.noise_regularize * noise_regularize(maps) if free else loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        normalize_noise_(maps if free else ())
    w_plus = code.detach().expand(-1, sampler.rows, -1).contiguous()
    return Projection(w_plus, sampler.draw(w_plus), {name: term.detach() for name, term in terms.items()})


def _start(
    sampler: Sampler, count: int, options: ProjectOptions, start: Tensor | None, dice: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Where the search begins, [N, 1 or L, D], and how far latents spread, one number."""
    with torch.no_grad():
        w = sampler.net.style(torch.randn(SPREAD_SAMPLES, sampler.dim, generator=dice).to(sampler.device))
        spread = (w - sampler.mean).square().sum(1).mean().sqrt() / sampler.dim**0.5
        code = sampler.mean.expand(count, sampler.rows, -1) if start is None else start
        code = truncate(code, sampler.mean, 1.0 if start is None else options.truncation)
        code = code.mean(1, keepdim=True) if options.space == "w" else code
    return code.clone().requires_grad_(True), spread.clamp_min(1e-6)


def _stored_noise(sampler: Sampler) -> list[Tensor]:
    return [getattr(sampler.net.noises, f"noise_{i}").detach().clone() for i in range(sampler.rows - 1)]


def _wanted(targets: Tensor, likeness: Likeness | None) -> list[Tensor]:
    with torch.no_grad():
        return likeness.features(targets) if likeness else []


def _terms(
    images: Tensor,
    targets: Tensor,
    wanted: list[Tensor],
    options: ProjectOptions,
    likeness: Likeness | None,
    identity: Identity | None,
) -> dict[str, Tensor]:
    """Weighted, [N] each."""
    terms = {}
    if options.perceptual and likeness:
        terms["perceptual"] = options.perceptual * likeness.distance(likeness.features(images), wanted)
    if options.pixel:
        terms["pixel"] = options.pixel * F.mse_loss(images, targets, reduction="none").mean((1, 2, 3))
    if options.identity and identity:
        terms["identity"] = options.identity * identity.distance(images)
    return terms


def _near(code: Tensor, spread: Tensor, options: ProjectOptions) -> dict[str, Tensor]:
    """How far the rows of w+ are from one another (after the delta term of Tov et al. 2021, e4e), weighted, [N]."""
    if options.space == "w" or not options.near:
        return {}
    return {"near": options.near * ((code - code.mean(1, keepdim=True)) / spread).square().mean((1, 2))}


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """[N] dB; what leaves [-1, 1] is cut off."""
    error = F.mse_loss(images.clamp(-1, 1), targets.clamp(-1, 1), reduction="none").mean((1, 2, 3))
    return 10 * torch.log10(4 / error.clamp_min(1e-10))
