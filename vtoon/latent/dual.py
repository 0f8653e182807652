"""A DualStyleGAN ready to draw: faces in the style of one artwork, structure and colours each to its degree
(Yang et al. 2022, "Pastiche Master")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.image import to_uint8
from vtoon.latent.sampler import BATCH_PIXELS, Sampler, sampler_of
from vtoon.latent.sheets import table
from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS, DualStyleGAN
from vtoon.models.style_sampler import NOISE, StyleSampler
from vtoon.painters.engine import pick_device
from vtoon.weights.generators import load_dual, mean_latent

STRUCTURE, COLOUR = 0.75, 1.0  # the published degrees
MOVED = 0.05  # standard deviation of codes of artworks that stand for new ones


@dataclass(frozen=True)
class Artist:
    """A DualStyleGAN, and its generator of faces alone."""

    net: DualStyleGAN
    faces: Sampler

    @property
    def rows(self) -> int:
        return self.faces.rows

    def w_of(self, codes: Tensor) -> Tensor:
        """Z+ [N, L, D] to W+."""
        with torch.no_grad():
            return self.net.generator.zplus2wplus(codes.to(self.faces.device))

    @torch.no_grad()
    def draw(self, intrinsic: Tensor, extrinsic: Tensor, weights: Tensor) -> Tensor:
        """Faces in styles, both W+ [N, L, D]; weights [L] or [N, L] in [0, 1]. Returns [N, 3, size, size]."""
        some = max(BATCH_PIXELS // self.faces.size**2, 1)
        parts = zip(*(x.split(some) for x in (intrinsic, extrinsic, weights.expand(intrinsic.shape[:2]))), strict=True)
        return torch.cat([self.net(*part) for part in parts])

    def pictures(self, intrinsic: Tensor, extrinsic: Tensor, weights: Tensor) -> list[np.ndarray]:
        """The same as uint8 [size, size, 3]."""
        return list(to_uint8(self.draw(intrinsic, extrinsic, weights)))

    def weights(
        self, given: Sequence[float] = (), structure: float | None = None, colour: float | None = None
    ) -> Tensor:
        """[L]: `given` for each row, or the degrees of structure and colour. Raises VtoonError."""
        if given and (structure is not None or colour is not None):
            raise VtoonError("--weight is for each layer, --structure and --color for all of a kind; give one of them")
        if given and len(given) != self.rows:
            raise VtoonError(
                f"--weight has {len(given)} numbers; this generator of {self.faces.size} px takes {self.rows}"
            )
        degrees = (STRUCTURE if structure is None else structure, COLOUR if colour is None else colour)
        rows = list(given) or [degrees[i >= NUM_STRUCTURE_LAYERS] for i in range(self.rows)]
        if not all(0 <= weight <= 1 for weight in rows):
            raise VtoonError("degrees of structure and colour are 0 (the face's) to 1 (the artwork's)")
        return torch.tensor(rows, device=self.faces.device)


def load_artist(path: Path, device: str = "auto") -> Artist:
    """Raises VtoonError where there is no DualStyleGAN."""
    net = load_dual(path).to(pick_device(device))
    return Artist(net, sampler_of(net.generator, mean_latent(net.generator), path))


def with_colours(extrinsic: Tensor, intrinsic: Tensor) -> Tensor:
    """A style with the colour rows of the face: --preserve_color. W+ [N, L, D] each."""
    return torch.cat([extrinsic[:, :NUM_STRUCTURE_LAYERS], intrinsic[:, NUM_STRUCTURE_LAYERS:]], 1)


def degree_sheet(artist: Artist, intrinsic: Tensor, extrinsic: Tensor, steps: int = 5) -> np.ndarray:
    """One face, [1, L, D] each: more of the artwork's structure from row to row, of its colours from left to right."""
    degrees = [i / (steps - 1) for i in range(steps)]
    rows = [
        [artist.pictures(intrinsic, extrinsic, artist.weights(structure=s, colour=c))[0] for c in degrees]
        for s in degrees
    ]
    return table(rows, [f"colour {c:g}" for c in degrees], [f"structure {s:g}" for s in degrees])


@torch.no_grad()
def sampled_codes(
    sampler: StyleSampler, count: int, dice: torch.Generator, fix_structure: bool = False, fix_colour: bool = False
) -> Tensor:
    """New styles, Z+ [N, L, D]; what is fixed is the same for all."""
    draws = [torch.randn(count, NOISE, generator=dice) for _ in range(2)]
    fixed = (fix_structure, fix_colour)
    return sampler(*(noise[:1].expand_as(noise) if same else noise for noise, same in zip(draws, fixed, strict=True)))


def artworks_codes(
    codes: Sequence[Tensor], count: int, dice: torch.Generator, fix_structure: bool = False, fix_colour: bool = False
) -> Tensor:
    """The structure of one artwork with the colours of another, both a little moved; Z+ [N, L, D] of [1, L, D] each."""
    rows = []
    for same in (fix_structure, fix_colour):
        chosen = torch.randint(len(codes), (count,), generator=dice)
        found = torch.cat([codes[int(i)] for i in chosen])
        found = found + MOVED * torch.randn(found.shape, generator=dice)
        rows.append(found[:1].expand_as(found) if same else found)
    return torch.cat([rows[0][:, :NUM_STRUCTURE_LAYERS], rows[1][:, NUM_STRUCTURE_LAYERS:]], 1)
