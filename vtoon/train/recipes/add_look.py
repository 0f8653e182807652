"""One more look for a trained built-in model: its code, colour matrix and detail, which begin as a mixture of known
looks, learn its drawings. All else is not touched, so that every other look draws what it drew, bit by bit.

How it reshapes a face comes with the model's `traits`, or stays that of the mixture.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtoon.image import grid, to_uint8
from vtoon.models.builtin import BuiltinVToonify
from vtoon.train.batches import Batches
from vtoon.train.recipes.distill import GROUND, MODEL_FILE, Batch, Distill, DistillOptions
from vtoon.train.trainer import Phase
from vtoon.weights.checkpoint import save_checkpoint

CODE = 12.0  # rate of the code over a plain convolution's


def with_look(start: BuiltinVToonify, look: str, like: Mapping[str, float]) -> BuiltinVToonify:
    """A model that draws one more look, the last; `like`: shares of known ones, whose sum is 1, to begin with."""
    names = start.codes.names
    model = start.of_looks([*names, look])
    shares = torch.tensor([like.get(name, 0.0) for name in names])
    with torch.no_grad():
        for values in _own(model):
            values[-1] = torch.tensordot(shares, values[:-1], 1)
        for values in (model.face.fields.weight, model.face.fields.bias):
            values[-2:] = torch.tensordot(shares, values[:-2].unflatten(0, (-1, 2)), 1)
    return model


def _own(model: BuiltinVToonify) -> tuple[Tensor, Tensor, Tensor]:
    """What each look has for itself, a row each."""
    return model.codes.looks, model.grounds, model.details


class AddLook(Distill):
    """The teacher knows the new look alone."""

    def __init__(
        self,
        start: BuiltinVToonify,
        look: str,
        like: Mapping[str, float],
        batches: Batches,
        options: DistillOptions,
        perceptual: torch.nn.Module | None = None,
        provenance=lambda step: {"steps": step},
        share: float = 1.0,
    ) -> None:
        model, teacher = with_look(start, look, like), batches.teacher
        self.share, self.begun = share, [values[-1].detach().clone() for values in _own(model)]
        reach = start.codes.tone_range.clone()
        options = replace(options, adv_loss=0.0)
        super().__init__(model, teacher, options, perceptual, batches.device, provenance, batches.make)
        for each in (self.model, self.ema.module):
            each.codes.tone_range.copy_(reach)  # of the faces that all looks have learned from
        self.index = len(start.codes.names)
        rate = lambda params, size: {"params": params, "lr": options.lr * size, "base_lr": options.lr * size}  # noqa: E731
        own = [rate([model.codes.looks], CODE), rate([model.grounds, model.details], GROUND)]
        g_optim = torch.optim.Adam(own, betas=(0.9, 0.99))
        self.phases = [Phase("G", self.generator_terms, g_optim)]
        self.state = {"model": self.model, "ema": self.ema, "g_optim": g_optim}
        self.about |= {"recipe": "AddLook", "like": str(dict(like))}

    def _draw(self, x: Tensor, parts: Tensor, look: Tensor, *rest: Tensor) -> Tensor:
        return super()._draw(x, parts, torch.full_like(look, self.index), *rest)

    def export(self, folder: Path, step: int) -> None:
        """L1 takes the edges of strokes for noise: `share` of the way from the mixture keeps them, and the tone."""
        model = copy.deepcopy(self.ema.module)
        with torch.no_grad():
            for values, begun in zip(_own(model), self.begun, strict=True):
                values[-1] = torch.lerp(begun, values[-1], self.share)
        save_checkpoint(folder / MODEL_FILE, model, self.provenance(step))

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Rows of photo, target, result on fixed samples."""
        rng = np.random.default_rng(12345)
        pairs = [self.teacher.pair(rng, look=0) for _ in range(8)]
        b = Batch.of(pairs, [self.teacher.face_sample(rng)], self.device)
        x, parts, look, *rest = b.drawn
        result = to_uint8(self.ema.module.draw(x, parts, torch.full_like(look, self.index), *rest))
        return grid([[p.photo for p in pairs], [p.drawing for p in pairs], list(result)])
