"""What `train_vtoonify_d.py` and `train_vtoonify_t.py` share: VToonify's training, with its published flags."""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from vtoon.cli.common import Flag, say_error, show_notices
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vtoon.models.vtoonify import VToonify
    from vtoon.painters.parsing import Parser
    from vtoon.train.recipes.encoder_pretrain import EncoderPretrain
    from vtoon.train.recipes.vtoonify import VToonifyDistill
    from vtoon.train.settings import Settings
    from vtoon.train.teachers import Teacher
    from vtoon.train.teachers.files import Files

Weight = Annotated[float, arg(metavar="WEIGHT")]
Companion = Annotated[Path, arg(metavar="FILE")]
CHECKPOINTS, LOGS = Path("checkpoint"), Path("log")
RGB, RGB_AND_PARSING = 3, 22  # channels that the network sees
STATE_EVERY = 500  # steps
LINES_EVERY = 50  # steps between two lines of the log, at most


@dataclass(frozen=True)
class Beyond:
    """What the published commands do not have."""

    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: as the generator's file)")] = None
    """Of the generator's pictures, 64 to 1024: to be sure that the file is the one that is meant."""
    no_parsing: Flag = False
    """The network sees the photo alone, without its parsing; the file says so."""
    no_style_encoder: Flag = False
    """Every face is drawn in the average face's colours; the file holds that code."""
    perceptual: Literal["auto", "lpips", "face", "none"] = "auto"
    """The perceptual term: LPIPS as published, its stand-in of face features, none; auto: LPIPS where VGG16's weights
    are there already."""
    amp: Literal["off", "bf16", "fp16"] = "off"
    """Arithmetic of the networks; weights and losses stay in 32 bits."""
    accumulate: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: as few as fit)")] = None
    """Go through each batch in N parts: less memory, the same gradient (with parts of 4 the discriminator's, too)."""
    grad_checkpoint: Flag = False
    """Half the memory for a third more work: features are made again in the backward pass."""
    limit_memory: Annotated[float | None, arg(metavar="GB", help_behavior_hint="(default: what is free)")] = None
    """How much a step may need."""
    compile: Flag = False
    """Compile what is taught first (minutes; needs a C++ compiler)."""
    workers: Annotated[int, arg(metavar="N")] = 2
    """Threads that read pictures, where pairs of them teach."""
    root: Annotated[Path, arg(metavar="FOLDER")] = Path(".")
    """Where checkpoint/NAME and log/NAME are made."""
    seed: int = 0
    """Of all that is random."""
    resume: bool = True
    """Go on from the state in the run's folder; --no_resume starts anew."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda|mps")] = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""


@dataclass(frozen=True)
class TrainVToonify:
    """The flags that both commands have, with the published names and defaults."""

    iter: int = 2000
    """Steps."""
    batch: int = 8
    """Pictures a step, for each process."""
    lr: float = 1e-4
    """Of Adam."""
    local_rank: int = 0
    """Given by torch.distributed.launch."""
    start_iter: int = 0
    """Where a run without a state begins: schedules stand there."""
    save_every: int = 30000
    """Steps between two files for inference, and one at the end; the state for going on is kept more often."""
    save_begin: int = 30000
    """The first of them."""
    log_every: int = 200
    """Steps between two preview sheets."""
    adv_loss: Weight = 0.01
    """Of the discriminator's answer."""
    grec_loss: Weight = 0.1
    """Of the difference to the teacher's drawing."""
    perc_loss: Weight = 0.01
    """Of the perceptual term."""
    tmp_loss: Weight = 1.0
    """Of what changes where a crop moves; over the second half, rising."""
    encoder_path: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: NAME's pretrain.pt)")] = None
    """What the encoder starts from: a pretrain.pt, or a whole VToonify."""
    direction_path: Companion = CHECKPOINTS / "directions.npy"
    """Editing directions; where there is none, the generator's own closed-form factorization."""
    faceparsing_path: Companion = CHECKPOINTS / "faceparsing.pth"
    """The parsing network."""
    style_encoder_path: Companion = CHECKPOINTS / "encoder.pt"
    """The style encoder."""
    pretrain: Flag = False
    """Stage one: teach the encoder alone."""

    def run(self) -> int:
        from vtoon.train.distributed import init_distributed, is_main, leave_distributed

        show_notices(self.messages)
        self._check()
        os.environ.setdefault("LOCAL_RANK", str(self.local_rank))
        device = init_distributed(_device(self.beyond.device))
        try:
            recipe, options = self._prepared(device, self._say if is_main() else lambda line: None)
            done = self._fit(recipe, options)
            main = is_main()  # while there are processes
        finally:
            leave_distributed()
        if main and not self.messages.quiet:
            end = "" if done == self.iter else "; the same command goes on"
            print(f"{done} of {self.iter} steps done: {options.folder}{end}")
        return 0

    @staticmethod
    def _fit(recipe: EncoderPretrain | VToonifyDistill, options: object) -> int:
        from vtoon.train.trainer import fit

        return fit(recipe, options)

    def _prepared(self, device: str, say: object) -> tuple:
        import torch

        from vtoon.train.trainer import TrainOptions

        torch.manual_seed(self.beyond.seed)  # what is new in the student
        recipe, parts = self._recipe(torch.device(device), say)
        stem = "pretrain" if self.pretrain else self._stem()
        return recipe, TrainOptions(
            self.beyond.root / CHECKPOINTS / self.name,
            self.iter,
            log_every=min(LINES_EVERY, self.log_every),
            preview_every=self.log_every,
            save_every=self.save_every,
            save_begin=self.save_begin,
            state_every=min(STATE_EVERY, self.save_every),
            start=self.start_iter,
            accumulate=parts,
            previews=f"{'pretrain_' if self.pretrain else ''}{{step:05d}}.jpg",
            state=f"{stem}_state.pt",
            logs=self.beyond.root / LOGS / self.name,
            resume=self.beyond.resume,
        )

    def _recipe(self, device: torch.device, say: object) -> tuple[EncoderPretrain | VToonifyDistill, int]:
        import torch

        from vtoon.train.settings import Settings
        from vtoon.train.teachers.files import Files, parser_of

        b = self.beyond
        settings = Settings(self.iter, self.batch, self.lr, b.seed, device, _dtype(b.amp))
        encoder = None if b.no_style_encoder else self.style_encoder_path
        files = Files(self.direction_path, encoder, None if b.no_parsing else self.faceparsing_path)
        start = None if self.pretrain else self._encoder_file()
        teacher = self._teacher(files, device, say)
        net = teacher.build(RGB if b.no_parsing else RGB_AND_PARSING)
        if b.size not in (None, net.config.out_size):
            raise VtoonError(f"--size {b.size}: {self.stylegan_path} draws {net.config.out_size} px")
        net.checkpointing = b.grad_checkpoint
        parts = self._parts(net, teacher, device, say)
        parser = parser_of(files, device)
        about = {"generator": str(self.stylegan_path), "size": str(net.config.out_size), "parsing": str(bool(parser))}
        if self.pretrain:
            from vtoon.train.recipes.encoder_pretrain import EncoderPretrain

            recipe = EncoderPretrain(net, teacher, settings, parser, about)
            if b.compile:
                recipe.encode = torch.compile(net.encode)
            return recipe, parts
        _load_encoder(net, start)
        return self._distill(net, teacher, settings, parser, about, say), parts

    def _distill(
        self, net: VToonify, teacher: Teacher, settings: Settings, parser: Parser | None, about: dict, say: object
    ) -> VToonifyDistill:
        import torch

        from vtoon.train.recipes.vtoonify import VToonifyDistill, Weights
        from vtoon.weights.perceptual import load_perceptual

        choice = self.beyond.perceptual if self.perc_loss else "none"
        perceptual = load_perceptual(choice, settings.device)
        named = perceptual.name if perceptual else "none"
        say(f"perceptual term: {named}")
        weights = Weights(self.adv_loss, self.grec_loss, self.perc_loss, self.tmp_loss, self._mask_weight())
        told = about | {"perceptual": named, "teacher": type(teacher).__name__}

        def export(state: Mapping[str, Tensor], folder: Path, step: int) -> None:
            from vtoon.weights.torch_file import save_complete
            from vtoon.weights.trained import KEY, Trained

            provenance = told | {"steps": str(step), "batch": str(self.batch), "command": " ".join(sys.argv)}
            own = teacher.own_code if teacher.own_code is None else teacher.own_code.cpu()
            trained = Trained(net.config.in_size / 4, own, provenance)  # FFHQ's pictures: eyes a quarter apart
            state = {key: tensor.cpu() for key, tensor in state.items()}
            save_complete({"g_ema": state, KEY: trained.content()}, folder / f"{self._stem()}.pt")
            self._beside(folder)

        recipe = VToonifyDistill(net, teacher, settings, weights, parser, perceptual, export, told)
        if self.beyond.compile:
            recipe.draw = torch.compile(net)
        return recipe

    def _parts(self, net: VToonify, teacher: Teacher, device: torch.device, say: object) -> int:
        """In how many parts each batch is gone through, and say what a step will need."""
        from vtoon.system.memory import free_bytes
        from vtoon.train.memory import need, shown
        from vtoon.weights.perceptual import takes_lpips

        b = self.beyond
        lpips = self.perc_loss > 0 and takes_lpips(b.perceptual)
        needed = need(net.config, teacher.num_styles, self.pretrain, b.amp != "off", b.grad_checkpoint, lpips)
        free = int(b.limit_memory * 2**30) if b.limit_memory else free_bytes(device)
        parts = b.accumulate or needed.parts(self.batch, free)
        if self.batch % parts:
            raise VtoonError(f"--accumulate {parts}: a batch of {self.batch} does not divide into {parts} parts")
        each, size = self.batch // parts, net.config.out_size
        line = f"a step of {each} pictures at {size} px needs about {shown(needed.of(each))}, {shown(free)} are free"
        if parts > 1:
            line += (
                f"; batches of {self.batch} (about {shown(needed.of(self.batch))}) are gone through in {parts} parts"
            )
        say(line)
        return parts

    def _encoder_file(self) -> Path:
        path = self.encoder_path or self.beyond.root / CHECKPOINTS / self.name / "pretrain.pt"
        if not path.is_file():
            raise VtoonError(f"{path}: no such file; the same command with --pretrain makes it (stage one)")
        return path

    def _check(self) -> None:
        """What needs no file. Raises VtoonError."""
        for name in ("iter", "batch", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise VtoonError(f"--{name} is {getattr(self, name)}; it must be 1 or more")
        if not 0 < self.lr < 1:
            raise VtoonError(f"--lr is {self.lr}; it must be above 0 and below 1")
        for name in ("adv_loss", "grec_loss", "perc_loss", "tmp_loss"):
            if not 0 <= getattr(self, name) < 1e4:
                raise VtoonError(f"--{name} is {getattr(self, name)}; a weight is 0 (off) or more")
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise VtoonError(f"--name {self.name!r}: it is a folder's name, below checkpoint/ and log/")

    def _say(self, line: str) -> None:
        if not self.messages.quiet:
            say_error(line, "note")

    @abstractmethod
    def _teacher(self, files: Files, device: torch.device, say: object) -> Teacher: ...

    @abstractmethod
    def _stem(self) -> str:
        """Of the file for inference, as published."""

    def _mask_weight(self) -> float:
        return 0.0

    def _beside(self, folder: Path) -> None:
        """Whatever belongs beside the file for inference."""


def _load_encoder(net: VToonify, path: Path) -> None:
    """Raises VtoonError where the file holds no encoder, or one of another shape."""
    from vtoon.weights.published import Kind, load

    file = load(path, Kind.PRETRAIN, Kind.VTOONIFY_D, Kind.VTOONIFY_T)
    prefix = "" if file.kind is Kind.PRETRAIN else "encoder."
    state = {key[len(prefix) :]: tensor for key, tensor in file.tensors.items() if key.startswith(prefix)}
    wanted = {key: tensor.shape for key, tensor in net.encoder.state_dict().items()}
    found = {key: tensor.shape for key, tensor in state.items()}
    if wrong := [key for key in wanted | found if wanted.get(key) != found.get(key)]:
        shapes = [str(list(shapes[wrong[0]])) if wrong[0] in shapes else "missing" for shapes in (found, wanted)]
        raise VtoonError(
            f"{path}: the encoder of another network ({wrong[0]} is {shapes[0]}, expected {shapes[1]}); "
            "train it with the same --stylegan_path and the same --no_parsing"
        )
    net.encoder.load_state_dict(state)


def _device(name: str) -> str:
    from vtoon.painters.engine import pick_device

    return str(pick_device(name))


def _dtype(amp: str) -> torch.dtype:
    import torch

    return {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]
