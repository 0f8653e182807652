"""What `vtoon train` and `vtoon distill` share: how a network of the built-in kind is taught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import torch

    from vtoon.train.recipes.distill import DistillOptions
    from vtoon.train.trainer import TrainOptions

Weight = Annotated[float, arg(metavar="WEIGHT")]
LEAST_SIZE = 64  # px of a training view
WEIGHTS = ("rec_loss", "grad_loss", "perc_loss", "tmp_loss", "adv_loss", "adv_from")


@dataclass(frozen=True)
class Distillation:
    """How long, how large, by which terms."""

    iter: int = 6000
    """Optimizer steps."""
    batch: int = 8
    """Pairs a step, for each process."""
    size: int = 160
    """Side of a training view, px, a multiple of 8."""
    lr: float = 4e-4
    """Of plain convolutions; other layers in proportion to the size of their weights."""
    rec_loss: Weight = 1.0
    """Of the difference to the drawing."""
    grad_loss: Weight = 2.0
    """Of the difference of its lines: of steps between neighbours."""
    perc_loss: Weight = 0.3
    """Of the difference of the face embedding's features."""
    tmp_loss: Weight = 2.0
    """Of what changes where a crop moves; over the second half."""
    adv_loss: Weight = 0.1
    """Of the discriminator's answer."""
    adv_from: float = 0.5
    """The discriminator joins after this fraction of the run."""
    seed: int = 0
    """Of all that is random."""
    save_every: int = 500
    """Steps between two states."""
    preview_every: int = 500
    """Steps between two preview sheets."""
    device: str = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the drawing network: auto is bf16 where the device multiplies it natively."""
    photo_credit: str = "not stated"
    """Source and licence of the photos, kept in the model file."""

    def check(self) -> None:
        """Raises VtoonError for numbers that cannot be."""
        if self.size % 8 or self.size < LEAST_SIZE:
            raise VtoonError(f"--size {self.size}: it must be a multiple of 8, at least {LEAST_SIZE}")
        for name in ("iter", "batch", "save_every", "preview_every"):
            if getattr(self, name) < 1:
                raise VtoonError(f"--{name} is {getattr(self, name)}; it must be 1 or more")
        if not 0 < self.lr < 1:
            raise VtoonError(f"--lr is {self.lr:g}; it must be above 0 and under 1")
        for name in WEIGHTS:
            if not 0 <= getattr(self, name) < 1e4:
                raise VtoonError(f"--{name} is {getattr(self, name):g}; it must be 0 or more")

    def options(self, device: torch.device) -> DistillOptions:
        """For the recipe."""
        import torch

        from vtoon.painters.engine import pick_dtype
        from vtoon.train.recipes.distill import DistillOptions

        dtype = pick_dtype(self.dtype, device, half=torch.bfloat16)
        terms = {name: getattr(self, name) for name in WEIGHTS}
        return DistillOptions(self.iter, self.batch, self.lr, **terms, seed=self.seed, dtype=dtype)

    def run_in(self, folder: Path) -> TrainOptions:
        """For the trainer."""
        from vtoon.train.trainer import TrainOptions

        return TrainOptions(folder, self.iter, preview_every=self.preview_every, save_every=self.save_every)
