"""Style codes brought nearer to their artworks (Yang et al. 2022, "Pastiche Master", supplement)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.latent.dual import Artist
from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS
from vtoon.ops.appearance import contextual_loss
from vtoon.ops.inversion import noise_regularize, normalize_noise_
from vtoon.weights.perceptual import Likeness
from vtoon.weights.vgg19 import Sight, reduced

CX_LEVEL = 2  # of the features that the contextual loss compares


@dataclass(frozen=True)
class Refinement:
    """The published settings of refine_exstyle.py."""

    steps: int = 100
    lr_color: float = 0.01
    lr_structure: float = 0.005
    lr_noise: float = 0.1
    noise_regularize: float = 1e5

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 10**6 or not all(0 <= lr < 10 for lr in (self.lr_color, self.lr_structure)):
            raise VtoonError(
                f"iter is {self.steps}, lr_color {self.lr_color:g}, lr_structure {self.lr_structure:g}; iter must be "
                "1 or more, the others 0 to 10"
            )


def refine(
    artist: Artist,
    artworks: Tensor,
    extrinsic: Tensor,
    intrinsic: Tensor,
    options: Refinement,
    likeness: Likeness,
    sight: Sight,
    watch: Callable[[int], None] = lambda step: None,
) -> Tensor:
    """Extrinsic codes with which the faces `intrinsic` become the artworks [N, 3, S, S]; codes in Z+ [N, L, D].

    Lowered are the perceptual distance, the contextual loss and what noise maps could hide (supplement, section 2).
    """
    g = artist.net.generator
    structure, colour = (
        part.clone().requires_grad_(True)
        for part in (extrinsic[:, :NUM_STRUCTURE_LAYERS], extrinsic[:, NUM_STRUCTURE_LAYERS:])
    )
    maps = [
        getattr(g.noises, f"noise_{i}").repeat(len(artworks), 1, 1, 1).requires_grad_(True)
        for i in range(artist.rows - 1)
    ]
    groups = ((colour, options.lr_color), (structure, options.lr_structure))
    optimizer = torch.optim.Adam(
        [{"params": [part], "lr": lr} for part, lr in groups] + [{"params": maps, "lr": options.lr_noise}]
    )
    with torch.no_grad():
        faces = g.zplus2wplus(intrinsic)
        seen = reduced(artworks)
        wanted, meant = likeness.features(seen), sight.features(seen)[CX_LEVEL].split(1)
    ones = faces.new_ones(artist.rows)
    for step in range(options.steps):
        watch(step)
        drawn = reduced(artist.net(faces, g.zplus2wplus(torch.cat([structure, colour], 1)), ones, maps))
        loss = likeness.distance(likeness.features(drawn), wanted).sum()
        pairs = zip(sight.features(drawn)[CX_LEVEL].split(1), meant, strict=True)
        loss = loss + sum(contextual_loss(a, b) for a, b in pairs)
        loss = loss + options.noise_regularize * noise_regularize(maps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        normalize_noise_(maps)
    return torch.cat([structure, colour], 1).detach()
