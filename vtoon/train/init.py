"""Initialisation from data."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

WIDE = 4  # channels from which a convolution makes features, not a picture or a mask


@torch.no_grad()
def unit_variance_(net: nn.Module, run: Callable[[], object]) -> None:
    """Scale every plain convolution so that its output on real data has unit variance (LSUV, Mishkin & Matas 2016).

    `run` passes a batch through `net` once; layers are scaled in the order in which it reaches them. Photos hold little
    variance at high frequencies, so that with Kaiming's rule alone the signal halves at every level of the encoder and
    the modulated convolutions above, which keep what they get, learn next to nothing for thousands of steps.
    """

    def scale(module: nn.Conv2d, _: object, output: Tensor) -> Tensor:
        rms = output.square().mean().sqrt().clamp_min(1e-8)
        module.weight /= rms
        return output / rms

    layers = [m for m in net.modules() if type(m) is nn.Conv2d and m.out_channels >= WIDE]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
