"""VToonify distillation from pairs (VToonify, section 4): photo, style and degree in; the teacher's drawing out.

One page: the batch, the two phases, the losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.image import grid, to_tensor, to_uint8
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.discriminator import PatchDiscriminator
from vtoon.models.face_embedding import FaceEmbedding
from vtoon.models.style_codes import StyleCodes
from vtoon.ops import EqualConv2d, EqualLinear, ModulatedConv2d
from vtoon.train.distributed import rank
from vtoon.train.ema import EMA
from vtoon.train.losses import crop_consistency, discriminator_loss, feature_l1, generator_loss, gradient_l1
from vtoon.train.teacher import PairTeacher, Sample
from vtoon.train.trainer import Phase
from vtoon.video import prefetch
from vtoon.weights.checkpoint import save_checkpoint

EQUALIZED = (EqualLinear, EqualConv2d, ModulatedConv2d, StyleCodes)
MODULATED, UNIT = 5.0, 3.0  # rates of modulated convolutions, and of other equalized layers and codes, over plain ones


@dataclass(frozen=True)
class DistillOptions:
    """Weights of the terms, learning rate, length."""

    steps: int
    batch: int = 8
    lr: float = 1e-3  # of plain convolutions; see parameter_groups
    rec_loss: float = 1.0  # L1
    grad_loss: float = 2.0  # L1 of the differences between neighbours
    perc_loss: float = 0.3  # L1 of face-network features
    tmp_loss: float = 2.0  # crop consistency, over the second half
    adv_loss: float = 0.02
    adv_from: float = 0.5  # fraction of the run after which the discriminator joins
    feat_loss: float = 0.5  # feature matching in the discriminator
    ema: float = 0.998
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """Tensors of one step, all of N samples."""

    x: Tensor  # photo [N, 3, S, S] in [-1, 1]
    target: Tensor  # drawing, the same shape
    look: Tensor  # long [N]
    palette: Tensor  # long [N]
    degree: Tensor  # [N, 1] in [0, 1]
    eye_distance: Tensor  # [N, 1] px

    @classmethod
    def of(cls, samples: list[Sample], device: torch.device) -> Batch:
        photos, drawings = (np.stack(images) for images in zip(*((s.photo, s.drawing) for s in samples), strict=True))
        indices = torch.tensor([(s.look, s.palette) for s in samples], device=device)
        scalars = torch.tensor([(s.degree, s.eye_distance) for s in samples], device=device)
        x, target = to_tensor(photos, device), to_tensor(drawings, device)
        return cls(x, target, indices[:, 0], indices[:, 1], scalars[:, :1], scalars[:, 1:])

    @property
    def style(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.look, self.palette, self.degree, self.eye_distance


class VToonifyDistill:
    """Generator phase: reconstruction, gradient, perceptual, adversarial, temporal. Discriminator phase after it."""

    def __init__(
        self,
        model: BuiltinVToonify,
        teacher: PairTeacher,
        options: DistillOptions,
        perceptual: FaceEmbedding | None = None,
        device: torch.device | str = "cpu",
        provenance: Callable[[int], dict] = lambda step: {"steps": step},
    ) -> None:
        self.options, self.teacher, self.device = options, teacher, torch.device(device)
        self.model = model.to(device).train().requires_grad_(False)
        self.disc = PatchDiscriminator(len(teacher.looks)).to(device).requires_grad_(False)
        self.perceptual = perceptual.to(device).eval() if perceptual else None
        self.ema = EMA(self.model, options.ema)
        betas = (0.9, 0.99)
        g_optim = torch.optim.Adam(parameter_groups(self.model, options.lr), betas=betas)
        d_optim = torch.optim.Adam(self.disc.parameters(), lr=2e-4, betas=(0.5, 0.99))
        self.adv_start = int(options.steps * options.adv_from) if options.adv_loss else options.steps
        self.phases = [
            Phase("G", self.generator_terms, g_optim),
            Phase("D", self.discriminator_terms, d_optim, start=self.adv_start),
        ]
        self.state = {"model": self.model, "disc": self.disc, "ema": self.ema, "g_optim": g_optim, "d_optim": d_optim}
        self.step, self.provenance = 0, provenance
        self._batches, self._fake = None, None

    def next_batch(self, step: int) -> Batch:
        """The batch of a step depends on the seed, the rank and the step alone: a resumed run sees the same."""
        if self._batches is None:
            self._batches = prefetch(map(self._samples, _count(step)), depth=3)
        self._set_lr(step)
        self.step = step
        return Batch.of(next(self._batches), self.device)

    def close(self) -> None:
        """End the thread that makes batches ahead; `next_batch` starts another."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def _samples(self, step: int) -> list[Sample]:
        rng = np.random.default_rng([self.options.seed, rank(), step])
        return [self.teacher.sample(rng) for _ in range(self.options.batch)]

    def _set_lr(self, step: int) -> None:
        """Warm up over 100 steps, then half a cosine down to 2%."""
        o = self.options
        cosine = 0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, step / o.steps)))
        for group in self.phases[0].optimizer.param_groups:
            group["lr"] = group["base_lr"] * min(1.0, (step + 1) / 100) * cosine

    def generator_terms(self, b: Batch) -> dict[str, Tensor]:
        o = self.options
        fake = self.model(b.x, *b.style)
        self._fake = fake.detach()
        terms = {"rec": o.rec_loss * F.l1_loss(fake, b.target), "grad": o.grad_loss * gradient_l1(fake, b.target)}
        if self.perceptual and o.perc_loss:
            features = self.perceptual.features
            with torch.no_grad():
                wanted = features(b.target)
            terms["perc"] = o.perc_loss * feature_l1(features(fake), wanted)
        if self.step >= self.adv_start:
            logits, seen = self.disc(fake, b.look)
            with torch.no_grad():
                _, wanted = self.disc(b.target, b.look)
            terms["adv"] = o.adv_loss * generator_loss(logits)
            terms["feat"] = o.feat_loss * feature_l1(seen, wanted)
        ramp = max(self.step / (o.steps / 2) - 1, 0.0)  # VToonify: zero for half the run, then up to the full weight
        if o.tmp_loss and ramp > 0 and self.step % 2 == 0:
            terms["tmp"] = 2 * o.tmp_loss * ramp * self._crop_term(b, fake)
        return terms

    def _crop_term(self, b: Batch, fake: Tensor) -> Tensor:
        """Any shift, not only multiples of the encoder's stride: that is where a moving head flickers."""
        half = max(1, len(b.x) // 2)
        size = int(b.x.shape[-1] * 0.7) // 8 * 8
        rng = np.random.default_rng([self.options.seed, 7, self.step])
        top, left = rng.integers(0, b.x.shape[-1] - size, 2)
        style = [s[:half] for s in b.style]
        return crop_consistency(lambda x: self.model(x, *style), b.x[:half], fake[:half], size, (int(top), int(left)))

    def discriminator_terms(self, b: Batch) -> dict[str, Tensor]:
        real, _ = self.disc(b.target, b.look)
        fake, _ = self.disc(self._fake, b.look)
        return {"loss": discriminator_loss(real, fake)}

    def end_step(self, step: int) -> None:
        self.ema.update(self.model, step)

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Rows of photo, target, result on fixed samples, one or more for each look."""
        rng = np.random.default_rng(12345)
        samples = [self.teacher.sample(rng, look=i % len(self.teacher.looks), degree=1.0) for i in range(16)]
        b = Batch.of(samples, self.device)
        result = to_uint8(self.ema.module(b.x, *b.style))
        rows = [[s.photo for s in samples], [s.drawing for s in samples], list(result)]
        return np.concatenate([grid([row[:8] for row in rows]), grid([row[8:] for row in rows])])

    def export(self, path: Path, step: int) -> None:
        save_checkpoint(path, self.ema.module, self.provenance(step))


def parameter_groups(model: BuiltinVToonify, lr: float) -> list[dict]:
    """Adam's groups. Adam moves every weight by about its rate, so that a like relative change of a weight takes a rate
    in proportion to its size: about 0.05 in plain convolutions, 1 in equalized layers and codes."""
    sized = {id(p): MODULATED for m in model.modules() if isinstance(m, ModulatedConv2d) for p in [m.weight]}
    unit = [p for m in model.modules() if isinstance(m, EQUALIZED) for p in m.parameters(recurse=False)]
    sized |= {id(p): UNIT for p in unit if id(p) not in sized}
    groups: dict[float, list] = {}
    for p in model.parameters():
        groups.setdefault(sized.get(id(p), 1.0), []).append(p)
    return [{"params": ps, "lr": lr * size, "base_lr": lr * size} for size, ps in groups.items()]


def _count(step: int):
    while True:
        yield step
        step += 1
