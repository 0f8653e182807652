"""Stage III of DualStyleGAN's training: transfer to artworks, each with its own style (Yang et al. 2022, "Pastiche
Master", section 3.3).

One page. S is an artwork, e its extrinsic code (of the artwork), i its intrinsic one (of the face in it, destylized).
Faces are in turn the artwork's own, i, with other colours, and random ones z. G minimises the adversarial term and

    perc   |VGG(G(i, e)) - VGG(S)|: the artwork again, where the face is its own      (eq. 4)
    cx     contextual loss of G and S: its parts, wherever they lie                   (eq. 5)
    style  MSE of the channels' means: its colours and texture in sum (eq. 5 has the features' moments)
    id     1 - cosine of the face embeddings of G(z, e) and g(z): still this person   (eq. 6)
    l2     sum of the norms of the weights of `res`: structure changes no more than it must   (eq. 6)

each by its weight. The rest of the game: `vtoon.train.recipes.dual`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.errors import VtoonError
from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS
from vtoon.ops.appearance import channel_mean_loss, contextual_loss
from vtoon.train.dataset import Dataset
from vtoon.train.draws import Draws
from vtoon.train.recipes.dual import DualLesson, DualTraining
from vtoon.train.recipes.dual_pretrain import perceptual_l1
from vtoon.weights.vgg19 import Sight

LEVELS = (0.0, 0.5, 1.0)  # of VGG19's features in `perc`
STYLE_LEVELS, CX_LEVEL = (1, 2), 2
JITTER = 0.1  # of the extrinsic code
Embed = Callable[[Tensor], Tensor]  # pictures [N, 3, S, S] in [-1, 1] -> [N, D]


@dataclass(frozen=True)
class DualWeights:
    """Of the terms. 0 leaves one out."""

    style_loss: float = 0.25
    CX_loss: float = 0.25
    perc_loss: float = 1.0
    id_loss: float = 1.0
    L2_reg_loss: float = 0.01


@dataclass(frozen=True)
class Artworks:
    """Codes in Z+, [K, L, D] each, in the order of a data set's pictures."""

    extrinsic: Tensor
    intrinsic: Tensor


def artworks_of(data: Dataset, extrinsic: dict[str, Tensor], intrinsic: dict[str, Tensor]) -> Artworks:
    """Raises VtoonError where a picture has no code."""
    for codes, name in ((extrinsic, "exstyle_code.npy"), (intrinsic, "instyle_code.npy")):
        if missing := [picture for picture in data.names if picture not in codes]:
            more = f" and {len(missing) - 1} more" if missing[1:] else ""
            raise VtoonError(f"{name} has no code of {missing[0]}{more}; vtoon dual destylize makes them")
    return Artworks(*(torch.cat([codes[name] for name in data.names]) for codes in (extrinsic, intrinsic)))


class DualFinetune(DualTraining):
    """D, D_r1, G, G_path."""

    def __init__(
        self, *args: Any, art: Artworks, weights: DualWeights, sight: Sight, embed: Embed | None, **more: Any
    ) -> None:
        """`embed`: of aligned pictures; None leaves `id` out."""
        self.art, self.weights, self.sight, self.embed = art, weights, sight, embed
        told = {"perceptual": sight.name} | {name: str(value) for name, value in vars(weights).items()}
        super().__init__(*args, about=told | more.pop("about", {}), **more)
        self.art = Artworks(*(codes.to(self.options.device) for codes in vars(art).values()))

    def paired(self, step: int) -> bool:
        """Whether a step's faces are the artworks' own."""
        return step % self.options.subspace_every != 0

    def codes(self, draws: Draws, step: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        g, chosen = self.net.generator, chosen.to(self.options.device)
        rows, dim = g.num_latents, g.style_dim
        extrinsic = self.art.extrinsic[chosen] + JITTER * draws.normal(rows, dim)
        other, z = draws.normal(rows, dim), draws.normal(dim)
        if self.paired(step):
            first = NUM_STRUCTURE_LAYERS + 1
            intrinsic = torch.cat([self.art.intrinsic[chosen][:, :first], other[:, first:]], 1)
        else:
            intrinsic = z[:, None].expand(-1, rows, -1)
        return g.zplus2wplus(intrinsic), g.zplus2wplus(extrinsic)

    def aims(self, lesson: DualLesson, step: int) -> dict[str, Tensor | None]:
        face = self.plain(lesson.intrinsic, lesson.noise) if self.embed and self.weights.id_loss else None
        return {"meant": lesson.real if self.paired(step) else None, "face": face}

    def added_terms(self, drawn: Tensor, b: DualLesson) -> dict[str, Tensor]:
        w = self.weights
        with torch.no_grad():
            meant = self.sight.features(b.real)
        seen = self.sight.features(drawn)
        terms = {
            "cx": w.CX_loss * contextual_loss(seen[CX_LEVEL], meant[CX_LEVEL]),
            "style": w.style_loss * sum(channel_mean_loss(seen[i], meant[i]) for i in STYLE_LEVELS),
            "l2": w.L2_reg_loss * weight_norms(self.net.res),
        }
        if b.meant is not None:
            terms["perc"] = w.perc_loss * perceptual_l1(seen, meant, LEVELS)
        if b.face is not None:
            with torch.no_grad():
                person = self.embed(b.face)
            terms["id"] = w.id_loss * (1 - F.cosine_similarity(self.embed(drawn), person)).mean()
        return terms

    def shown(self) -> tuple[Tensor, Tensor, Tensor]:
        g, n = self.net.generator, self.options.samples
        chosen = torch.arange(n) % len(self.data)
        pictures = self.data.batch(chosen, -1).permute(0, 3, 1, 2).float() / 127.5 - 1
        return self.faces_shown(n), g.zplus2wplus(self.art.extrinsic[chosen.to(self.options.device)]), pictures


def weight_norms(part: nn.Module) -> Tensor:
    """Sum of the L2 norms of all weights, one number."""
    return torch.stack([p.norm() for p in part.parameters()]).sum()
