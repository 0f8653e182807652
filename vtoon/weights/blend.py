"""Layer swapping: one generator of the weights of two that are relatives.

Source: Pinkney and Adler, Resolution Dependent GAN Interpolation for Controllable Image Synthesis Between Domains,
arXiv 2010.05334. LOW gives the low resolutions (pose, shapes), HIGH the high ones (skin, strokes, colours).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vtoon.errors import VtoonError

MAPPING = re.compile(r"style\.\d+\.")
FIXED = re.compile(r"noises\.|.*\.kernel$")  # stored noise and filters
_INDEXED = re.compile(r"(convs|to_rgbs)\.(\d+)\.")


@dataclass(frozen=True)
class Rule:
    """How one of the published projects swaps: which blocks are LOW's, and whose mapping network is taken."""

    title: str
    inclusive: bool  # whether the block of the given resolution itself is LOW's
    low_maps: bool  # the mapping network (and the mean latent) are LOW's


RULES = {
    1: Rule("blocks up to the resolution, and the mapping network, from LOW (stylegan2-toonification)", True, True),
    2: Rule("blocks below the resolution, and the mapping network, from LOW (Fine-Tooning)", False, True),
    3: Rule(
        "blocks up to the resolution from LOW, the mapping network from HIGH (toonify-game-character)", True, False
    ),
}


def layer_of(name: str) -> int | None:
    """Which row of a style code a trained tensor of the synthesis network listens to; None: it is not of a layer."""
    if FIXED.match(name):
        return None
    if name.startswith(("conv1.", "to_rgb1.")):
        return int(name.startswith("to_rgb1."))
    if not (match := _INDEXED.match(name)):
        return None
    index = int(match[2])
    return index + 1 if match[1] == "convs" else 2 * index + 3


def resolution_of(name: str) -> int | None:
    """Of the block that a tensor belongs to, px; None: of the mapping network. Stored noise belongs to its block."""
    if MAPPING.match(name):
        return None
    if match := _INDEXED.match(name):
        index = int(match[2])
        return 8 << (index // 2 if match[1] == "convs" else index)
    if match := re.match(r"noises\.noise_(\d+)$", name):
        return 4 << (int(match[1]) + 1) // 2
    return 4


def shares_by_layer(names: Iterable[str], weight: Sequence[float]) -> dict[str, float]:
    """LOW's share of each tensor, from one weight for each row of a style code: VToonify-T's rule.

    Mapping network, constant, stored noise and filters are HIGH's.
    """
    layers = {name: layer_of(name) for name in names}
    if worst := max((i for i in layers.values() if i is not None and i >= len(weight)), default=None):
        raise VtoonError(f"{len(weight)} layer weights for a generator of {worst + 1} layers; give one for each")
    return {name: 0.0 if layer is None else float(weight[layer]) for name, layer in layers.items()}


def shares_by_block(
    names: Iterable[str], resolution: int, rule: Rule = RULES[1], smooth: float = 0.0
) -> dict[str, float]:
    """LOW's share of each tensor by its block. `smooth`: width of the change, in octaves; 0: whole blocks.

    The change is a logistic curve over the octaves with its middle half an octave beyond LOW's last block.
    """
    border = math.log2(resolution) + (0.5 if rule.inclusive else -0.5)
    shares = {}
    for name in names:
        of = resolution_of(name)
        if of is None:
            shares[name] = float(rule.low_maps)
        else:
            shares[name] = _fall(math.log2(of) - border, smooth)
    return shares


def _fall(octaves: float, width: float) -> float:
    return float(octaves < 0) if not width else 1 / (1 + math.exp(min(octaves / width, 50.0)))


def blend(low: Mapping[str, Tensor], high: Mapping[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """high * (1 - share) + low * share, tensor by tensor: state dicts of two generators become one.

    A share of 0 or 1 copies bit for bit. Raises VtoonError where the two are not of one shape.
    """
    check_relatives(low, high)
    return {name: _mixed(low[name], high[name], shares[name]) for name in high}


def _mixed(low: Tensor, high: Tensor, share: float) -> Tensor:
    if share in (0.0, 1.0):
        return (low if share else high).clone()
    return torch.lerp(high.float(), low.float(), share).to(high.dtype)


def check_relatives(low: Mapping[str, Tensor], high: Mapping[str, Tensor]) -> None:
    """Raises VtoonError where the state dicts are not of one architecture and size."""
    for name in sorted(low.keys() | high.keys()):
        shapes = [list(state[name].shape) if name in state else "missing" for state in (low, high)]
        if shapes[0] != shapes[1]:
            raise VtoonError(
                f"the generators do not fit: {name} is {shapes[0]} in LOW and {shapes[1]} in HIGH; "
                "layers can be swapped between a generator and one fine-tuned from it"
            )
