"""What both stages of VToonify's training share."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from vtoon.train.draws import Draws

BETAS = (0.9, 0.99)
EMA_DECAY = 0.5 ** (32 / 10_000)  # half is forgotten after 10,000 pictures, 32 a step
PREVIEWS = 4  # pictures on a sheet, the same all along


@dataclass(frozen=True)
class Settings:
    """What every stage of the training shares."""

    steps: int
    batch: int = 8  # of each process
    lr: float = 1e-4
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32  # of the networks; weights and losses stay fp32

    def draws(self, step: int) -> Draws:
        return Draws(self.seed, step, self.batch, self.device)

    def preview_draws(self) -> Draws:
        """Of the end of a training, where every degree and colour occurs."""
        return Draws(self.seed + 1, self.steps, PREVIEWS, self.device)

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """fp16's gradients would vanish without one."""
        return torch.amp.GradScaler(self.device.type) if self.dtype is torch.float16 else None
