"""Two generators become one, and a sheet that shows where to cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vtoon.errors import VtoonError
from vtoon.latent.sampler import Sampler, sampler_of
from vtoon.latent.sheets import table
from vtoon.models.stylegan2 import Generator
from vtoon.weights.blend import RULES, Rule, blend, check_relatives, shares_by_block, shares_by_layer


def resolutions(size: int) -> list[int]:
    """4, 8, ... size."""
    return [4 << k for k in range(size.bit_length() - 2)]


def parse_layers(text: str, rows: int) -> list[float]:
    """ "0:1,8:0.5" to LOW's share of each of `rows` layers: from layer 0 on 1, from layer 8 on 0.5; before, 0."""
    shares, pairs = [0.0] * rows, [re.fullmatch(r"\s*(\d+)\s*:\s*([0-9.]+)\s*", part) for part in text.split(",")]
    try:
        for layer, share in sorted((int(pair[1]), float(pair[2])) for pair in pairs if pair):
            if not (layer < rows and 0 <= share <= 1):
                raise ValueError
            shares[layer:] = [share] * (rows - layer)
        if not all(pairs):
            raise ValueError
    except ValueError:
        raise VtoonError(
            f"layers {text[:60]!r}: write LAYER:SHARE, as in 0:1,8:0.5; layers are 0 to {rows - 1}, shares 0 to 1"
        ) from None
    return shares


def check_resolution(resolution: int, size: int) -> None:
    """Raises VtoonError where no block has this resolution."""
    if resolution not in resolutions(size):
        raise VtoonError(f"resolution is {resolution}; it must be one of {', '.join(map(str, resolutions(size)))}")


def blended(low: Sampler, high: Sampler, shares: dict[str, float], path: Path, low_maps: bool = True) -> Sampler:
    """The generator of both, on HIGH's device. Raises VtoonError where they do not fit."""
    states = [sampler.net.state_dict() for sampler in (low, high)]
    check_relatives(*states)
    state = blend(*({key: value.cpu() for key, value in state.items()} for state in states), shares)
    net = _alike(high.net).to(high.device)
    net.load_state_dict(state)
    return sampler_of(net.eval().requires_grad_(False), (low if low_maps else high).mean, path)


def block_shares(low: Sampler, resolution: int, rule: Rule = RULES[1], smooth: float = 0.0) -> dict[str, float]:
    """See `shares_by_block`."""
    check_resolution(resolution, low.size)
    return shares_by_block(low.net.state_dict(), resolution, rule, smooth)


def layer_shares(low: Sampler, weight: Sequence[float]) -> dict[str, float]:
    """See `shares_by_layer`."""
    return shares_by_layer(low.net.state_dict(), weight)


def blend_sheet(
    low: Sampler, high: Sampler, seeds: Sequence[int], psi: float, rule: Rule = RULES[1], smooth: float = 0.0
) -> np.ndarray:
    """LOW, HIGH and between them the swap at every resolution, on the same seeds: a row for each seed."""
    columns, names = [low.pictures(low.latents(seeds, psi))], ["LOW"]
    for resolution in reversed(resolutions(low.size)):
        mixed = blended(low, high, block_shares(low, resolution, rule, smooth), low.path, rule.low_maps)
        columns.append(mixed.pictures(mixed.latents(seeds, psi)))
        names.append(f"{'<=' if rule.inclusive else '<'} {resolution} px")
    columns.append(high.pictures(high.latents(seeds, psi)))
    return table(list(zip(*columns, strict=True)), [*names, "HIGH"], [f"seed {seed}" for seed in seeds])


def _alike(net: Generator) -> Generator:
    """A generator of the same sizes, with other weights."""
    channels = {4: net.conv1.conv.weight.shape[1]}
    channels |= {8 << k: conv.conv.weight.shape[1] for k, conv in enumerate(net.convs[::2])}
    with torch.random.fork_rng(devices=[]):
        return Generator(net.size, net.conv1.conv.modulation.weight.shape[1], len(net.style) - 1, channels)
