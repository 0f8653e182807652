"""Style mixing: one face with rows of another's style code (Karras et al. 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vtoon.latent.sampler import Sampler
from vtoon.latent.sheets import table


def mixed(base: Tensor, other: Tensor, rows: Sequence[int]) -> Tensor:
    """w+ [L, D] of `base` with `rows` of `other`."""
    code = base.clone()
    code[list(rows)] = other[list(rows)]
    return code


def mixing_table(
    sampler: Sampler, down: Tensor, across: Tensor, rows: Sequence[int], names: tuple[Sequence[str], Sequence[str]]
) -> np.ndarray:
    """A sheet: the faces of `down` [R, L, D] at the left, of `across` [C, L, D] above, and in the middle each of the
    first with `rows` of each of the second. `names`: of both, for the margins."""
    codes = [mixed(base, other, rows) for base in down for other in across]
    pictures = sampler.pictures(torch.stack([*across, *down, *codes]))
    top, pictures = pictures[: len(across)], pictures[len(across) :]
    left, middle = pictures[: len(down)], pictures[len(down) :]
    lines = [[own, *middle[i * len(across) :][: len(across)]] for i, own in enumerate(left)]
    return table([top, *lines], ["", *names[1]], ["", *names[0]], blank=True)
