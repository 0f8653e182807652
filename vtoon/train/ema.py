"""Exponential moving average of weights: what inference ships."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """A copy of `module` that follows it: after each step, average = decay * average + (1 - decay) * module.

    The decay warms up as (1 + step) / (10 + step), so that the random start is forgotten early.
    """

    def __init__(self, module: nn.Module, decay: float = 0.998) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, value in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(value, 1 - decay)
        for average, value in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(value)

    def state_dict(self) -> dict:
        return self.module.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.module.load_state_dict(state)
