"""Toonify as the teacher of a VToonify-T: the low layers of a fine-tuned StyleGAN2, the high ones of its parent
(Pinkney & Adler 2020, "Resolution dependent GAN interpolation"; VToonify, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vtoon.models.stylegan2 import Generator
from vtoon.models.vtoonify import BOTTLENECK, VToonify
from vtoon.train.draws import Draws
from vtoon.train.teachers import Scene, Start
from vtoon.train.teachers.faces import STRUCTURE, FaceCodes, student_config
from vtoon.weights.blend import blend, shares_by_layer


def default_weight(num_latents: int) -> list[float]:
    """The fine-tuned model's share of each layer: the published nine of 18, for a smaller generator half as well."""
    return [1.0] * (num_latents // 2) + [0.0] * (num_latents - num_latents // 2)


def blended(finetuned: Generator, base: Generator, weight: Sequence[float]) -> Generator:
    """One generator of both. Raises VtoonError where they are not of one shape, or the weights too few."""
    low, high = finetuned.state_dict(), base.state_dict()
    net = Generator(base.size, base.style_dim, base.mapping_layers, base.channels)
    net.load_state_dict(blend(low, high, shares_by_layer(high, weight)))
    return net.eval().requires_grad_(False).to(base.input.input.device)


class ToonifyTeacher:
    """Photos of `faces` and what `toon`, the blended generator, makes of the same latents."""

    num_styles = 0

    def __init__(self, faces: FaceCodes, toon: Generator) -> None:
        self.faces, self.toon, self.own_code = faces, toon, faces.own_code

    def build(self, in_channels: int) -> VToonify:
        """The student, its generator filled, the rest new."""
        net = VToonify(student_config(self.toon, "toonify", in_channels))
        net.generator.load_state_dict(self.toon.state_dict())
        return net

    def start(self, draws: Draws, steps: int) -> Start:
        w = self.faces.latents(draws)
        feature, skip = next((x, rgb) for x, rgb in self.toon.grow(w) if x.shape[2] == BOTTLENECK)
        return Start(self.faces.photos(w), feature, skip, w, w.new_full((len(w), 1), 1.0))

    def scene(self, draws: Draws, steps: int) -> Scene:
        w = self.faces.latents(draws)
        photo = self.faces.photos(w)
        style = torch.cat([w[:, :STRUCTURE], self.faces.own(photo)[:, STRUCTURE:]], 1)
        target = self.toon(style).float().clamp(-1, 1)
        return Scene(photo, target, style, draws.integers(1), w.new_full((len(w), 1), 1.0))
