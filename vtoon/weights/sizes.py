"""What the keys, shapes and name of a published file say about the network in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vtoon.models.vtoonify import VToonifyConfig

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class GeneratorSizes:
    """Everything that decides the shape of a StyleGAN2 generator."""

    size: int  # px
    style_dim: int
    mapping_layers: int
    channels: dict[int, int]  # resolution -> channels

    @property
    def num_latents(self) -> int:
        """Rows of a style code."""
        return 2 * (self.size.bit_length() - 1) - 2


def generator_sizes(state: State, prefix: str = "") -> GeneratorSizes:
    """Of the generator whose keys start with `prefix`. Raises KeyError where a weight is missing."""
    levels = count(state, prefix + "convs.{}.conv.weight") // 2
    channels = {4: state[f"{prefix}input.input"].shape[1]}
    channels |= {8 << k: state[f"{prefix}convs.{2 * k}.conv.weight"].shape[1] for k in range(levels)}
    style_dim = state[f"{prefix}conv1.conv.modulation.weight"].shape[1]
    return GeneratorSizes(4 << levels, style_dim, count(state, prefix + "style.{}.weight", 1), channels)


def vtoonify_config(state: State) -> VToonifyConfig:
    """Of a published VToonify-D or -T. Raises KeyError where a weight is missing."""
    dual = "fusion_out.0.conv.weight" in state
    generator = generator_sizes(state, "generator.generator." if dual else "generator.")
    stem = state["encoder.0.0.weight"]  # [stem, in, 3, 3]
    return VToonifyConfig(
        backbone="dualstylegan" if dual else "toonify",
        in_size=16 << count(state, "encoder.{}.2.weight"),  # one level for each size from 32 px up
        out_size=generator.size,
        in_channels=stem.shape[1],
        style_dim=generator.style_dim,
        mapping_layers=generator.mapping_layers,
        stem_channels=stem.shape[0],
        channels=generator.channels,
        extrinsic_blocks=not dual or "generator.res.0.conv.0.weight" in state,
    )


def misfit(state: State, kind: type[nn.Module], *args: object) -> str | None:
    """The first difference between a state dict and the network `kind(*args)` it should fill, or None."""
    with torch.device("meta"):  # shapes without memory
        expected = {key: _form(tensor) for key, tensor in kind(*args).state_dict().items()}
    found = {key: _form(tensor) for key, tensor in state.items()}
    if missing := expected.keys() - found.keys():
        return f"it lacks {min(missing)} and {len(missing) - 1} more"
    if unknown := found.keys() - expected.keys():
        return f"it also holds {min(unknown)} and {len(unknown) - 1} more"
    wrong = [key for key in expected if expected[key] != found[key]]
    return f"{wrong[0]} is {found[wrong[0]]}, expected {expected[wrong[0]]}" if wrong else None


def _form(tensor: Tensor) -> str:
    return f"{'' if tensor.is_floating_point() else 'whole numbers '}{list(tensor.shape)}"


def count(state: State, pattern: str, first: int = 0) -> int:
    """How many keys `pattern` (with {} for the number) makes in a row, from `first` on."""
    number = first
    while pattern.format(number) in state:
        number += 1
    return number - first


@dataclass(frozen=True)
class Specialty:
    """What a VToonify-D was trained for, as its file name tells; None: any."""

    style_id: int | None = None
    style_degree: float | None = None
    color_transfer: bool = False


def specialty(path: Path) -> Specialty | None:
    """Of names such as vtoonify_s_d.pt, vtoonify_s026_d0.5.pt, vtoonify_s054_d_c.pt; None for any other name."""
    match = re.search(r"_s(\d+)?_d(\d\.\d+)?(_c)?$", path.stem)
    if match is None:
        return None
    style, degree, colours = match.groups()
    return Specialty(int(style) if style else None, float(degree) if degree else None, bool(colours))
