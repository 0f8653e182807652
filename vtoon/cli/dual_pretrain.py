"""`vtoon dual pretrain`: a StyleGAN2 becomes a DualStyleGAN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from vtoon.cli.common import Talk
from vtoon.cli.dual_common import BASE, CHECKPOINTS, PRETRAINED, N, PathFlag, check_style, logs
from vtoon.cli.dual_train import Beyond, Game, TrainDual, Weight
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import torch

    from vtoon.train.recipes.dual import DualTraining
    from vtoon.weights.duals import DualStart


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
        return logs(self.model_path, self.style or "pretrain")

    def _name_of(self, step: int) -> str:
        stem = self.model_name.removesuffix(".pt")
        return f"{stem}.pt" if step >= self.iter else f"{stem}-{step:06d}.pt"
