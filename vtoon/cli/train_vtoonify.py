"""`python train_vtoonify_d.py` and `python train_vtoonify_t.py`: VToonify's training, with its published flags."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import arg

from vtoon.cli.common import Flag, guard, say_error
from vtoon.cli.common import Talk as Messages
from vtoon.cli.vtoonify_training import CHECKPOINTS, Beyond, Companion, TrainVToonify, Weight
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import torch

    from vtoon.train.teachers import Teacher
    from vtoon.train.teachers.files import Files


@dataclass(frozen=True)
class TrainD(TrainVToonify):
    """Train a VToonify-D: distil DualStyleGAN into a network for video, in two stages.

    First with --pretrain (30,000 steps were published), then without: checkpoint/NAME/pretrain.pt is found again.
    """

    msk_loss: Weight = 0.0005
    """Of what fusion lets through of the photo at high degrees."""
    fix_degree: Flag = False
    """Train for one degree."""
    fix_style: Flag = False
    """Train for one style."""
    fix_color: Flag = False
    """Keep the colours of the face."""
    exstyle_path: Companion = CHECKPOINTS / "cartoon" / "refined_exstyle_code.npy"
    """The style codes of the DualStyleGAN."""
    style_id: int = 26
    """Which style, with --fix_style."""
    style_degree: float = 0.5
    """Which degree, with --fix_degree."""
    stylegan_path: Companion = CHECKPOINTS / "cartoon" / "generator.pt"
    """The DualStyleGAN."""
    name: str = "vtoonify_d_cartoon"
    """The run's folder, below checkpoint/ and log/."""
    beyond: Beyond = field(default_factory=Beyond)
    messages: Messages = field(default_factory=Messages)

    def _teacher(self, files: Files, device: torch.device, say: object) -> Teacher:
        from vtoon.train.teachers.dual import DualOptions
        from vtoon.train.teachers.files import dual_teacher

        if self.style_id != 26 and not self.fix_style:
            say("no effect: --style_id (it belongs to --fix_style)")
        if self.style_degree != 0.5 and not self.fix_degree:
            say("no effect: --style_degree (it belongs to --fix_degree)")
        style = self.style_id if self.fix_style else None
        options = DualOptions(style, self.style_degree if self.fix_degree else None, self.fix_color)
        return dual_teacher(self.stylegan_path, self.exstyle_path, files, options, device, say)

    def _stem(self) -> str:
        style = f"_s{self.style_id:03d}" if self.fix_style else "_s"
        degree = f"_d{self.style_degree:1.1f}" if self.fix_degree else "_d"
        return f"vtoonify{style}{degree}{'' if self.fix_color else '_c'}"

    def _mask_weight(self) -> float:
        return self.msk_loss

    def _beside(self, folder: Path) -> None:
        if (folder / "exstyle_code.npy").resolve() != self.exstyle_path.resolve():
            shutil.copyfile(self.exstyle_path, folder / "exstyle_code.npy")


@dataclass(frozen=True)
class TrainT(TrainVToonify):
    """Train a VToonify-T: distil Toonify, a StyleGAN2 and its fine-tuned child blended, into a network for video.

    First with --pretrain (30,000 steps were published), then without: checkpoint/NAME/pretrain.pt is found again.
    """

    stylegan_path: Companion = CHECKPOINTS / "stylegan2-ffhq-config-f.pt"
    """The StyleGAN2 of photos."""
    finetunegan_path: Companion = CHECKPOINTS / "cartoon" / "finetune-000600.pt"
    """The same fine-tuned on drawings."""
    weight: Annotated[
        tuple[float, ...], arg(metavar="W0 W1 ...", help_behavior_hint="(default: 1 for the lower half, 0 above)")
    ] = ()
    """The fine-tuned model's share of each of the layers (18 at 1024 px)."""
    name: str = "vtoonify_t_cartoon"
    """The run's folder, below checkpoint/ and log/."""
    photos: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Pairs of pictures teach stage two: these photos,"""
    drawings: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """and these drawings of them, by any hand or stylizer, under the same names."""
    beyond: Beyond = field(default_factory=Beyond)
    messages: Messages = field(default_factory=Messages)

    def _teacher(self, files: Files, device: torch.device, say: object) -> Teacher:
        from vtoon.train.teachers.files import toonify_teacher
        from vtoon.train.teachers.pairs import PicturePairs

        if bool(self.photos) != bool(self.drawings):
            raise VtoonError("--photos and --drawings belong together: two folders with pictures of the same names")
        teacher = toonify_teacher(self.stylegan_path, self.finetunegan_path, self.weight, files, device, say)
        if not self.photos or self.pretrain:
            return teacher
        return PicturePairs(teacher, self.photos, self.drawings, self.beyond.workers)

    def _stem(self) -> str:
        return "vtoonify"


OLD_FLAGS = ("--faces", "--looks", "--pairs", "--palettes", "--init", "--adv_from", "--runs", "--photo_credit")


def main(kind: type[TrainVToonify], args: list[str] | None = None) -> None:
    """Entry of the launchers. For one release they also take the flags of `vtoon train`, which they used to start."""
    args = sys.argv[1:] if args is None else args
    if any(text.split("=")[0].replace("-", "_") in {f.replace("-", "_") for f in OLD_FLAGS} for text in args):
        from vtoon.cli.train import main as builtin

        say_error(f"these flags train the built-in kind of model: vtoon train {' '.join(args)}", "note")
        builtin(args)
        return
    prog = "train_vtoonify_d.py" if kind is TrainD else "train_vtoonify_t.py"
    config = (tyro.conf.OmitArgPrefixes,)
    command = tyro.cli(kind, prog=prog, args=args, use_underscores=True, config=config)
    sys.exit(guard(command.run, command.messages.verbose))
