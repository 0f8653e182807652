"""Which weights a fine-tuning leaves as they are, by name."""

from __future__ import annotations

import re

from torch import nn

from vtoon.errors import VtoonError
from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator


def generator_blocks(net: Generator) -> list[tuple[str, ...]]:
    """Names of the parts that draw at 4, 8, ... px."""
    levels = range(len(net.to_rgbs))
    return [("input", "conv1", "to_rgb1"), *((f"convs.{2 * k}", f"convs.{2 * k + 1}", f"to_rgbs.{k}") for k in levels)]


def discriminator_layers(net: Discriminator) -> list[str]:
    """Names of the layers from the picture on, as StyleGAN2-ADA counts them: colours in, then three of each size."""
    blocks = range(1, len(net.convs))
    return ["convs.0", *(f"convs.{k}.{part}" for k in blocks for part in ("conv1", "conv2", "skip"))]


def frozen_of_generator(net: Generator, blocks: int = 0, mapping: bool = False) -> set[str]:
    """Parts that stay: the `blocks` lowest resolutions and, then, the mapping network (FreezeG); `mapping`: it alone.

    Raises VtoonError where nothing is left to be taught.
    """
    all_blocks = generator_blocks(net)
    if not 0 <= blocks < len(all_blocks):
        raise VtoonError(f"freeze_g is {blocks}; a generator of {net.size} px has {len(all_blocks)} blocks, so that it "
                         f"can be 0 to {len(all_blocks) - 1}")  # fmt: skip
    frozen = {name for block in all_blocks[:blocks] for name in block}
    return frozen | ({"style"} if blocks or mapping else set())


def frozen_of_discriminator(net: Discriminator, layers: int = 0) -> set[str]:
    """Parts that stay: the first `layers` from the picture on (FreezeD). Raises VtoonError where there are fewer."""
    names = discriminator_layers(net)
    if not 0 <= layers <= len(names):
        raise VtoonError(f"freeze_d is {layers}; this discriminator has {len(names)} layers before its end")
    return set(names[:layers])


def blocks_left(net: Generator, last: int) -> int:
    """Cartoon-StyleGAN's --freezeG trains the `last` blocks alone: how many are frozen for that."""
    blocks = len(generator_blocks(net))
    if not 1 <= last <= blocks:
        raise VtoonError(
            f"freezeG is {last}: of a generator of {net.size} px, the last 1 to {blocks} blocks are taught"
        )
    return blocks - last


def layers_left(net: Discriminator, last: int) -> int:
    """Cartoon-StyleGAN's --freezeD trains the `last` blocks and the end alone: how many layers are frozen for that."""
    blocks = len(net.convs) - 1
    if not 0 <= last <= blocks:
        raise VtoonError(f"freezeD is {last}: of this discriminator, the last 0 to {blocks} blocks are taught")
    return 1 + 3 * (blocks - last)


def taught(net: nn.Module, frozen: set[str]) -> dict[str, nn.Parameter]:
    """The parameters that are not within a part of one of these names, in the network's order."""
    inside = re.compile("|".join(rf"{re.escape(name)}\." for name in sorted(frozen)) or r"(?!)")
    return {name: p for name, p in net.named_parameters() if not inside.match(name)}
