"""Stage two of VToonify's training: encoder and fusion learn to draw photos as the teacher does, at any place of the
picture and steadily (Yang et al. 2022, "VToonify", section 4.3).

One page. The teacher gives a photo x, its drawing y, a style and a degree; both pictures are moved alike. The student
draws G(x). Of the generator's terms, the sum of

    rec   |G(x) - y|^2                                      (eq. 5)
    perc  LPIPS(G(x), y), at half the size                   (eq. 5)
    adv   -log D(G(x))                                       (eq. 6)
    msk   sum over levels of relu(mean(m) - free): fusion masks m let little through at high degrees   (eq. 7)
    tmp   |G(crop(x)) - crop(G(x))|^2: a camera that moves must not change the drawing (eq. 8)

is minimised, each by its weight; D minimises -log D(y) - log(1 - D(G(x))).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.image import grid, to_uint8
from vtoon.models.discriminator import ConditionalDiscriminator, Discriminator
from vtoon.models.vtoonify import VToonify
from vtoon.ops import arithmetic
from vtoon.painters.parsing import Parser
from vtoon.train.draws import Draws
from vtoon.train.ema import EMA
from vtoon.train.geometry import moved, random_affine
from vtoon.train.losses import discriminator_loss, generator_loss
from vtoon.train.seen import halved, halvings, near_and_whole
from vtoon.train.settings import BETAS, EMA_DECAY, Settings
from vtoon.train.teachers import Teacher
from vtoon.train.trainer import Phase

CROP_SHARE = 8  # a crop leaves an eighth of the picture out
MOST_MASK, LEAST_MASK = 0.9, 0.1  # a mask's mean is free up to (1 - degree)^2 * 0.9 + 0.1
Perceptual = Callable[[Tensor, Tensor], Tensor]  # two pictures [N, 3, H, W] in [-1, 1] -> distances [N]


@dataclass(frozen=True)
class Weights:
    """Of the terms. The perceptual one counts by the sum over the batch, as published."""

    adv_loss: float = 0.01
    grec_loss: float = 0.1
    perc_loss: float = 0.01
    tmp_loss: float = 1.0  # at the end; none over the first half
    msk_loss: float = 0.0005


@dataclass(frozen=True)
class Lesson:
    """Tensors of one step; S: the generator's size."""

    x: Tensor  # [N, C, in_size, in_size]: the photo, and its parsing where there is a parser
    whole: Tensor  # [N, C, S, S]: the same at full size, of which crops are made
    target: Tensor  # [N, 3, S, S] in [-1, 1]
    style: Tensor  # [N, L, D] in W+
    style_id: Tensor  # long [N]
    degree: Tensor  # [N, 1]
    offset: tuple[int, int]  # (top, left) of the crop, px
    batch: int  # samples of the whole step, of which these may be a part


class VToonifyDistill:
    """D: real or drawn by the student. G: reconstruction, perceptual, adversarial, mask, temporal."""

    def __init__(
        self,
        net: VToonify,
        teacher: Teacher,
        settings: Settings,
        weights: Weights,
        parser: Parser | None,
        perceptual: Perceptual | None,
        export: Callable[[Mapping[str, Tensor], Path, int], None],
        about: dict[str, str],
    ) -> None:
        """`export`: writes the student's state dict into the folder, as inference takes it, and the steps done."""
        self.net, self.teacher, self.settings, self.weights = net, teacher, settings, weights
        self.parser, self.perceptual, self._write = parser, perceptual, export
        net.to(settings.device).requires_grad_(False)
        self.trained = net.trained
        self.disc = self._discriminator().to(settings.device).requires_grad_(False)
        self.ema = EMA(self.trained, EMA_DECAY, warm_up=False)
        self.draw: Callable[..., tuple[Tensor, list[Tensor]]] = net
        adam = [torch.optim.Adam(part.parameters(), settings.lr, betas=BETAS) for part in (self.disc, self.trained)]
        scalers = [settings.scaler, settings.scaler]
        terms = (self.discriminator_terms, self.generator_terms)
        self.phases = [
            Phase(name, loss, optimizer, max_norm=None, scaler=scaler)
            for name, loss, optimizer, scaler in zip("DG", terms, adam, scalers, strict=True)
        ]
        self.state = {"trained": self.trained, "ema": self.ema, "disc": self.disc, "d_optim": adam[0]}
        self.state |= {"g_optim": adam[1]}
        self.state |= {f"scaler_{phase.name}": phase.scaler for phase in self.phases if phase.scaler}
        self.about = {"recipe": type(self).__name__} | about
        self.step, self._drawn = 0, None

    def _discriminator(self) -> Discriminator:
        """At the student's input size, to which pictures are pooled."""
        config, styles = self.net.config, self.teacher.num_styles
        if styles:
            return ConditionalDiscriminator(config.in_size, styles, config.channels)
        return Discriminator(config.in_size, config.channels)

    @torch.no_grad()
    def next_batch(self, step: int) -> Lesson:
        self.step = step
        return self._lesson(self.settings.draws(step))

    def _lesson(self, draws: Draws) -> Lesson:
        s, size = self.settings, self.net.config.out_size
        with arithmetic(s.device, s.dtype):
            scene = self.teacher.scene(draws, s.steps)
            both = torch.cat([scene.photo, scene.target], 1)
            photo, target = moved(both, random_affine(draws, size)).split(3, 1)
            x, whole = near_and_whole(photo, self.net.config.in_size, self.parser)
        offset = draws.shared_integer(size // CROP_SHARE + 1), draws.shared_integer(size // CROP_SHARE + 1)
        return Lesson(x, whole, target, scene.style, scene.style_id, scene.degree, offset, len(x))

    def discriminator_terms(self, b: Lesson) -> dict[str, Tensor]:
        fake, _ = self._fake(b)
        loss = discriminator_loss(self._judge(b.target, b), self._judge(fake.detach(), b))
        return {"loss": self.weights.adv_loss * loss}

    def _fake(self, b: Lesson) -> tuple[Tensor, list[Tensor]]:
        """The drawing and its masks, made once for both phases, with the graph that G's step needs. Of a batch that is
        gone through in parts, whose graphs together would need the memory of the whole, each phase makes its own."""
        if len(b.x) < b.batch:
            return self._draw(b.x, b)
        if self._drawn is None:
            self.trained.requires_grad_(True)
            self._drawn = self._draw(b.x, b)
        return self._drawn

    def generator_terms(self, b: Lesson) -> dict[str, Tensor]:
        fake, masks = self._fake(b)
        self._drawn = None
        w = self.weights
        terms = {"rec": w.grec_loss * F.mse_loss(fake, b.target)}
        if w.adv_loss:
            terms["adv"] = w.adv_loss * generator_loss(self._judge(fake, b))
        if self.perceptual and w.perc_loss:
            both = (F.adaptive_avg_pool2d(image, image.shape[-1] // 2) for image in (fake, b.target))
            terms["perc"] = w.perc_loss * b.batch * self.perceptual(*both).mean()
        if masks and w.msk_loss:
            free = (1 - b.degree.mean()) ** 2 * MOST_MASK + LEAST_MASK
            terms["msk"] = w.msk_loss * sum(F.relu(mask.mean() - free) for mask in masks)
        if (ramp := max(self.step / (self.settings.steps / 2) - 1, 0.0)) and w.tmp_loss:
            terms["tmp"] = ramp * w.tmp_loss * self.crop_term(b, fake)
        return terms

    def crop_term(self, b: Lesson, fake: Tensor) -> Tensor:
        """Eq. 8 without a video: a crop stands for a camera that has moved. Both drawings are taught by it."""
        size = self.net.config.out_size
        side = size - size // CROP_SHARE
        rows, columns = (slice(start, start + side) for start in b.offset)
        crop = halved(b.whole[:, :, rows, columns], halvings(size, self.net.config.in_size))
        again, _ = self._draw(crop, b)
        return F.mse_loss(again, fake[:, :, rows, columns])

    def _draw(self, x: Tensor, b: Lesson) -> tuple[Tensor, list[Tensor]]:
        with arithmetic(self.settings.device, self.settings.dtype):
            image, masks = self.draw(x, b.style, b.degree, return_masks=True)
        return image.float(), [mask.float() for mask in masks]

    def _judge(self, image: Tensor, b: Lesson) -> Tensor:
        small = F.adaptive_avg_pool2d(image, self.net.config.in_size)
        with arithmetic(self.settings.device, self.settings.dtype):
            conditional = isinstance(self.disc, ConditionalDiscriminator)
            return (self.disc(small, b.degree, b.style_id) if conditional else self.disc(small)).float()

    def end_step(self, step: int) -> None:
        self.ema.update(self.trained, step)

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Rows: photo, the teacher's drawing, the student's."""
        b = self._lesson(self.settings.preview_draws())
        with self.ema.standing_in(self.trained):
            drawn, _ = self._draw(b.x, b)
        return grid([list(to_uint8(row)) for row in (b.whole[:, :3], b.target, drawn)])

    def export(self, folder: Path, step: int) -> None:
        with self.ema.standing_in(self.trained):
            self._write(self.net.state_dict(), folder, step)

    def close(self) -> None:
        """Nothing runs beside the steps."""
