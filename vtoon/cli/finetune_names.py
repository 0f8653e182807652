"""What the published trainings call things that `vtoon finetune` calls otherwise, or needs no more.

`--cfg`: Karras et al. 2020, "Training GANs with limited data", table of hyperparameters in the appendix.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from vtoon.cli.common import Flag
from vtoon.errors import VtoonError

log = logging.getLogger("vtoon")
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
    """Flags of StyleGAN2-ADA's and rosinality's train.py (Cartoon-StyleGAN, FreezeG), taken as they are typed there."""

    cfg: Literal["auto", "stylegan2", "paper256", "paper512", "paper1024", "cifar"] = "auto"
    """StyleGAN2-ADA's settings of --gamma, --lr, --ema_kimg and width, where these are not given."""
    iter: Number = None
    """Steps, instead of --kimg."""
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
    nobench: Flag = False
    """Not needed."""
    allow_tf32: Annotated[bool | None, arg(metavar="BOOL", help_behavior_hint="")] = None
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
        unused = {"ada_every": None, "n_sample": None, "workers": None, "nobench": False, "allow_tf32": None}
        if told := [f"--{name}" for name, default in unused.items() if getattr(self, name) != default]:
            log.warning("without effect here: %s", ", ".join(told))
        plain = type(given)()
        preset = {k: v for k, v in PRESETS[self.cfg].items() if getattr(given, k) == getattr(plain, k)}
        if getattr(given, "resume", None) is not None:
            preset.pop("channel_multiplier", None)  # the file's
        steps = {} if self.iter is None else {"kimg": self.iter * given.batch * processes / 1000}
        return preset | steps
