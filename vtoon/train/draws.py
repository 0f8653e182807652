"""The random numbers of one step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vtoon.ops import sent
from vtoon.train.distributed import rank, world_size


class Draws:
    """Draws for a batch that depend on the seed and the step alone: a resumed run sees the same, and N processes
    together see what one process with the joined batch would.

    Process r takes every N-th sample from the r-th on, so that a discriminator's groups of four (sample i is in group
    i mod batch / 4) are the same in both cases.
    """

    def __init__(
        self, seed: int, step: int, batch: int, device: torch.device | str = "cpu", stream: int | None = None
    ) -> None:
        """`batch`: samples of this process; `stream`: another series of the same step, which this one leaves alone."""
        self.seed, self.step, self.batch, self.device = seed, step, batch, torch.device(device)
        self._words = [seed, step] if stream is None else [seed, step, stream]
        words = np.random.SeedSequence(self._words).generate_state(2)
        self.rng = torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))
        self._grains: torch.Generator | None = None

    def before(self) -> Draws:
        """Those of the step before."""
        return Draws(self.seed, max(0, self.step - 1), self.batch, self.device)

    def _own(self, joined: Tensor) -> Tensor:
        return sent(joined[rank() :: world_size()], self.device)

    @property
    def _joined(self) -> int:
        return self.batch * world_size()

    def normal(self, *shape: int) -> Tensor:
        """[batch, *shape]."""
        return self._own(torch.randn(self._joined, *shape, generator=self.rng))

    def uniform(self, *shape: int) -> Tensor:
        """[batch, *shape] in [0, 1)."""
        return self._own(torch.rand(self._joined, *shape, generator=self.rng))

    def integers(self, high: int) -> Tensor:
        """Long [batch] in [0, high)."""
        return self._own(torch.randint(high, (self._joined,), generator=self.rng))

    def grain(self, *shape: int) -> Tensor:
        """Normal numbers [batch, *shape] drawn on the device, for noise as large as pictures: every process its own."""
        if self._grains is None:
            words = np.random.SeedSequence([*self._words, rank(), 1]).generate_state(2)
            self._grains = torch.Generator(self.device).manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
        return torch.randn(self.batch, *shape, generator=self._grains, device=self.device)

    def shared(self) -> float:
        """One number in [0, 1) for the whole batch of all processes."""
        return float(torch.rand((), generator=self.rng))

    def shared_integer(self, high: int) -> int:
        """One number in [0, high) for the whole batch of all processes."""
        return int(torch.randint(high, (), generator=self.rng))
