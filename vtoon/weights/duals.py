"""DualStyleGAN's own files: what its trainings start from, style codes, the sampler of styles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.models.discriminator import Discriminator
from vtoon.models.dualstylegan import DualStyleGAN
from vtoon.models.style_sampler import StyleSampler
from vtoon.models.stylegan2 import Generator
from vtoon.system.target import Target
from vtoon.weights.generators import base_file, load_dual
from vtoon.weights.published import Kind, is_network_pickle, load, load_style_codes, recognise
from vtoon.weights.sizes import misfit
from vtoon.weights.snapshots import PUBLISHED, load_start
from vtoon.weights.torch_file import load_torch, save_complete, tensors_in

LEAST = 32  # px: a smaller generator has fewer layers than there are ModRes blocks


@dataclass(frozen=True)
class DualStart:
    """What DualStyleGAN's trainings start from."""

    path: Path
    net: DualStyleGAN
    average: DualStyleGAN | None  # None: as `net`
    disc: Discriminator | None  # None: the file has none that fits
    parts: Mapping[str, Any] = field(default_factory=dict)  # state dicts of one of our own snapshots, by part
    step: int = 0  # of it
    about: Mapping[str, str] = field(default_factory=dict)  # of it: what was taught on what


def load_dual_start(source: str | Path) -> DualStart:
    """Of a StyleGAN2 (its colour path begins as the identity, its structure path as next to nothing), or of a
    DualStyleGAN that was trained before, by this project or not. Raises VtoonError where it is neither, or too small.
    """
    path = base_file(source)
    if is_network_pickle(path) or recognise(path).kind is not Kind.DUALSTYLEGAN:
        start = load_start(path)
        return DualStart(path, grown(start.average, path), None, start.disc)
    average = load_dual(path)
    extras = load(path, Kind.DUALSTYLEGAN).extras
    net = _alike(average, tensors_in(extras.get("g"), path)) or _alike(average, average.state_dict())
    base = average.generator
    disc = _discriminator(tensors_in(extras.get("d"), path), base)
    own = extras.get("vtoon")
    if not isinstance(own, dict) or not isinstance(own.get("parts"), dict):
        return DualStart(path, net, average, disc)
    parts = {name: extras[name] for name in PUBLISHED if name in extras} | {"g_ema": average.state_dict()}
    return DualStart(path, net, average, disc, parts | own["parts"], int(own["step"]), own["about"])


def grown(base: Generator, path: Path) -> DualStyleGAN:
    """A DualStyleGAN around a StyleGAN2. Raises VtoonError where that has no room for one."""
    low = {size: width for size, width in base.channels.items() if size <= LEAST}
    if base.size < LEAST or len(set(low.values())) > 1:
        got = f"it draws {base.size} px, {', '.join(f'{s} px: {c}' for s, c in low.items())} channels"
        raise VtoonError(f"{path}: {got}; DualStyleGAN takes generators of 32 px or more, equally wide up to 32 px")
    net = DualStyleGAN(base.size, base.style_dim, base.mapping_layers, base.channels, base.channels[LEAST])
    net.generator.load_state_dict(base.state_dict())
    return net


def _alike(net: DualStyleGAN, state: dict[str, Tensor]) -> DualStyleGAN | None:
    base = net.generator
    shape = base.size, base.style_dim, base.mapping_layers, base.channels, base.channels[LEAST]
    if not state or misfit(state, DualStyleGAN, *shape):
        return None
    made = DualStyleGAN(*shape)
    made.load_state_dict(state)
    return made


def _discriminator(state: dict[str, Tensor], net: Generator) -> Discriminator | None:
    if not state or misfit(state, Discriminator, net.size, net.channels):
        return None
    disc = Discriminator(net.size, net.channels)
    disc.load_state_dict(state)
    return disc


def load_codes_of(path: Path, net: Generator, what: str) -> dict[str, Tensor]:
    """Style codes in Z+ that fit a generator: name -> [1, L, D], the first rows where a file has more.

    `what`: who makes the file, for the error where there is none. Raises VtoonError.
    """
    if not path.is_file():
        raise VtoonError(f"{path}: no such file; {what}")
    codes = load_style_codes(path)
    rows, dim = next(iter(codes.values())).shape[-2:]
    if dim != net.style_dim or rows < net.num_latents:
        raise VtoonError(
            f"{path}: codes of {rows} rows of {dim}; a generator of {net.size} px takes {net.num_latents} of "
            f"{net.style_dim}"
        )
    return {name: code[:, : net.num_latents] for name, code in codes.items()}


def save_style_codes(path: Path, codes: Mapping[str, Tensor]) -> None:
    """As published: a pickled dict of float32 [1, L, D] by file name, complete or not at all."""
    arrays = {name: code.detach().float().cpu().numpy().reshape(1, *code.shape[-2:]) for name, code in codes.items()}
    target = Target(path, overwrite=True)
    target.create()
    try:
        with target.part.open("wb") as file:
            np.save(file, arrays, allow_pickle=True)
        target.commit()
    except OSError as error:
        raise VtoonError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        target.discard()


def save_sampler(path: Path, net: StyleSampler, rest: Mapping[str, Any]) -> None:
    """{"structure", "color"}: a state dict for each; under "vtoon" what an unbroken training needs besides."""
    content = {name: getattr(net, name).state_dict() for name in ("structure", "color")}
    save_complete(content | {"vtoon": dict(rest)}, path)


def load_style_sampler(path: Path, net: Generator) -> tuple[StyleSampler, dict[str, Any]]:
    """A sampler of styles for this generator, and what else its file holds. Raises VtoonError where it is none."""
    content = load_torch(path)
    sampler = StyleSampler(net.num_latents, net.style_dim)
    try:
        for name in ("structure", "color"):
            getattr(sampler, name).load_state_dict(content[name])
    except (KeyError, TypeError, RuntimeError, AttributeError):
        raise VtoonError(
            f"{path}: no sampler of styles for this generator (the published one has other networks); "
            "vtoon dual sampler makes one, and without the file the artworks' own styles are drawn"
        ) from None
    rest = content.get("vtoon")
    return sampler.eval().requires_grad_(False), dict(rest) if isinstance(rest, dict) else {}
