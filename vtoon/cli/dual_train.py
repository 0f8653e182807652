"""What `vtoon dual pretrain` and `vtoon dual finetune` share: the game's flags, as they were published."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from vtoon.cli.common import Flag, say_error, show_notices
from vtoon.cli.dual_common import N, Perceptual
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import torch

    from vtoon.models.stylegan2 import Generator
    from vtoon.train.recipes.dual import DualTraining
    from vtoon.weights.duals import DualStart

STATE_EVERY, LINES_EVERY = 500, 50  # steps
Weight = Annotated[float, arg(metavar="WEIGHT")]
Share = Annotated[float, arg(metavar="SHARE")]


@dataclass(frozen=True)
class Beyond:
    """What the published commands do not have."""

    perceptual: Perceptual = "auto"
    """The features that are compared: VGG19's as published, its stand-in of face features; auto: VGG19 where its
    weights are there already."""
    amp: Literal["off", "bf16"] = "off"
    """Arithmetic of the networks; weights, losses and penalties stay in 32 bits."""
    accumulate: N = 1
    """Go through each batch in N parts: less memory, nearly the same gradient (the contextual term goes by part)."""
    log_every: N = 200
    """Steps between two preview sheets."""
    minutes: Annotated[float | None, arg(metavar="N", help_behavior_hint="(default: as long as it takes)")] = None
    """End by itself after N minutes; the same command goes on."""
    seed: int = 0
    """Of all that is random."""
    resume: bool = True
    """Go on from the state in the run's folder; --no_resume starts anew."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda|mps")] = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""


@dataclass(frozen=True)
class Game:
    """The game against the discriminator, with the published names and defaults."""

    batch: N = 16
    """Pictures a step, for each process."""
    n_sample: N = 9
    """Columns of the preview sheets."""
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: as the file)")] = None
    """Of the pictures: to be sure that the file is the one that is meant."""
    r1: Weight = 10.0
    """Of the R1 penalty."""
    path_regularize: Weight = 2.0
    """Of the path length penalty; 0 leaves it out."""
    path_batch_shrink: N = 2
    """One in N samples pays for it."""
    d_reg_every: N = 16
    """Steps between two R1 penalties."""
    g_reg_every: N = 4
    """Steps between two path length penalties."""
    mixing: Share = 0.9
    """Chance that a face is of two latents, where path lengths are measured."""
    lr: float = 2e-3
    """Learning rate."""
    channel_multiplier: Annotated[int | None, arg(metavar="1|2", help_behavior_hint="(default: as the file)")] = None
    """Width of the generator: to be sure that the file is the one that is meant."""
    wandb: Flag = False
    """Taken for compatibility: curves go to TensorBoard and log.jsonl."""
    augment: Flag = False
    """Change what the discriminator sees at random, so that few pictures are enough."""
    augment_p: Share = 0.0
    """The chance of it; 0 follows --ada_target."""
    ada_target: Share = 0.6
    """How sure of real pictures the discriminator may be."""
    ada_length: N = 500_000
    """Pictures in which the chance can go from 0 to 1."""
    ada_every: N = 256
    """Steps between two looks at it."""
    local_rank: int = 0
    """Given by torch.distributed.launch."""


@dataclass(frozen=True)
class TrainDual:
    """What both commands do."""

    def run(self) -> int:
        import os

        from vtoon.painters.engine import pick_device
        from vtoon.train.distributed import init_distributed, is_main, leave_distributed
        from vtoon.train.trainer import fit

        show_notices(self.messages)
        self._check()
        os.environ.setdefault("LOCAL_RANK", str(self.game.local_rank))
        device = init_distributed(str(pick_device(self.beyond.device)))
        try:
            say = self._say if is_main() else lambda line: None
            recipe, options = self._prepared(device, say)
            done = fit(recipe, options)
            main = is_main()
        finally:
            leave_distributed()
        if main and not self.messages.quiet:
            end = "" if done >= self.iter else "; the same command goes on"
            print(f"{options.folder / self._name_of(done)}: {done} of {self.iter} steps done{end}{self._then(done)}")
        return 0

    def _prepared(self, device: str, say: Callable[[str], None]) -> tuple:
        import torch

        from vtoon.train.trainer import TrainOptions, tune_device

        b = self.beyond
        where = torch.device(device)
        tune_device(where)
        torch.manual_seed(b.seed)  # of what is new
        if self.game.wandb:
            say("no effect: --wandb (curves go to TensorBoard and log.jsonl)")
        recipe, start = self._recipe(where, say)
        folder, name = self._folder(), self.model_name.removesuffix(".pt")
        options = TrainOptions(
            folder,
            self.iter,
            log_every=min(LINES_EVERY, b.log_every),
            preview_every=b.log_every,
            save_every=self.save_every,
            save_begin=self._save_begin(),
            state_every=min(STATE_EVERY, self.save_every),
            start=start,
            accumulate=b.accumulate,
            previews=f"{name}_{{step:05d}}.png",
            state=f"{name}_state.pt",
            logs=self._logs(),
            resume=b.resume,
            minutes=b.minutes,
        )
        return recipe, options

    def _start(self, say: Callable[[str], None]) -> DualStart:
        """Raises VtoonError where the file is another's."""
        import dataclasses

        from vtoon.models.discriminator import Discriminator
        from vtoon.weights.duals import load_dual_start

        start = load_dual_start(self.ckpt)
        g = start.net.generator
        if self.game.size not in (None, g.size):
            raise VtoonError(f"--size {self.game.size}: {start.path} draws {g.size} px; leave --size out")
        self._check_width(g, start.path)
        if start.disc is None:
            say(f"{start.path} has no discriminator that fits: a new one, so that the first thousand steps are rough")
            start = dataclasses.replace(start, disc=Discriminator(g.size, g.channels))
        return start

    def _check_width(self, g: Generator, path: Path) -> None:
        from vtoon.models.stylegan2 import published_channels

        if (times := self.game.channel_multiplier) is None:
            return
        wanted = published_channels(times)
        if any(wanted[size] != width for size, width in g.channels.items()):
            raise VtoonError(f"--channel_multiplier {times}: {path} has other channels; leave it out")

    def _options(self, device: torch.device, adversarial: float) -> object:
        import torch

        from vtoon.train.recipes.dual import DualOptions

        g = self.game
        return DualOptions(
            batch=g.batch,
            lr=g.lr,
            adversarial=adversarial,
            r1=g.r1,
            path_weight=g.path_regularize,
            path_shrink=g.path_batch_shrink,
            d_every=g.d_reg_every,
            g_every=g.g_reg_every,
            mixing=g.mixing,
            subspace_every=self.subspace_freq,
            augment=g.augment or g.augment_p > 0,
            ada_p=g.augment_p,
            ada_target=g.ada_target,
            ada_length=g.ada_length,
            ada_every=g.ada_every,
            samples=g.n_sample,
            seed=self.beyond.seed,
            device=device,
            dtype=torch.bfloat16 if self.beyond.amp == "bf16" else torch.float32,
        )

    def _check(self) -> None:
        """What needs no file. Raises VtoonError."""
        g, b = self.game, self.beyond
        counts = {"iter": self.iter, "save_every": self.save_every, "subspace_freq": self.subspace_freq}
        names = ("batch", "n_sample", "path_batch_shrink", "d_reg_every", "g_reg_every", "ada_length", "ada_every")
        counts |= {name: getattr(g, name) for name in names} | {"log_every": b.log_every}
        for name, value in counts.items():
            if value < 1:
                raise VtoonError(f"--{name} is {value}; it must be 1 or more")
        if not 0 < g.lr < 1:
            raise VtoonError(f"--lr is {g.lr:g}; it must be above 0 and below 1")
        for name in ("mixing", "augment_p", "ada_target"):
            if not 0 <= getattr(g, name) <= 1:
                raise VtoonError(f"--{name} is {getattr(g, name):g}; it must be 0 to 1")
        for name, value in {"r1": g.r1, "path_regularize": g.path_regularize, **self._weights()}.items():
            if not 0 <= value < 1e6:
                raise VtoonError(f"--{name} is {value:g}; a weight is 0 (off) or more")
        if not 1 <= b.accumulate <= g.batch or g.batch % b.accumulate:
            raise VtoonError(f"--accumulate is {b.accumulate}; it must divide the batch, {g.batch}")
        if b.minutes is not None and not b.minutes >= 0:
            raise VtoonError(f"--minutes is {b.minutes:g}; it must be 0 or more")
        if not self.model_name or Path(self.model_name).name != self.model_name:
            raise VtoonError(f"--model_name {self.model_name!r}: it is a file's name, in the folder of the run")

    def _say(self, line: str) -> None:
        if not self.messages.quiet:
            say_error(line, "note")

    def _then(self, done: int) -> str:
        return ""

    def _save_begin(self) -> int:
        return 0

    @abstractmethod
    def _weights(self) -> dict[str, float]: ...

    @abstractmethod
    def _folder(self) -> Path: ...

    @abstractmethod
    def _logs(self) -> Path: ...

    @abstractmethod
    def _name_of(self, step: int) -> str:
        """Of the file of a step."""

    @abstractmethod
    def _recipe(self, device: torch.device, say: Callable[[str], None]) -> tuple[DualTraining, int]:
        """The recipe, and the steps that were done before."""
