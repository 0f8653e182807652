"""Distillation of a teacher's drawings into the built-in model (VToonify, section 4).

One page: the batch, the phases (drawing, its discriminator, the whole face), the losses.
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
from vtoon.models.face_net import PARTS, POOL
from vtoon.models.style_codes import StyleCodes
from vtoon.ops import EqualConv2d, EqualLinear, ModulatedConv2d, arithmetic, channels_last_
from vtoon.system.stream import prefetch
from vtoon.train.distributed import rank
from vtoon.train.ema import EMA
from vtoon.train.losses import crop_consistency, discriminator_loss, feature_l1, generator_loss, gradient_l1
from vtoon.train.teacher import FaceSample, Pair, PairTeacher
from vtoon.train.trainer import Phase
from vtoon.weights.checkpoint import save_checkpoint

MODEL_FILE = "model.safetensors"  # in the run's folder
EQUALIZED = (EqualLinear, EqualConv2d, ModulatedConv2d, StyleCodes)
FIELD_WEIGHT = 20.0  # fields are a few hundredths of the distance between the eyes
FEATURES = [PARTS.index(name) for name in ("eyes", "mouth", "drawn")]
FOCUS = 4.0  # how much more their pixels count
# Of drawings by hand, whose lines lie beside the photo's, L1 would make a mean without lines: there it counts less, the
# discriminator more (at 20 it speckles the skin).
LOOSE_REC, LOOSE_GRAD, LOOSE_ADV = 0.5, 0.15, 6.0
GROUND = 8.0  # of the looks' colour matrices
MODULATED, UNIT = 5.0, 3.0  # rates of modulated convolutions, and of other equalized layers and codes, over plain ones


@dataclass(frozen=True)
class DistillOptions:
    """Weights of the terms, learning rate, length."""

    steps: int
    batch: int = 8
    lr: float = 4e-4  # of plain convolutions; see parameter_groups
    rec_loss: float = 1.0  # L1
    grad_loss: float = 2.0  # L1 of the differences between neighbours
    perc_loss: float = 0.3  # L1 of face-network features
    tmp_loss: float = 2.0  # crop consistency, over the second half
    adv_loss: float = 0.1
    adv_from: float = 0.5  # fraction of the run after which the discriminator joins
    feat_loss: float = 5.0  # feature matching in the discriminator
    ema: float = 0.998
    seed: int = 0
    dtype: torch.dtype = torch.float32  # of the drawing network and its discriminator; weights and losses stay fp32


@dataclass(frozen=True)
class Batch:
    """Tensors of one step: N pairs for the drawing, M whole faces. Images are RGB in [-1, 1], parts in [0, 1]."""

    x: Tensor  # photo in the drawing's shape [N, 3, S, S]
    target: Tensor  # drawing, the same shape
    parts: Tensor  # [N, 8, S / 4, S / 4]
    look: Tensor  # long [N]
    eye_distance: Tensor  # [N, 1] px
    tones: Tensor  # [N, 7]
    exact: Tensor  # [N, 1, 1, 1], 1 or 0
    faces: Tensor  # [M, 3, s, s], a quarter of a photo's size
    face_parts: Tensor  # [M, 8, s, s]
    fields: Tensor  # [M, looks, 2, s / 2, s / 2], eye distances
    face_eyes: Tensor  # [M, 1] px

    @classmethod
    def of(cls, pairs: list[Pair], faces: list[FaceSample], device: torch.device) -> Batch:
        column = lambda samples: torch.tensor([[s.eye_distance] for s in samples], device=device)  # noqa: E731
        return cls(
            x=to_tensor(np.stack([p.photo for p in pairs]), device),
            target=to_tensor(np.stack([p.drawing for p in pairs]), device),
            parts=_masks([p.parts for p in pairs], device),
            look=torch.tensor([p.look for p in pairs], device=device),
            eye_distance=column(pairs),
            tones=torch.stack([p.tones for p in pairs]).to(device),
            exact=torch.tensor([p.exact for p in pairs], device=device).float()[:, None, None, None],
            faces=to_tensor(np.stack([f.photo for f in faces]), device),
            face_parts=_masks([f.parts for f in faces], device),
            fields=torch.from_numpy(np.stack([f.fields for f in faces])).to(device),
            face_eyes=column(faces),
        )

    @property
    def drawn(self) -> tuple[Tensor, ...]:
        """What `BuiltinVToonify.draw` takes."""
        return self.x, self.parts, self.look, self.eye_distance, self.tones

    @property
    def focus(self) -> Tensor:
        """Weight of each pixel [N, 1, S, S]: a face is told by its eyes and mouth, which are a twentieth of it."""
        features = self.parts[:, FEATURES].sum(1, keepdim=True).clamp(max=1)
        return 1 + FOCUS * F.interpolate(features, scale_factor=POOL, mode="bilinear")


def _masks(parts: list[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(parts)).to(device).permute(0, 3, 1, 2).float() / 255


class Distill:
    """G: reconstruction, gradient, perceptual, adversarial, temporal. D: its discriminator. F: the whole face."""

    def __init__(
        self,
        model: BuiltinVToonify,
        teacher: PairTeacher,
        options: DistillOptions,
        perceptual: FaceEmbedding | None = None,
        device: torch.device | str = "cpu",
        provenance: Callable[[int], dict] = lambda step: {"steps": step},
        make_batch: Callable[[int], Batch] | None = None,
    ) -> None:
        """`make_batch`: the batch of a step, where the device makes it; else the teacher's samples, made ahead."""
        self.options, self.teacher, self.device = options, teacher, torch.device(device)
        self.model = channels_last_(model.to(device).train().requires_grad_(False))
        self.model.codes.tone_range.copy_(teacher.tone_range)
        self.disc = PatchDiscriminator(len(teacher.looks)).to(device).requires_grad_(False)
        self.perceptual = perceptual.to(device).eval() if perceptual else None
        self.ema = EMA(self.model, options.ema)
        betas = (0.9, 0.99)
        g_optim = torch.optim.Adam(parameter_groups(self.model, options.lr), betas=betas)
        d_optim = torch.optim.Adam(self.disc.parameters(), lr=4e-4, betas=(0.5, 0.99))
        face = {"params": list(self.model.face.parameters()), "lr": options.lr, "base_lr": options.lr}
        f_optim = torch.optim.Adam([face], betas=betas)
        self.adv_start = int(options.steps * options.adv_from) if options.adv_loss else options.steps
        self.phases = [
            Phase("G", self.generator_terms, g_optim),
            Phase("D", self.discriminator_terms, d_optim, start=self.adv_start),
            Phase("F", self.face_terms, f_optim),
        ]
        self.state = {"model": self.model, "disc": self.disc, "ema": self.ema}
        self.state |= {"g_optim": g_optim, "d_optim": d_optim, "f_optim": f_optim}
        names = {"looks": ", ".join(teacher.looks), "palettes": ", ".join(model.palettes.names)}
        self.about = {"recipe": "Distill"} | names | teacher.sources
        self.step, self.provenance, self.make_batch = 0, provenance, make_batch
        self._batches, self._fake = None, None

    def next_batch(self, step: int) -> Batch:
        """The batch of a step depends on the seed, the rank and the step alone: a resumed run sees the same."""
        self._set_lr(step)
        self.step = step
        if self.make_batch:
            return self.make_batch(step)
        if self._batches is None:
            self._batches = prefetch(map(self._samples, _count(step)), depth=3)
        return Batch.of(*next(self._batches), self.device)

    def close(self) -> None:
        """End the thread that makes batches ahead; `next_batch` starts another."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def _samples(self, step: int) -> tuple[list[Pair], list[FaceSample]]:
        rng = np.random.default_rng([self.options.seed, rank(), step])
        count = range(self.options.batch)
        return [self.teacher.pair(rng) for _ in count], [self.teacher.face_sample(rng) for _ in count]

    def _set_lr(self, step: int) -> None:
        """Warm up over 100 steps, then half a cosine down to 2%."""
        o = self.options
        cosine = 0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, step / o.steps)))
        for group in [g for phase in self.phases for g in phase.optimizer.param_groups if "base_lr" in g]:
            group["lr"] = group["base_lr"] * min(1.0, (step + 1) / 100) * cosine

    def generator_terms(self, b: Batch) -> dict[str, Tensor]:
        o = self.options
        fake = self._draw(*b.drawn)
        self._fake = fake.detach()
        weight = b.focus * (LOOSE_REC + (1 - LOOSE_REC) * b.exact)
        terms = {"rec": o.rec_loss * F.l1_loss(fake * weight, b.target * weight)}
        weight = b.focus * (LOOSE_GRAD + (1 - LOOSE_GRAD) * b.exact)
        terms["grad"] = o.grad_loss * gradient_l1(fake * weight, b.target * weight)
        if self.perceptual and o.perc_loss:
            with torch.no_grad():
                wanted = self._features(b.target)
            terms["perc"] = o.perc_loss * feature_l1(self._features(fake), wanted)
        if self.step >= self.adv_start:
            logits, seen = self._judge(fake, b.look)
            with torch.no_grad():
                _, wanted = self._judge(b.target, b.look)
            weight = LOOSE_ADV + (1 - LOOSE_ADV) * b.exact
            terms["adv"] = o.adv_loss * generator_loss(logits, weight)
            terms["feat"] = o.feat_loss * feature_l1(seen, wanted)
        ramp = max(self.step / (o.steps / 2) - 1, 0.0)  # VToonify: zero for half the run, then up to the full weight
        if o.tmp_loss and ramp > 0 and self.step % 2 == 0:
            terms["tmp"] = 2 * o.tmp_loss * ramp * self._crop_term(b, fake)
        return terms

    def _crop_term(self, b: Batch, fake: Tensor) -> Tensor:
        """Shifts by multiples of 4 px, not of the encoder's stride alone: that is where a moving head flickers."""
        half = max(1, len(b.x) // 2)
        size = int(b.x.shape[-1] * 0.7) // 8 * 8
        rng = np.random.default_rng([self.options.seed, 7, self.step])
        top, left = rng.integers(0, b.x.shape[-1] - size, 2)
        top, left = (int(v) // POOL * POOL for v in (top, left))
        draw = lambda both: self._draw(both[:, :3], F.avg_pool2d(both[:, 3:], POOL), *own)  # noqa: E731
        x = torch.cat([b.x, F.interpolate(b.parts, scale_factor=POOL)], 1)[:half]
        own = [t[:half] for t in b.drawn[2:]]
        return crop_consistency(draw, x, fake[:half], size, (top, left))

    def discriminator_terms(self, b: Batch) -> dict[str, Tensor]:
        real, _ = self._judge(b.target, b.look)
        fake, _ = self._judge(self._fake, b.look)
        return {"loss": discriminator_loss(real, fake)}

    def _draw(self, *drawn: Tensor) -> Tensor:
        return self.model.draw(*drawn, dtype=self.options.dtype)

    def _features(self, x: Tensor) -> list[Tensor]:
        with arithmetic(self.device, self.options.dtype):
            return [f.float() for f in self.perceptual.features(x)]

    def _judge(self, x: Tensor, look: Tensor) -> tuple[Tensor, list[Tensor]]:
        with arithmetic(self.device, self.options.dtype):
            logits, features = self.disc(x, look)
        return logits.float(), [f.float() for f in features]

    def face_terms(self, b: Batch) -> dict[str, Tensor]:
        fields, parts = self.model.face(b.faces, b.face_eyes)
        part = F.binary_cross_entropy_with_logits(parts, b.face_parts)
        return {"field": FIELD_WEIGHT * F.l1_loss(fields, b.fields), "parts": part}

    def end_step(self, step: int) -> None:
        self.ema.update(self.model, step)

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Rows of photo, target, result on fixed samples, one or more for each look."""
        rng = np.random.default_rng(12345)
        pairs = [self.teacher.pair(rng, look=i % len(self.teacher.looks)) for i in range(16)]
        b = Batch.of(pairs, [self.teacher.face_sample(rng)], self.device)
        result = to_uint8(self.ema.module.draw(*b.drawn))
        rows = [[p.photo for p in pairs], [p.drawing for p in pairs], list(result)]
        return np.concatenate([grid([row[:8] for row in rows]), grid([row[8:] for row in rows])])

    def export(self, folder: Path, step: int) -> None:
        save_checkpoint(folder / MODEL_FILE, self.ema.module, self.provenance(step))


def parameter_groups(model: BuiltinVToonify, lr: float) -> list[dict]:
    """Adam's groups. Adam moves every weight by about its rate, so that a like relative change of a weight takes a rate
    in proportion to its size: about 0.05 in plain convolutions, 1 in equalized layers and codes."""
    modulated = [m for m in model.modules() if isinstance(m, ModulatedConv2d)]
    sized = {id(p): MODULATED for m in modulated for p in m.parameters(recurse=False)}
    unit = [p for m in model.modules() if isinstance(m, EQUALIZED) for p in m.parameters(recurse=False)]
    sized |= {id(p): UNIT for p in unit if id(p) not in sized}
    groups: dict[float, list] = {}
    for p in (*model.net.parameters(), *model.codes.parameters()):
        groups.setdefault(sized.get(id(p), 1.0), []).append(p)
    groups[GROUND] = [model.grounds, model.details]
    return [{"params": ps, "lr": lr * size, "base_lr": lr * size} for size, ps in groups.items()]


def _count(step: int):
    while True:
        yield step
        step += 1
