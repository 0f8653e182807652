"""Exponential moving average of weights: what inference ships."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class EMA:
    """A copy of `module` that follows it: after each step, average = decay * average + (1 - decay) * module.

    With `warm_up` the decay rises as (1 + step) / (10 + step), so that a random start is forgotten early.
    """

    def __init__(self, module: nn.Module, decay: float = 0.998, warm_up: bool = True) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay, self.warm_up = decay, warm_up

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warm_up else self.decay
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)  # a few kernels
        for average, value in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(value)

    @contextmanager
    def standing_in(self, module: nn.Module) -> Iterator[None]:
        """Within the block, `module` has the average's weights."""
        pairs = list(zip(self.module.parameters(), module.parameters(), strict=True))
        for average, value in pairs:
            average.data, value.data = value.data, average.data
        try:
            yield
        finally:
            for average, value in pairs:
                average.data, value.data = value.data, average.data

    def state_dict(self) -> dict:
        return self.module.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.module.load_state_dict(state)
