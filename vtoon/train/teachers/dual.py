"""DualStyleGAN as the teacher of a VToonify-D: any exemplar, any degree (VToonify, section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS, DualStyleGAN
from vtoon.models.vtoonify import BOTTLENECK, VToonify
from vtoon.train.draws import Draws
from vtoon.train.teachers import Scene, Start
from vtoon.train.teachers.faces import FaceCodes, student_config

DEGREES = 6  # 0, 0.2, ... 1


@dataclass(frozen=True)
class DualOptions:
    """What is fixed: the student then draws nothing else, but that better."""

    style_id: int | None = None
    degree: float | None = None
    fix_color: bool = False  # drawings keep the colours of the face, never the exemplar's


class DualTeacher:
    """Photos of `faces`, drawn as the artworks of `styles` by `dual`."""

    def __init__(self, faces: FaceCodes, dual: DualStyleGAN, styles: Tensor, options: DualOptions) -> None:
        """styles: extrinsic codes in Z+, [K, L, D]; faces.generator is dual.generator."""
        self.faces, self.dual, self.options = faces, dual, options
        with torch.no_grad():
            self.styles = dual.generator.zplus2wplus(styles)
        self.num_styles, self.own_code = len(styles), faces.own_code

    def build(self, in_channels: int) -> VToonify:
        """The student, its generator and ModRes blocks filled, the rest new."""
        net = VToonify(student_config(self.dual.generator, "dualstylegan", in_channels))
        net.generator.load_state_dict(self.dual.state_dict())
        for block, taught in zip(net.res, self.dual.res[:NUM_STRUCTURE_LAYERS], strict=True):
            block.load_state_dict(taught.state_dict())
        return net

    def start(self, draws: Draws, steps: int) -> Start:
        """Photos alone for a quarter of the training (degree 0), then every degree."""
        w, ids = self.faces.latents(draws), self._ids(draws)
        degree, style = draws.shared() if draws.step > steps / 4 else 0.0, self.styles[ids]
        weights = torch.full((w.shape[1],), degree, device=w.device)
        grown = self.dual.grow(w, style, weights)
        feature, skip = next((x, rgb) for x, rgb in grown if x.shape[2] == BOTTLENECK)
        return Start(self.faces.photos(w), feature, skip, style, w.new_full((len(w), 1), degree))

    def scene(self, draws: Draws, steps: int) -> Scene:
        w, ids = self.faces.latents(draws), self._ids(draws)
        degree = draws.shared_integer(DEGREES) / (DEGREES - 1)
        degree = degree if self.options.degree is None else self.options.degree
        photo = self.faces.photos(w)
        style = self._mixed(self.styles[ids], photo)
        target = self.drawn(w, style, degree)
        if not self.options.fix_color and self.options.style_id is None:
            photo = self.faces.jittered(w, draws, steps)
        return Scene(photo, target, style, ids, w.new_full((len(w), 1), degree))

    def drawn(self, w: Tensor, style: Tensor, degree: float) -> Tensor:
        """[N, 3, S, S] in [-1, 1]: structure by the degree, colours by `style` or, when they are kept, the face's."""
        weights = w.new_full((w.shape[1],), 0.0 if self.options.fix_color else 1.0)
        weights[:NUM_STRUCTURE_LAYERS] = degree
        return self.dual(w, style, weights).float().clamp(-1, 1)

    def _ids(self, draws: Draws) -> Tensor:
        ids = draws.integers(self.num_styles)
        return ids if self.options.style_id is None else torch.full_like(ids, self.options.style_id)

    def _mixed(self, style: Tensor, photo: Tensor) -> Tensor:
        """Structure of the exemplar, colours of the face, unless one style is learned colours and all."""
        if not self.options.fix_color and self.options.style_id is not None:
            return style
        return torch.cat([style[:, :NUM_STRUCTURE_LAYERS], self.faces.own(photo)[:, NUM_STRUCTURE_LAYERS:]], 1)
