"""Stages I and II of DualStyleGAN's training: transfer on photos, so that the extrinsic path starts from what g can do
already (Yang et al. 2022, "Pastiche Master", section 3.3).

One page. Colours need nothing taught: T_s begins as the identity (stage I). Of two random faces z1, z2,

    G minimises  a L_adv + L_perc(G(z1, e, 1), g(z_l))       (eq. 3)

where z_l has the first l rows of z1 and the others of z2, so that the ModRes blocks learn to do from outside what the
rows from l on do inside; l is 5, or falls from 7 to 5 as the paper describes. The style e is z2, and in one of
`subspace_every` steps the code of g(z2) that the style encoder tells: both are to be understood. L_perc: L1 of VGG19's
features. The rest of the game: `vtoon.train.recipes.dual`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS
from vtoon.train.draws import Draws
from vtoon.train.recipes.dual import DualLesson, DualTraining
from vtoon.weights.vgg19 import Sight

LEVELS = (0.5, 0.5, 0.5)  # of VGG19's five; the published two last weigh nothing
INJECT = 5  # row l
JITTER = 0.1  # of a code's rows, where no encoder tells one
Encode = Callable[[Tensor], Tensor]  # pictures [N, 3, S, S] in [-1, 1] -> codes in W+ [N, L, D]


def perceptual_l1(drawn: Sequence[Tensor], meant: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Weighted L1 of features (Johnson et al. 2016, with the absolute difference); the second are not taught."""
    pairs = zip(drawn, meant, weights, strict=True)
    return torch.stack([weight * F.l1_loss(a, b.detach()) for a, b, weight in pairs if weight]).sum()


def inject_at(step: int, steps: int, first: int, last: int) -> int:
    """Row l of a step: from `first` down to `last` in equal parts of the training."""
    return first - min(step * (first - last + 1) // max(steps, 1), first - last)


class DualPretrain(DualTraining):
    """D, D_r1, G, G_path."""

    def __init__(
        self, *args: Any, sight: Sight, encode: Encode | None, steps: int, inject: tuple[int, int] = (INJECT, INJECT),
        **more: Any,
    ) -> None:  # fmt: skip
        """`encode`: the style encoder (None: a code's rows are spread a little instead); `inject`: l at the start and
        at the end of `steps`."""
        self.sight, self.encode, self.steps, self.inject = sight, encode, steps, inject
        told = {"perceptual": sight.name, "encoder": str(encode is not None), "inject": f"{inject[0]} to {inject[1]}"}
        told |= {"steps": str(steps)} if inject[0] != inject[1] else {}
        super().__init__(*args, about=told | more.pop("about", {}), **more)

    def codes(self, draws: Draws, step: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        g, dim = self.net.generator, self.net.generator.style_dim
        z1, z2 = draws.normal(dim), draws.normal(dim)
        w1, w2 = g.to_w_plus(g.style(z1)), g.to_w_plus(g.style(z2))
        if step % self.options.subspace_every:
            return w1, w2
        if self.encode is not None:
            return w1, self.encode(self.plain(w2, self._noise(draws)))
        return w1, g.zplus2wplus(z2[:, None] + JITTER * draws.normal(g.num_latents, dim))

    def aims(self, lesson: DualLesson, step: int) -> dict[str, Tensor | None]:
        first = inject_at(step, self.steps, *self.inject)
        w = torch.cat([lesson.intrinsic[:, :first], lesson.extrinsic[:, first:]], 1)
        return {"meant": self.plain(w, lesson.noise)}

    def added_terms(self, drawn: Tensor, b: DualLesson) -> dict[str, Tensor]:
        with torch.no_grad():
            meant = self.sight.features(b.meant)
        return {"perc": perceptual_l1(self.sight.features(drawn), meant, LEVELS)}

    def shown(self) -> tuple[Tensor, Tensor, Tensor]:
        n, last = self.options.samples, self.inject[1]
        intrinsic, extrinsic = self.faces_shown(n), self.faces_shown(n, 1000)
        meant = torch.cat([intrinsic[:, :last], extrinsic[:, last:]], 1)
        g = self.net.generator
        noise = tuple(getattr(g.noises, f"noise_{i}") for i in range(g.num_latents - 1))
        return intrinsic, extrinsic, torch.cat([self.plain(w[None], noise) for w in meant])


def check_inject(first: int, last: int) -> bool:
    """Whether these rows can be l."""
    return 1 <= last <= first <= NUM_STRUCTURE_LAYERS
