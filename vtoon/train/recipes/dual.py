"""What both trainings of a DualStyleGAN share (Yang et al. 2022, "Pastiche Master: Exemplar-based high-resolution
portrait style transfer", section 3.3): the game against a discriminator.

One page. The generator g inside is frozen; only the extrinsic path is taught: T_s and the ModRes blocks (`res`) and
T_c (`style`). In turn,

    D       minimises  a (-log s(D(x)) - log(1 - s(D(G))))
    D_r1    minimises  r1 / 2 |grad D(x)|^2, every 16th step, times 16; not scaled by a
    G       minimises  -a log s(D(G)), and what the stage adds
    G_path  minimises  (|J^T y| - m)^2: a step in either code moves the picture alike everywhere; every 4th step,
            times 4

s: the logistic function; a: the weight of the adversarial term. Inference gets the average of `res` and of `style`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vtoon.image import grid, to_uint8
from vtoon.models.discriminator import Discriminator
from vtoon.models.dualstylegan import DualStyleGAN
from vtoon.models.stylegan2 import truncate
from vtoon.ops import arithmetic
from vtoon.train.augment import AdaptiveAugment, Changes, augmented, draw_changes, operations
from vtoon.train.dataset import Dataset
from vtoon.train.distributed import summed, world_size
from vtoon.train.draws import Draws
from vtoon.train.ema import EMA
from vtoon.train.lazy import PathMean, lazy_adam
from vtoon.train.lessons import order_of
from vtoon.train.losses import discriminator_loss, generator_loss, path_lengths, r1_penalty
from vtoon.train.recipes.finetune import PSI
from vtoon.train.settings import EMA_DECAY
from vtoon.train.trainer import Phase
from vtoon.weights.duals import DualStart
from vtoon.weights.generators import mean_latent
from vtoon.weights.snapshots import save_snapshot

REAL_SEEN, FAKE_SEEN, GUESSED = range(1, 4)  # series of random numbers within a step
AHEAD = 3  # steps whose pictures are read in advance
TAUGHT = ("res", "style")


@dataclass(frozen=True)
class DualOptions:
    """Defaults are the published ones of stages I and II."""

    batch: int = 16  # of each process
    lr: float = 2e-3
    adversarial: float = 0.1  # weight a
    r1: float = 10.0
    path_weight: float = 2.0  # 0 leaves path lengths out
    path_shrink: int = 2  # one in so many samples pays for path lengths
    d_every: int = 16
    g_every: int = 4
    mixing: float = 0.9  # chance that a face of path lengths is of two latents
    subspace_every: int = 4  # one step in so many is of the other kind
    augment: bool = False
    ada_p: float = 0.0  # fixed where it is above 0
    ada_target: float = 0.6
    ada_length: int = 500_000
    ada_every: int = 256
    samples: int = 9  # of previews
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32  # of the networks that draw; weights, losses and penalties stay fp32


@dataclass(frozen=True)
class DualLesson:
    """Tensors of one step."""

    real: Tensor  # [N, 3, S, S] in [-1, 1]
    intrinsic: Tensor  # the faces, [N, L, D] in W+
    extrinsic: Tensor  # the styles, the same
    noise: tuple[Tensor, ...]  # [N, 1, r, r] for each convolution
    meant: Tensor | None  # [N, 3, S, S]: what the perceptual term compares with; None: nothing
    face: Tensor | None  # [N, 3, S, S]: the same faces as g alone draws them; None: not asked for
    real_seen: Changes | None
    fake_seen: Changes | None
    guessed: Changes | None
    path: Tensor | None  # intrinsic codes where path lengths are due, [N, L, D]
    direction: Tensor | None  # [N, 3, S, S]
    batch: int  # samples of the whole step, of which these may be a part


class Averaged:
    """g_ema as it is published: all of the network, what is taught averaged."""

    def __init__(self, net: DualStyleGAN, average: DualStyleGAN | None) -> None:
        self.net, self.taught = net, taught_parts(net)
        self.ema = EMA(taught_parts(average) if average is not None else self.taught, EMA_DECAY, warm_up=False)

    def update(self, step: int) -> None:
        self.ema.update(self.taught, step)

    def state_dict(self) -> dict[str, Tensor]:
        return self.net.state_dict() | self.ema.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.ema.load_state_dict({key: state[key] for key in self.ema.state_dict()})


def taught_parts(net: DualStyleGAN) -> nn.ModuleDict:
    """T_s with the ModRes blocks, and T_c, under their own names."""
    return nn.ModuleDict({name: getattr(net, name) for name in TAUGHT})


class DualTraining:
    """D, D_r1, G, G_path. A stage says what a step draws and what G's loss has besides."""

    folder_flag = "--model_name"  # what gives a run a state of its own

    def __init__(
        self,
        net: DualStyleGAN,
        disc: Discriminator,
        data: Dataset,
        options: DualOptions,
        average: DualStyleGAN | None = None,
        about: dict[str, str] | None = None,
        name_of: Callable[[int], str] = lambda step: f"generator-{step:06d}.pt",
    ) -> None:
        """`average`: what the average starts from (default: `net`); `about`: what else tells a run from others;
        `name_of`: a step's file."""
        o = self.options = options
        self.data, self.name_of = data, name_of
        self.net, self.disc = (part.to(o.device).train().requires_grad_(False) for part in (net, disc))
        self.averaged = Averaged(self.net, average.to(o.device) if average is not None else None)
        self.pipe = operations("bgc") if o.augment else frozenset()
        target = o.ada_target if o.augment and not o.ada_p else None
        self.ada = AdaptiveAugment(target, o.ada_length, o.ada_every, o.ada_p)
        self.path_mean = PathMean(o.device)
        adam_d = lazy_adam(self.disc.parameters(), o.lr, o.d_every)
        adam_g = lazy_adam(self.averaged.taught.parameters(), o.lr, o.g_every)
        self.phases = [
            Phase("D", self.discriminator_terms, adam_d, max_norm=None),
            Phase("D_r1", self.r1_terms, adam_d, o.d_every, max_norm=None),
            Phase("G", self.generator_terms, adam_g, max_norm=None),
        ]
        if o.path_weight:
            self.phases.append(Phase("G_path", self.path_terms, adam_g, o.g_every, max_norm=None))
        self.state: dict[str, Any] = {"g": self.net, "d": self.disc, "g_ema": self.averaged, "g_optim": adam_g}
        self.state |= {"d_optim": adam_d, "ada": self.ada, "path_mean": self.path_mean}
        kept = {k: str(v) for k, v in vars(o).items() if k not in ("device", "dtype", "samples")}
        self.about = {"recipe": type(self).__name__, "data": data.about, "processes": str(world_size())}
        self.about |= kept | (about or {})
        self._drawn: Tensor | None = None

    def go_on(self, start: DualStart) -> int:
        """Take over what a file says of a training on the same pictures with the same settings: returns its steps, from
        which an unbroken run goes on. Of any other, only the networks count, and 0 is returned."""
        if start.about != self.about:
            return 0
        for name, part in self.state.items():
            part.load_state_dict(start.parts[name])
        return start.step

    # What a step is about

    @abstractmethod
    def codes(self, draws: Draws, step: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Intrinsic and extrinsic codes [N, L, D] in W+. `chosen`: numbers [N] of the step's pictures."""

    @abstractmethod
    def aims(self, lesson: DualLesson, step: int) -> dict[str, Tensor | None]:
        """The lesson's `meant` and `face`."""

    @abstractmethod
    def added_terms(self, drawn: Tensor, b: DualLesson) -> dict[str, Tensor]:
        """Of G's loss, weighted."""

    @torch.no_grad()
    def next_batch(self, step: int) -> DualLesson:
        o, size = self.options, self.net.generator.size
        coming = ((later, self._order(later)) for later in range(step + 1, step + 1 + AHEAD))
        chosen = self._order(step)
        real = self.data.batch(chosen, step, coming).permute(0, 3, 1, 2).float() / 127.5 - 1
        seen = [draw_changes(Draws(o.seed, step, o.batch, "cpu", stream), self._draws(step, stream), size, self.ada.p,
                             self.pipe) for stream in (REAL_SEEN, FAKE_SEEN, GUESSED)]  # fmt: skip
        draws = self._draws(step, None)
        codes = self.codes(draws, step, chosen)
        due = bool(o.path_weight) and step % o.g_every == 0
        path = self._mixed(draws) if due else None
        direction = draws.grain(3, size, size) if due else None
        lesson = DualLesson(real, *codes, self._noise(draws), None, None, *seen, path, direction, o.batch)
        return DualLesson(**vars(lesson) | self.aims(lesson, step))

    def _draws(self, step: int, stream: int | None) -> Draws:
        return Draws(self.options.seed, step, self.options.batch, self.options.device, stream)

    def _order(self, step: int) -> Tensor:
        return order_of(step, len(self.data), self.options.batch, self.options.seed)

    def _noise(self, draws: Draws) -> tuple[Tensor, ...]:
        maps = (getattr(self.net.generator.noises, f"noise_{i}") for i in range(self.net.generator.num_latents - 1))
        return tuple(draws.grain(*noise.shape[1:]) for noise in maps)

    def _mixed(self, draws: Draws) -> Tensor:
        g = self.net.generator
        w, other = (g.style(draws.normal(g.style_dim))[:, None] for _ in range(2))
        cross = 1 + draws.integers(g.num_latents - 1)[:, None]
        cross = torch.where(draws.uniform(1) < self.options.mixing, cross, g.num_latents)
        rows = torch.arange(g.num_latents, device=w.device)
        return torch.where((rows < cross)[:, :, None], w, other)

    # Drawing and judging

    def draw(self, intrinsic: Tensor, extrinsic: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        """G with all weights at 1: [N, 3, S, S]."""
        with arithmetic(self.options.device, self.options.dtype):
            ones = intrinsic.new_ones(intrinsic.shape[1])
            return self.net(intrinsic, extrinsic, ones, list(noise)).float()

    def plain(self, w_plus: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        """g alone: [N, 3, S, S]."""
        with arithmetic(self.options.device, self.options.dtype):
            return self.net.generator(w_plus, list(noise)).float()

    def _fake(self, b: DualLesson) -> Tensor:
        """Drawn once for D and for G, with the graph that G's step needs; of a batch that is gone through in parts,
        each phase draws its own."""
        if len(b.real) < b.batch:
            return self.draw(b.intrinsic, b.extrinsic, b.noise)
        if self._drawn is None:
            self.averaged.taught.requires_grad_(True)
            self._drawn = self.draw(b.intrinsic, b.extrinsic, b.noise)
        return self._drawn

    def judge(self, images: Tensor, changes: Changes | None) -> Tensor:
        with arithmetic(self.options.device, self.options.dtype):
            return self.disc(augmented(images, changes)).float()

    def discriminator_terms(self, b: DualLesson) -> dict[str, Tensor]:
        real = self.judge(b.real, b.real_seen)
        fake = self.judge(self._fake(b).detach(), b.fake_seen)
        self.ada.see(real)
        return {"loss": self.options.adversarial * discriminator_loss(real, fake)}

    def r1_terms(self, b: DualLesson) -> dict[str, Tensor]:
        seen = augmented(b.real, b.real_seen).detach().requires_grad_(True)
        return {"r1": self.options.r1 / 2 * r1_penalty(self.disc(seen), seen)}

    def generator_terms(self, b: DualLesson) -> dict[str, Tensor]:
        drawn = self._fake(b)
        self._drawn = None
        terms = {"loss": self.options.adversarial * generator_loss(self.judge(drawn, b.guessed))}
        return terms | self.added_terms(drawn, b)

    def path_terms(self, b: DualLesson) -> dict[str, Tensor]:
        some = max(1, len(b.real) // self.options.path_shrink)
        codes = torch.cat([b.path[:some], b.extrinsic[:some]], 1).requires_grad_(True)
        intrinsic, extrinsic = codes.chunk(2, 1)
        ones = codes.new_ones(intrinsic.shape[1])
        image = self.net(intrinsic, extrinsic, ones, [noise[:some] for noise in b.noise])
        lengths = path_lengths(image, codes, b.direction[:some])
        return {"path": self.options.path_weight * (lengths - self.path_mean.moved(lengths)).square().mean()}

    # Between steps

    def end_step(self, step: int) -> None:
        self.averaged.update(step)
        self.ada.step(summed)

    def figures(self) -> dict[str, float]:
        """What the log says besides the terms."""
        return {"p": self.ada.p, "r_t": self.ada.r_t} if self.options.augment else {}

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Rows: faces as g draws them, the pictures whose style is asked for, the drawings of the average."""
        g = self.net.generator
        noise = tuple(getattr(g.noises, f"noise_{i}") for i in range(g.num_latents - 1))
        intrinsic, extrinsic, styles = self.shown()
        with self.averaged.ema.standing_in(self.averaged.taught):
            drawn = [self.draw(a[None], b[None], noise) for a, b in zip(intrinsic, extrinsic, strict=True)]
        faces = [self.plain(a[None], noise) for a in intrinsic]
        return grid([list(to_uint8(torch.cat(list(row)))) for row in (faces, styles.split(1), drawn)])

    @abstractmethod
    def shown(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of the previews: intrinsic and extrinsic codes [n, L, D], the styles' pictures [n, 3, S, S]."""

    def faces_shown(self, count: int, first: int = 0) -> Tensor:
        """w+ [n, L, D] of seeds as `vtoon generate` counts them, truncated."""
        g = self.net.generator
        z = np.stack([np.random.RandomState(first + seed).randn(g.style_dim) for seed in range(count)])
        w = g.style(torch.tensor(z, dtype=torch.float32, device=self.options.device))
        return g.to_w_plus(truncate(w, mean_latent(g), PSI))

    def export(self, folder: Path, step: int) -> None:
        """{"g", "d", "g_ema", "g_optim", "d_optim"} as published, and what an unbroken run needs besides."""
        parts = {name: part.state_dict() for name, part in self.state.items()}
        mean = mean_latent(self.net.generator)
        save_snapshot(folder / self.name_of(step), parts, mean, step, self.about)

    def close(self) -> None:
        self.data.close()
