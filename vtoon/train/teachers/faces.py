"""Photos of people who do not exist, from a StyleGAN2 trained on photos (VToonify, section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.models.stylegan2 import Generator
from vtoon.models.vtoonify import VToonifyConfig
from vtoon.train.draws import Draws

TRUNCATION = 0.5  # toward 0: photos of w / 2
POSE_ROWS = slice(3, 7)  # of a code, that directions move: pose and expression
STRUCTURE = 7  # rows that shape the face; the rest colour it
ENCODER_SIZE = 256  # px, what the style encoder sees


@dataclass(frozen=True)
class FaceCodes:
    """Photos from latents, and the codes that a style encoder reads off them."""

    generator: Generator
    directions: Tensor | None  # [n, L, D]: each moves the pose or the expression; None: faces as they come
    encoder: nn.Module | None  # photos [N, 3, 256, 256] to Z+ [N, L, D]; None: every face has the average's colours
    average: Tensor  # [D]: the mean latent

    @property
    def own_code(self) -> Tensor | None:
        """[L, D]: what stands for the code of any face where there is no encoder."""
        return None if self.encoder else TRUNCATION * self.average.expand(self.generator.num_latents, -1)

    def latents(self, draws: Draws) -> Tensor:
        """[N, L, D], truncated: one w for all rows, moved along a direction in the rows of the pose."""
        w = self.generator.style(draws.normal(self.average.shape[0])).float()  # in half precision, codes are not
        w = self.generator.to_w_plus(w)
        if self.directions is not None:
            chosen = self.directions[draws.integers(len(self.directions)).to(self.directions.device)]
            w[:, POSE_ROWS] += chosen[:, POSE_ROWS]
        return TRUNCATION * w

    def photos(self, w: Tensor) -> Tensor:
        """[N, 3, S, S] in [-1, 1]."""
        return self.generator(w).float().clamp(-1, 1)

    def own(self, photo: Tensor) -> Tensor:
        """w+ of the faces [N, L, D], as inference reads it off a photo."""
        if self.encoder is None:
            return self.own_code.expand(len(photo), -1, -1)
        return self.generator.zplus2wplus(self.encoder(_for_encoder(photo))).float()

    def jittered(self, w: Tensor, draws: Draws, steps: int) -> Tensor:
        """Over the second half of a training, photos in colours that are no longer the face's own (VToonify, section
        4.3): rows from 7 on move towards those of the step before, so that colours are learned from the style code."""
        share = draws.step / (steps / 2) - 1
        if share <= 0:
            return self.photos(w)
        before = self.latents(draws.before())
        return self.photos(torch.cat([w[:, :STRUCTURE], torch.lerp(w, before, share)[:, STRUCTURE:]], 1))


def _for_encoder(photo: Tensor) -> Tensor:
    if photo.shape[-1] >= ENCODER_SIZE:
        return F.adaptive_avg_pool2d(photo, ENCODER_SIZE)
    return F.interpolate(photo, (ENCODER_SIZE, ENCODER_SIZE), mode="bilinear")


def student_config(generator: Generator, backbone: str, in_channels: int) -> VToonifyConfig:
    """The student of a generator: a quarter of its size in, but for small ones at least 64 px and half the size."""
    size = generator.size
    in_size = max(size // 4, min(64, size // 2))
    return VToonifyConfig(
        backbone=backbone,
        in_size=in_size,
        out_size=size,
        in_channels=in_channels,
        style_dim=generator.style_dim,
        mapping_layers=generator.mapping_layers,
        channels=generator.channels,
    )
