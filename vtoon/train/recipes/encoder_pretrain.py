"""Stage one of VToonify's training: the encoder learns to stand in for the generator's layers up to 32 px
(Yang et al. 2022, "VToonify", section 4.2).

One page. The generator G, frozen, makes of a code w its state at 32 px, feature f_G and RGB s_G; of w it also makes a
photo x. The encoder E sees x and should arrive at the same state (eq. 2 and 4):

    L_E = |f_E - f_G|^2 + |s_E - s_G|^2,   (f_E, s_E) = E(x, style, degree)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.image import grid, to_uint8
from vtoon.models.vtoonify import VToonify
from vtoon.ops import arithmetic
from vtoon.painters.parsing import Parser
from vtoon.train.ema import EMA
from vtoon.train.seen import network_input
from vtoon.train.settings import BETAS, EMA_DECAY, Settings
from vtoon.train.teachers import Teacher
from vtoon.train.trainer import Phase
from vtoon.weights.torch_file import save_complete


@dataclass(frozen=True)
class Lesson:
    """Tensors of one step."""

    x: Tensor  # [N, 3 or 22, in_size, in_size]
    feature: Tensor  # f_G [N, C, 32, 32]
    skip: Tensor  # s_G [N, 3, 32, 32]
    style: Tensor  # [N, L, D] in W+
    degree: Tensor  # [N, 1]


class EncoderPretrain:
    """E: feature and RGB at 32 px."""

    def __init__(
        self, net: VToonify, teacher: Teacher, settings: Settings, parser: Parser | None, about: dict[str, str]
    ) -> None:
        self.net, self.teacher, self.settings, self.parser = net, teacher, settings, parser
        net.to(settings.device).requires_grad_(False)
        self.encode = net.encode
        optimizer = torch.optim.Adam(net.encoder.parameters(), settings.lr, betas=BETAS)
        self.ema = EMA(net.encoder, EMA_DECAY, warm_up=False)
        self.phases = [Phase("E", self.encoder_terms, optimizer, max_norm=None, scaler=settings.scaler)]
        self.state = {"encoder": net.encoder, "ema": self.ema, "optimizer": optimizer}
        if self.phases[0].scaler:
            self.state["scaler"] = self.phases[0].scaler
        self.about = {"recipe": type(self).__name__} | about

    @torch.no_grad()
    def next_batch(self, step: int) -> Lesson:
        s = self.settings
        with arithmetic(s.device, s.dtype):
            start = self.teacher.start(s.draws(step), s.steps)
            x = network_input(start.photo, self.net.config.in_size, self.parser)
        return Lesson(x, start.feature.float(), start.skip.float(), start.style, start.degree)

    def encoder_terms(self, b: Lesson) -> dict[str, Tensor]:
        with arithmetic(self.settings.device, self.settings.dtype):
            feature, skip, _ = self.encode(b.x, b.style, b.degree)
        return {"feat": F.mse_loss(feature.float(), b.feature), "skip": F.mse_loss(skip.float(), b.skip)}

    def end_step(self, step: int) -> None:
        self.ema.update(self.net.encoder, step)

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Rows: the input, RGB at 32 px as the generator makes it, and as the encoder does."""
        start = self.teacher.start(self.settings.preview_draws(), self.settings.steps)
        x = network_input(start.photo, self.net.config.in_size, self.parser)
        with self.ema.standing_in(self.net.encoder):
            _, skip, _ = self.net.encode(x, start.style, start.degree)
        rows = (x[:, :3], *(F.interpolate(rgb, x.shape[2:]) for rgb in (start.skip, skip)))
        return grid([list(to_uint8(row)) for row in rows])

    def export(self, folder: Path, step: int) -> None:
        save_complete({"g_ema": self.ema.module.state_dict()}, folder / "pretrain.pt")

    def close(self) -> None:
        """Nothing runs beside the steps."""
