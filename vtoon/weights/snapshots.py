"""Training snapshots in the layout of rosinality's StyleGAN2, which its family reads, and what trainings start from.

{"g", "d", "g_ema", "g_optim", "d_optim", "ada_aug_p", "latent_avg"}, and under "vtoon" what else an unbroken run needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator, published_channels
from vtoon.weights.generators import base_file, load_generator
from vtoon.weights.published import Kind, is_network_pickle, load
from vtoon.weights.sizes import misfit
from vtoon.weights.stylegan2_ada import read_discriminator, read_generator
from vtoon.weights.torch_file import save_complete, tensors_in

PUBLISHED = ("g", "d", "g_ema", "g_optim", "d_optim")  # parts of a recipe under their published names


@dataclass(frozen=True)
class Start:
    """What a training starts from."""

    path: Path
    net: Generator
    average: Generator
    disc: Discriminator | None  # None: the file has none that fits
    parts: Mapping[str, Any] = field(default_factory=dict)  # state dicts of one of our own snapshots, by part
    step: int = 0  # of it
    about: Mapping[str, str] = field(default_factory=dict)  # of it: what was taught on what


def save_snapshot(path: Path, parts: Mapping[str, Any], mean: Tensor, step: int, about: Mapping[str, str]) -> None:
    """`parts`: state dicts of a recipe by name. Complete or not at all; VtoonError where it cannot be written."""
    content: dict[str, Any] = {name: parts[name] for name in PUBLISHED}
    content |= {"ada_aug_p": parts["ada"]["p"], "latent_avg": mean.detach().cpu()}
    rest = {name: part for name, part in parts.items() if name not in PUBLISHED}
    content["vtoon"] = {"step": step, "about": dict(about), "parts": rest}
    save_complete(content, path)


@dataclass(frozen=True)
class New:
    """The shape of a model from nothing."""

    size: int  # px
    multiplier: int = 1  # of the channels from 64 px on: 2 is as published
    most_channels: int = 512  # of any layer
    style_dim: int = 512
    mapping_layers: int = 8

    @property
    def channels(self) -> dict[int, int]:
        """Of each resolution."""
        return {r: min(c, self.most_channels) for r, c in published_channels(self.multiplier).items()}


def new_start(new: New, seed: int = 0) -> Start:
    """Random networks, to be taught from nothing."""
    torch.manual_seed(seed)
    net = Generator(new.size, new.style_dim, new.mapping_layers, new.channels)
    return Start(Path("nothing"), net, net, Discriminator(new.size, new.channels))


def load_start(source: str | Path) -> Start:
    """Networks to go on teaching: of our snapshots, rosinality's .pt (with or without a discriminator), a StyleGAN2-ADA
    .pkl, or a name such as ffhq256. Raises VtoonError where there is no generator."""
    path = base_file(source)
    if is_network_pickle(path):
        return _of_pickle(path)
    average = load_generator(path).generator
    extras = load(path, Kind.STYLEGAN2).extras
    net = _filled(_state(extras.get("g"), path), average) or _copy(average)
    disc = _discriminator(_state(extras.get("d"), path), average)
    own = extras.get("vtoon")
    if not isinstance(own, dict) or not isinstance(own.get("parts"), dict):
        parts: dict[str, Any] = {k: extras[k] for k in ("g_optim", "d_optim") if isinstance(extras.get(k), dict)}
        if isinstance(extras.get("ada_aug_p"), float | int | Tensor):
            parts["ada"] = {"p": min(max(float(extras["ada_aug_p"]), 0.0), 1.0)}
        return Start(path, net, average, disc, parts)
    published = {name: extras[name] for name in PUBLISHED if name in extras}
    published["g_ema"] = average.state_dict()
    return Start(path, net, average, disc, published | own["parts"], int(own["step"]), own["about"])


def _of_pickle(path: Path) -> Start:
    info, state = read_generator(path)
    average = info.build()
    average.load_state_dict(state)
    raw = load(path, Kind.NETWORKS).tensors
    _, taught = read_generator(path, "G.") if any(key.startswith("G.") for key in raw) else (info, state)
    net = _copy(average)
    if not misfit(taught, Generator, info.size, info.style_dim, info.mapping_layers, info.channels):
        net.load_state_dict(taught)
    disc = read_discriminator(path)
    return Start(path, net, average.requires_grad_(False), _discriminator(disc, average) if disc else None)


def _state(content: object, path: Path) -> dict[str, Tensor] | None:
    return tensors_in(content, path) or None


def _filled(state: dict[str, Tensor] | None, like: Generator) -> Generator | None:
    """A generator of the shape of another; None where the state does not fit it."""
    shape = like.size, like.style_dim, like.mapping_layers, like.channels
    if state is None or misfit(state, Generator, *shape):
        return None
    net = Generator(*shape)
    net.load_state_dict(state)
    return net


def _copy(net: Generator) -> Generator:
    return _filled(net.state_dict(), net)


def _discriminator(state: dict[str, Tensor] | None, net: Generator) -> Discriminator | None:
    if state is None or misfit(state, Discriminator, net.size, net.channels):
        return None
    disc = Discriminator(net.size, net.channels)
    disc.load_state_dict(state)
    return disc
