"""What a step of StyleGAN2's training works on: pictures, latents, noise, changes, drawn from the seed and the step."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vtoon.models.stylegan2 import Generator
from vtoon.train.augment import Changes, draw_changes, operations
from vtoon.train.dataset import Dataset
from vtoon.train.distributed import rank, world_size
from vtoon.train.draws import Draws

FAKES, PATHS, REAL_SEEN, FAKE_SEEN, GUESSED = range(1, 6)  # series of random numbers within a step
AHEAD = 3  # steps whose pictures are read in advance, where they are read as it goes


@dataclass(frozen=True)
class FinetuneOptions:
    """How a generator is taught. Defaults are StyleGAN2-ADA's for a resumed model."""

    batch: int = 16  # of each process
    gamma: float | None = None  # of R1; None: 0.0002 size^2 / batch
    lr: float = 2e-3
    mixing: float = 0.9  # chance that a face is of two latents
    path_weight: float = 0.0  # 2 where a model is taught from nothing
    path_shrink: int = 2  # one in so many samples pays for path lengths
    d_alone: int = 0  # steps in which a new discriminator learns before its answers teach
    d_every: int = 16
    g_every: int = 4
    ema_kimg: float | None = None  # half is forgotten after so many; None: batch 10 / 32
    ema_rampup: float | None = None  # at most this share of what was seen so far; 0.05 from nothing
    ada_target: float | None = 0.6  # None: p stays
    ada_p: float = 0.0  # at the start
    ada_kimg: float = 100  # in which p can go from 0 to 1; 500 from nothing
    augpipe: str = "bgc"  # "" changes nothing
    mirror: bool = False
    freeze_g: int = 0  # lowest resolutions
    freeze_d: int = 0  # first layers
    freeze_fc: bool = False  # the mapping network
    freeze_style: int = 0  # first rows of w+, which are of the resumed model's mapping
    structure_loss: int = 0  # resolutions from 8 px on, that stay as the resumed model draws them
    structure_weight: float = 1.0
    channels_last: bool = False
    compile: bool = False
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32  # of the networks; weights, losses and penalties stay fp32

    @property
    def images(self) -> int:
        """Of a step, over all processes."""
        return self.batch * world_size()


@dataclass(frozen=True)
class Latents:
    """What pictures are drawn from."""

    z: Tensor  # [N, D]
    other: Tensor  # [N, D]: rules from row `cross` on
    cross: Tensor  # long [N, 1]; the number of rows: nowhere
    noise: tuple[Tensor, ...]  # [N, 1, r, r] for each convolution


@dataclass(frozen=True)
class Lesson:
    """Tensors of one step."""

    real: Tensor  # [N, 3, S, S] in [-1, 1]
    real_seen: Changes | None
    fake: Latents
    fake_seen: Changes | None  # as D's step sees what is drawn
    guessed: Changes | None  # as G's step sees it
    path: Latents | None  # where path lengths are due
    direction: Tensor | None  # [n, 3, S, S]
    batch: int  # samples of the whole step, of which these may be a part


class Lessons:
    """Lessons by their steps."""

    def __init__(self, net: Generator, data: Dataset, options: FinetuneOptions) -> None:
        self.net, self.data, self.options = net, data, options
        self.pipe = operations(options.augpipe) if options.augpipe else frozenset()

    @torch.no_grad()
    def at(self, step: int, p: float) -> Lesson:
        """`p`: the chance of changes."""
        o, size = self.options, self.net.size
        coming = ((later, self._order(later)) for later in range(step + 1, step + 1 + AHEAD))
        real = self.data.batch(self._order(step), step, coming).permute(0, 3, 1, 2).float() / 127.5 - 1
        if o.mirror:
            turned = self._draws(step, None).uniform(1, 1, 1) < 0.5
            real = torch.where(turned, real.flip(3), real)
        seen = [draw_changes(Draws(o.seed, step, o.batch, "cpu", stream), self._draws(step, stream), size, p, self.pipe)
                for stream in (REAL_SEEN, FAKE_SEEN, GUESSED)]  # fmt: skip
        path = direction = None
        if o.path_weight and step % o.g_every == 0:
            draws = Draws(o.seed, step, max(1, o.batch // o.path_shrink), o.device, PATHS)
            path, direction = self._latents(draws), draws.grain(3, size, size)
        fake = self._latents(self._draws(step, FAKES))
        return Lesson(real, seen[0], fake, seen[1], seen[2], path, direction, o.batch)

    def _draws(self, step: int, stream: int | None) -> Draws:
        return Draws(self.options.seed, step, self.options.batch, self.options.device, stream)

    def _order(self, step: int) -> Tensor:
        """Numbers of the pictures of a step: each picture once before one comes again."""
        return order_of(step, len(self.data), self.options.batch, self.options.seed)

    def _latents(self, draws: Draws) -> Latents:
        """Row `cross` is 1 or more, so that the first latent always has a say."""
        rows, dim = self.net.num_latents, self.net.style[1].weight.shape[1]
        z, other, chance = draws.normal(dim), draws.normal(dim), draws.uniform(1)
        cross = torch.where(chance < self.options.mixing, 1 + draws.integers(rows - 1)[:, None], rows)
        sizes = [4, *(r for k in range(3, rows // 2 + 2) for r in (2**k, 2**k))]
        return Latents(z, other, cross, tuple(draws.grain(1, r, r) for r in sizes))


def order_of(step: int, count: int, batch: int, seed: int) -> Tensor:
    """Numbers [batch] of this process's pictures of a step, out of `count`: each once before one comes again."""
    images = batch * world_size()
    places = range(step * images + rank(), (step + 1) * images, world_size())
    return torch.tensor([_shuffled(count, seed, place // count)[place % count] for place in places])


@lru_cache(maxsize=4)
def _shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)
