"""`vtoon dual pretrain`, `vtoon dual finetune`: DualStyleGAN's training, with its published flags."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import Flag, Talk, say_error, show_notices
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import torch

    from vtoon.models.stylegan2 import Generator
    from vtoon.train.recipes.dual import DualTraining
    from vtoon.weights.duals import DualStart

CHECKPOINTS, DATA, LOGS = Path("checkpoint"), Path("data"), Path("log")
BASE = "stylegan2-ffhq-config-f.pt"
PRETRAINED = "generator-pretrain.pt"
STATE_EVERY, LINES_EVERY = 500, 50  # steps
N = Annotated[int, arg(metavar="N")]
Weight = Annotated[float, arg(metavar="WEIGHT")]
Share = Annotated[float, arg(metavar="SHARE")]
Style = Annotated[str, Positional, arg(metavar="STYLE", help_behavior_hint="")]
PathFlag = Annotated[Path, arg(metavar="PATH")]
Perceptual = Literal["auto", "vgg", "face"]


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


@dataclass(frozen=True)
class Pretrain(TrainDual):
    """Stages I and II: a StyleGAN2 of photos gets an extrinsic path and learns, on photos, to use it.

    Writes MODEL_NAME.pt (g, d, g_ema, g_optim, d_optim), previews and curves; the same command goes on where it was
    stopped. On several GPUs: torchrun --nproc_per_node N -m vtoon.cli.dual pretrain ...
    """

    data: Annotated[Path | None, Positional, arg(metavar="PATH", help_behavior_hint="")] = None
    """Photos: an LMDB as published, a folder, .zip or packed .npy of square pictures (`vtoon dataset`)."""
    iter: N = 3000
    """Steps."""
    save_every: N = 3000
    """Steps between two files."""
    subspace_freq: N = 4
    """One step in N takes the style from the encoder's code of a face; 1: every step."""
    ckpt: Annotated[str, arg(metavar="FILE|NAME")] = str(CHECKPOINTS / BASE)
    """The StyleGAN2 of photos (.pt, .pkl, ffhq1024 ...), or a DualStyleGAN to go on from."""
    model_path: PathFlag = CHECKPOINTS
    """The folder of the result, in which encoder.pt is looked for."""
    model_name: Annotated[str, arg(metavar="NAME")] = PRETRAINED.removesuffix(".pt")
    """Of the result."""
    style: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """A folder below --model_path for the result."""
    encoder: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: encoder.pt, if there)")] = None
    """The style encoder (pSp, Z+). Without one, a random code whose rows differ a little stands for its codes."""
    adv_loss: Weight = 0.1
    """Of the adversarial term, the generator's and the discriminator's."""
    inject_index: Annotated[int, arg(metavar="1..7")] = 5
    """The row from which the target is of the second face."""
    inject_from: Annotated[int | None, arg(metavar="1..7", help_behavior_hint="(default: as --inject_index)")] = None
    """The same at the start: 7 falls to 5 over the training, as the paper has it."""
    game: Game = field(default_factory=Game)
    beyond: Beyond = field(default_factory=Beyond)
    messages: Talk = field(default_factory=Talk)

    def _recipe(self, device: torch.device, say: Callable[[str], None]) -> tuple[DualTraining, int]:
        from vtoon.train.dataset import Dataset
        from vtoon.train.recipes.dual_pretrain import DualPretrain
        from vtoon.weights.vgg19 import load_vgg19

        start = self._start(say)
        encode = self._encode(start, device, say)
        sight = load_vgg19(self.beyond.perceptual, device)
        say(f"perceptual term: {sight.name}")
        data = Dataset(self.data, start.net.generator.size, device)
        recipe = DualPretrain(
            start.net, start.disc, data, self._options(device, self.adv_loss), start.average, name_of=self._name_of,
            sight=sight, encode=encode, steps=self.iter, inject=self._inject(),
        )  # fmt: skip
        return recipe, recipe.go_on(start)

    def _encode(self, start: DualStart, device: torch.device, say: Callable[[str], None]) -> Callable | None:
        from vtoon.painters.companions import load_encoder
        from vtoon.train.teachers.faces import FaceCodes

        path = self.encoder or self.model_path / "encoder.pt"
        if self.encoder is None and not path.is_file():
            say(f"{path} is not there: one step in {self.subspace_freq} takes a code whose rows are spread a little")
            return None
        encoder, g = load_encoder(path).to(device), start.net.generator
        if len(encoder.encoder.styles) != g.num_latents:
            raise VtoonError(f"{path}: it tells {len(encoder.encoder.styles)} rows; {start.path} takes {g.num_latents}")
        return FaceCodes(g, None, encoder, g.style[1].weight.new_zeros(g.style_dim)).own

    def _inject(self) -> tuple[int, int]:
        first = self.inject_index if self.inject_from is None else self.inject_from
        return first, self.inject_index

    def _check(self) -> None:
        from vtoon.cli.dual_common import check_style
        from vtoon.train.recipes.dual_pretrain import check_inject

        if self.data is None:
            raise VtoonError("name the photos: vtoon dual pretrain PATH, an LMDB, folder, .zip or packed .npy")
        if self.style is not None:
            check_style(self.style)
        super()._check()
        if not check_inject(*self._inject()):
            raise VtoonError(f"inject_index is {self.inject_index}, inject_from {self.inject_from}; they must be 1 to "
                             "7, and inject_from not below inject_index")  # fmt: skip

    def _weights(self) -> dict[str, float]:
        return {"adv_loss": self.adv_loss}

    def _folder(self) -> Path:
        return self.model_path / self.style if self.style else self.model_path

    def _logs(self) -> Path:
        return LOGS / (self.style or "pretrain")

    def _name_of(self, step: int) -> str:
        stem = self.model_name.removesuffix(".pt")
        return f"{stem}.pt" if step >= self.iter else f"{stem}-{step:06d}.pt"


@dataclass(frozen=True)
class Finetune(TrainDual):
    """Stage III: a pretrained DualStyleGAN learns the styles of your artworks.

    Needs exstyle_code.npy and instyle_code.npy of `vtoon dual destylize`. Writes generator-NNNNNN.pt, of which you pick
    one and name it generator.pt; the same command goes on where it was stopped, and --ckpt takes its own files, too.
    """

    style: Style = "cartoon"
    """The folder of the style, below --data_path and --model_path."""
    iter: N = 1000
    """Steps; 1000 to 1500 were published."""
    save_begin: N = 1000
    """The first file."""
    save_every: N = 100
    """Steps between two files from there on."""
    subspace_freq: N = 2
    """One step in N draws random faces, the others the artworks' own; 1: random ones only."""
    style_loss: Weight = 0.25
    """Of the channels' means."""
    CX_loss: Weight = 0.25
    """Of the contextual loss."""
    perc_loss: Weight = 1.0
    """Of the perceptual term."""
    id_loss: Weight = 1.0
    """Of the face embedding's."""
    L2_reg_loss: Weight = 0.01
    """Of the weights' norms; 0.015 keeps more of the face."""
    ckpt: Annotated[str, arg(metavar="FILE")] = str(CHECKPOINTS / PRETRAINED)
    """The pretrained DualStyleGAN, or one of this command's files to go on from."""
    data_path: PathFlag = DATA
    """The pictures are in DATA_PATH/STYLE/images/train."""
    lmdb_path: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")] = None
    """The pictures, where they are elsewhere: a folder or .zip, under the names that the codes have."""
    model_path: PathFlag = CHECKPOINTS
    """Codes are read from, and files written to, MODEL_PATH/STYLE."""
    model_name: Annotated[str, arg(metavar="NAME")] = "generator"
    """Of the files."""
    exstyle_name: Annotated[str, arg(metavar="FILE")] = "exstyle_code.npy"
    """The extrinsic codes."""
    instyle_name: Annotated[str, arg(metavar="FILE")] = "instyle_code.npy"
    """The intrinsic codes."""
    adv_loss: Weight = 1.0
    """Of the adversarial term."""
    game: Game = field(default_factory=Game)
    beyond: Beyond = field(default_factory=Beyond)
    messages: Talk = field(default_factory=Talk)

    def _recipe(self, device: torch.device, say: Callable[[str], None]) -> tuple[DualTraining, int]:
        from vtoon.cli.dual_common import DESTYLIZE, art_folder
        from vtoon.train.dataset import Dataset
        from vtoon.train.faces import AlignedFaces
        from vtoon.train.recipes.dual_finetune import DualFinetune, DualWeights, artworks_of
        from vtoon.weights.duals import load_codes_of
        from vtoon.weights.vgg19 import load_vgg19

        pictures = self.lmdb_path or art_folder(self.data_path, self.style)
        start = self._start(say)
        g = start.net.generator
        names = (self.exstyle_name, self.instyle_name)
        codes = [load_codes_of(self._folder() / name, g, DESTYLIZE) for name in names]
        sight = load_vgg19(self.beyond.perceptual, device)
        say(f"perceptual, contextual and style terms: {sight.name}")
        data = Dataset(pictures, g.size, device)
        recipe = DualFinetune(
            start.net, start.disc, data, self._options(device, self.adv_loss), start.average, name_of=self._name_of,
            art=artworks_of(data, *codes), weights=DualWeights(**self._weights(own=True)), sight=sight,
            embed=AlignedFaces(device) if self.id_loss else None,
        )  # fmt: skip
        return recipe, recipe.go_on(start)

    def _weights(self, own: bool = False) -> dict[str, float]:
        names = ("style_loss", "CX_loss", "perc_loss", "id_loss", "L2_reg_loss")
        return {name: getattr(self, name) for name in (*names, *(() if own else ("adv_loss",)))}

    def _check(self) -> None:
        from vtoon.cli.dual_common import check_style

        check_style(self.style)
        super()._check()

    def _folder(self) -> Path:
        return self.model_path / self.style

    def _logs(self) -> Path:
        return LOGS / self.style

    def _name_of(self, step: int) -> str:
        return f"{self.model_name.removesuffix('.pt')}-{step:06d}.pt"

    def _save_begin(self) -> int:
        return self.save_begin

    def _then(self, done: int) -> str:
        return "" if done < self.iter else f"; pick one, and copy it to {self._folder() / 'generator.pt'}"
