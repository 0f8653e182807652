"""A generator that draws small pictures, grown to draw larger ones: cheap first lessons, as in progressive growing
(Karras et al. 2018), but in one step and without fading: the new layers begin by adding nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from vtoon.errors import VtoonError
from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator, published_channels
from vtoon.weights.snapshots import Start


def grown(start: Start, size: int | None, channels: Mapping[int, int] | None = None) -> Start:
    """The networks for pictures of `size` px, a doubling or more; what the new layers draw is at first the small
    picture enlarged. None or the size they have: as they are. `channels`: of the new resolutions; by default as
    published, and no more than of the last.

    Raises VtoonError where `size` is not a larger power of two up to 1024.
    """
    small = start.net.size
    if size in (None, small):
        return start
    if size not in [2**k for k in range(3, 11)] or size < small:
        raise VtoonError(f"{start.path} draws {small} px; it can grow to a larger power of two up to 1024, not {size}")
    last = start.net.channels[small]
    wide = {r: min(c, last) for r, c in (channels or published_channels(1)).items() if small < r <= size}
    widths = start.net.channels | wide
    net, average = (_grown_generator(old, size, widths) for old in (start.net, start.average))
    average.load_state_dict({k: v for k, v in net.state_dict().items() if k not in _old(start.average, average)}, False)
    disc = _grown_discriminator(start.disc, small, size, widths) if start.disc else None
    return Start(start.path, net, average.requires_grad_(False), disc)


def _old(before: nn.Module, after: nn.Module) -> set[str]:
    """Names of the tensors that both have."""
    return set(before.state_dict()) & set(after.state_dict())


def _grown_generator(old: Generator, size: int, channels: Mapping[int, int]) -> Generator:
    net = Generator(size, old.style_dim, old.mapping_layers, channels)
    net.load_state_dict(old.state_dict(), strict=False)
    for to_rgb in net.to_rgbs[len(old.to_rgbs) :]:
        nn.init.zeros_(to_rgb.conv.weight)
    return net


def _grown_discriminator(old: Discriminator, small: int, size: int, channels: Mapping[int, int]) -> Discriminator:
    """New layers come first: what was layer k > 0 is layer k + `added`; the old first one read RGB and is left out."""
    net, added = Discriminator(size, channels), int(math.log2(size // small))
    net.load_state_dict(dict(_shifted(old.state_dict(), added)), strict=False)
    return net


def _shifted(state: Mapping[str, Tensor], added: int):
    for key, value in state.items():
        kind, layer, *rest = key.split(".")
        if kind != "convs":
            yield key, value
        elif int(layer) > 0:
            yield ".".join([kind, str(int(layer) + added), *rest]), value
