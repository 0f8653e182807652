"""A style from ONE picture: the generator learns to draw what lies near the picture's latent as the picture is drawn.

Source: Chong and Forsyth, JoJoGAN: One Shot Face Stylization, ECCV 2022. (1) invert the picture, (2) make many latents
of the same pose and shapes by swapping other rows for random ones, (3) train the generator so that all of them become
the picture, as the discriminator's features see it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.latent.sampler import Sampler, sampler_of
from vtoon.models.discriminator import Discriminator
from vtoon.painters.companions import built
from vtoon.weights.perceptual import load_perceptual
from vtoon.weights.published import Kind, is_network_pickle, load
from vtoon.weights.sizes import generator_sizes, misfit

FIRST_SWAPPED = 7 / 18  # of the rows of a style code: 7 of 18, as published
KEEPING_COLOUR = (9, 11, 15, 16, 17)  # the rows that are swapped instead, of 18, where the face keeps its colours
Features = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class OneShotOptions:
    """JoJoGAN's settings."""

    steps: int = 300
    batch: int = 1
    lr: float = 2e-3
    alpha: float = 1.0  # how much of a swapped row is random
    preserve_color: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not 0 < self.lr < 1 or not 0 <= self.alpha <= 1:
            raise VtoonError("steps and batch must be 1 or more, lr above 0 and under 1, alpha 0 to 1")


def swapped_rows(rows: int, preserve_color: bool = False) -> list[int]:
    """Which rows of a style code are random in training; of other sizes than 1024 px in proportion."""
    if preserve_color:
        return sorted({min(round((row + 0.5) * rows / 18 - 0.5), rows - 1) for row in KEEPING_COLOUR})
    return list(range(round(rows * FIRST_SWAPPED), rows))


def discriminator_features(discriminator: Discriminator) -> Features:
    """What each block of a discriminator sees, [N, C, h, w] each."""

    def features(images: Tensor) -> list[Tensor]:
        found, x = [], images
        for block in discriminator.convs:
            x = block(x)
            found.append(x)
        return found

    return features


def find_features(sampler: Sampler) -> tuple[Features, str]:
    """What compares the pictures, and its name: the discriminator in the generator's file, else the stand-in."""
    discriminator = _discriminator(sampler)
    if discriminator is not None:
        return discriminator_features(discriminator.to(sampler.device)), "its discriminator"
    likeness = load_perceptual("auto", sampler.device)
    return likeness.features, likeness.name


def _discriminator(sampler: Sampler) -> Discriminator | None:
    """Of a training's .pt; None where the file has none, or one of another shape."""
    if is_network_pickle(sampler.path):
        return None
    state = load(sampler.path, Kind.STYLEGAN2).extras.get("d")
    sizes = generator_sizes(sampler.net.state_dict())
    if not isinstance(state, dict) or misfit(state, Discriminator, sizes.size, sizes.channels):
        return None
    return built(Discriminator, state, sizes.size, sizes.channels)


def learn_style(
    sampler: Sampler,
    target: Tensor,
    code: Tensor,
    features: Features,
    options: OneShotOptions = OneShotOptions(),
    watch: Callable[[int, float], None] = lambda step, loss: None,
) -> Sampler:
    """A copy of the generator that draws in the style of `target` [1, 3, size, size], whose latent is `code` [1, L, D].

    `features`: of the discriminator where there is one, else of a perceptual network.
    """
    net = copy.deepcopy(sampler.net).requires_grad_(True)
    net.style.requires_grad_(False)  # what a latent means stays
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], options.lr, betas=(0.0, 0.99))
    dice = torch.Generator().manual_seed(options.seed)
    rows = swapped_rows(sampler.rows, options.preserve_color)
    with torch.no_grad():
        wanted = features(target)
    for step in range(options.steps):
        z = torch.randn(options.batch, sampler.dim, generator=dice).to(sampler.device)
        with torch.no_grad():
            w = _neighbours(code, sampler.net.to_w_plus(sampler.net.style(z)), rows, options.alpha)
        seen = features(net(w))
        loss = sum(F.l1_loss(a, b.expand_as(a)) for a, b in zip(seen, wanted, strict=True)) / len(wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, float(loss.detach()))
    return sampler_of(net.eval().requires_grad_(False), sampler.mean, sampler.path)


def _neighbours(code: Tensor, random: Tensor, rows: Sequence[int], alpha: float) -> Tensor:
    """The picture's latent with `rows` of random ones (section 3.2)."""
    w = code.expand_as(random).clone()
    w[:, list(rows)] = torch.lerp(w[:, list(rows)], random[:, list(rows)], alpha)
    return w
