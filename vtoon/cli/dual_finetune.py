"""`vtoon dual finetune`: a DualStyleGAN learns the styles of artworks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from vtoon.cli.common import Talk
from vtoon.cli.dual_common import (
    CHECKPOINTS,
    DATA,
    DESTYLIZE,
    PRETRAINED,
    N,
    PathFlag,
    Style,
    art_folder,
    check_style,
    logs,
)
from vtoon.cli.dual_train import Beyond, Game, TrainDual, Weight

if TYPE_CHECKING:
    import torch

    from vtoon.train.recipes.dual import DualTraining


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
        check_style(self.style)
        super()._check()

    def _folder(self) -> Path:
        return self.model_path / self.style

    def _logs(self) -> Path:
        return logs(self.model_path, self.style)

    def _name_of(self, step: int) -> str:
        return f"{self.model_name.removesuffix('.pt')}-{step:06d}.pt"

    def _save_begin(self) -> int:
        return self.save_begin

    def _then(self, done: int) -> str:
        return "" if done < self.iter else f"; pick one, and copy it to {self._folder() / 'generator.pt'}"
