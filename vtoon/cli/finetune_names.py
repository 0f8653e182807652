"""What the published trainings call things that `vtoon finetune` calls otherwise, or needs no more.

`--cfg`: Karras et al. 2020, "Training GANs with limited data", table of hyperparameters in the appendix.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import Flag
from vtoon.cli.dual_common import CHECKPOINTS, check_style
from vtoon.errors import VtoonError

log = logging.getLogger("vtoon")
SWITCHES = ("--mirror", "--nobench", "--allow-tf32", "--allow_tf32")
ON, OFF = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off")
Number = Annotated[int | None, arg(metavar="N", help_behavior_hint="")]
PRESETS: dict[str, dict[str, object]] = {
    "auto": {},
    "stylegan2": {"gamma": 10.0, "lr": 2e-3, "ema_kimg": 10.0, "channel_multiplier": 2},
    "paper256": {"gamma": 1.0, "lr": 2.5e-3, "ema_kimg": 20.0, "channel_multiplier": 1},
    "paper512": {"gamma": 0.5, "lr": 2.5e-3, "ema_kimg": 20.0, "channel_multiplier": 2},
    "paper1024": {"gamma": 2.0, "lr": 2e-3, "ema_kimg": 10.0, "channel_multiplier": 2},
    "cifar": {"gamma": 0.01, "lr": 2.5e-3, "ema_kimg": 500.0, "mixing": 0.0, "path_regularize": 0.0},
}


@dataclass(frozen=True)
class PublishedNames:
    """Flags of StyleGAN2-ADA's and rosinality's train.py (Cartoon-StyleGAN, FreezeG) and of DualStyleGAN's
    finetune_stylegan.py, taken as they are typed there."""

    first: Annotated[Path | None, Positional, arg(metavar="PATH", help_behavior_hint="")] = None
    """As --data."""
    cfg: Literal["auto", "stylegan2", "paper256", "paper512", "paper1024", "cifar"] = "auto"
    """StyleGAN2-ADA's settings of --gamma, --lr, --ema_kimg and width, where these are not given."""
    iter: Number = None
    """Steps, instead of --kimg."""
    save_every: Number = None
    """Steps between two snapshots, instead of --tick and --snap."""
    style: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """As in DualStyleGAN, snapshots are checkpoint/NAME/finetune-NNNNNN.pt, by their steps."""
    local_rank: Number = None
    """Given by torch.distributed.launch."""
    ada_length: Annotated[float | None, arg(metavar="PICTURES", help_behavior_hint="")] = None
    """Pictures, instead of --ada_kimg."""
    d_reg_every: Annotated[int, arg(metavar="N")] = 16
    """Steps between two R1 penalties."""
    g_reg_every: Annotated[int, arg(metavar="N")] = 4
    """Steps between two path length penalties."""
    path_batch_shrink: Annotated[int, arg(metavar="N")] = 2
    """One in N samples pays for path lengths."""
    gpus: Number = None
    """Here it is torchrun that says how many."""
    augment: Flag = False
    """Augmentation is on here; --aug noaug turns it off."""
    ada_every: Number = None
    """Not needed: p is looked at every 4 batches."""
    n_sample: Number = None
    """Not needed: previews have 16 or 32 faces."""
    workers: Number = None
    """Not needed."""
    wandb: Flag = False
    """Not needed: curves go to TensorBoard and log.jsonl."""
    nobench: Flag = False
    """Not needed."""
    allow_tf32: Flag = False
    """Not needed: --amp says how it is computed."""

    def settings(self, given: object) -> dict[str, object]:
        """What these names set of a `Finetune`, whose other flags go before a preset. Raises VtoonError where they
        cannot be, and tells of those that have no effect."""
        for name in ("d_reg_every", "g_reg_every", "path_batch_shrink"):
            if getattr(self, name) < 1:
                raise VtoonError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        processes = int(os.environ.get("WORLD_SIZE", 1))
        if self.gpus is not None and self.gpus != processes:
            run = f"torchrun --nproc_per_node {self.gpus} -m vtoon finetune ..."
            raise VtoonError(f"gpus is {self.gpus}, but processes that train: {processes}; write {run}")
        unused = ("ada_every", "n_sample", "workers", "wandb", "nobench", "allow_tf32")
        if told := [f"--{name}" for name in unused if getattr(self, name) not in (None, False)]:
            log.warning("without effect here: %s", ", ".join(told))
        plain = type(given)()
        preset = {k: v for k, v in PRESETS[self.cfg].items() if getattr(given, k) == getattr(plain, k)}
        if getattr(given, "resume", None) is not None:
            preset.pop("channel_multiplier", None)  # the file's
        if self.local_rank is not None:
            os.environ.setdefault("LOCAL_RANK", str(self.local_rank))
        step = given.batch * processes / 1000  # kimg
        named = {} if self.iter is None else {"kimg": self.iter * step}
        named |= {} if self.save_every is None else {"tick": self.save_every * step, "snap": 1}
        named |= {} if self.first is None else {"data": self.first}
        if self.style is not None:
            check_style(self.style)
            named |= {"outdir": CHECKPOINTS / self.style} if given.outdir == plain.outdir else {}
        return preset | named


def as_flags(words: Sequence[str]) -> list[str]:
    """StyleGAN2-ADA's `--mirror 1`, `--mirror=true`, `--nobench=0`: here a flag is there or is not."""
    parts = [part for word in words for part in (word.split("=", 1) if word.split("=")[0] in SWITCHES else [word])]
    kept: list[str] = []
    for word, before in zip(parts, ["", *parts], strict=False):
        if before in SWITCHES and word.lower() in (*ON, *OFF):
            if word.lower() in OFF:
                kept.pop()
        else:
            kept.append(word)
    return kept
