"""Faces moved along directions before they are drawn, by amounts in standard deviations of the latents.

Directions are of the weights (SeFa), of a file, of two sets of faces, or of what landmarks measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.latent.attributes import ATTRIBUTES, Watch, attribute_direction
from vtoon.latent.direction import Direction, load_direction, scaled
from vtoon.latent.sampler import Sampler
from vtoon.latent.sefa import check_indices, directions_of, load_factor
from vtoon.latent.sheets import table
from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS
from vtoon.weights.published import load_directions

MOST = 3.0  # standard deviations
SLIDER = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
Method = Literal["logistic", "means"]


def moved(w_plus: Tensor, edits: Sequence[tuple[Direction, float]]) -> Tensor:
    """w+ [N, L, D] moved along each direction by its amount."""
    for direction, amount in edits:
        w_plus = w_plus + amount * direction.step.to(w_plus)
    return w_plus


def direction(sampler: Sampler, word: str, rows: Sequence[int] | None = None, watch: Watch | None = None) -> Direction:
    """By a number (SeFa), a file (factor.pt, directions.npy, of this module; FILE#N where it has several), or an
    attribute's name. `rows` that are moved (default: all; of an attribute those that shape). Raises VtoonError."""
    every = list(range(sampler.rows)) if rows is None else rows
    if word.isdigit():
        found = directions_of(sampler, every)
        check_indices([int(word)], found)
        return Direction(f"sefa {word}", scaled(sampler, found[int(word)], every), "the generator's weights")
    if word in ATTRIBUTES:
        shapes = list(range(min(NUM_STRUCTURE_LAYERS, sampler.rows))) if rows is None else rows
        return attribute_direction(sampler, word, shapes, watch)
    name, _, number = word.partition("#")
    if Path(name).is_file():
        return _of_file(sampler, Path(name), number, rows)
    raise VtoonError(
        f"direction {word[:60]!r}: give a number (the weights' own directions), {', '.join(ATTRIBUTES)}, or a file: "
        "factor.pt#3, directions.npy#0, or direction_NAME.npz of vtoon edit"
    )


def _of_file(sampler: Sampler, path: Path, number: str, rows: Sequence[int] | None) -> Direction:
    if number and not number.isdigit():
        raise VtoonError(f"{path}#{number}: after # comes a number, which direction of the file")
    index, every = int(number or 0), list(range(sampler.rows)) if rows is None else rows
    if path.suffix == ".npz":
        return load_direction(path, sampler)
    if path.suffix == ".npy":
        found = load_directions(path)
        if tuple(found.shape[1:]) != (sampler.rows, sampler.dim):
            got = f"directions of {list(found.shape[1:])}"
            raise VtoonError(f"{path}: {got}; {sampler.path} takes [{sampler.rows}, {sampler.dim}]")
        check_indices([index], found)
        row = found[index].to(sampler.device)
        return Direction(f"{path.stem} {index}", scaled(sampler, row[row.norm(dim=1).argmax()], every), str(path))
    found = load_factor(path, sampler)
    check_indices([index], found)
    return Direction(f"{path.stem} {index}", scaled(sampler, found[index], every), str(path))


def parse_edit(text: str) -> tuple[str, float]:
    """ "smile:1.5" to the direction and its amount. Raises VtoonError."""
    word, _, number = text.rpartition(":")
    try:
        amount = float(number)
    except ValueError:
        word = ""
    if not word:
        raise VtoonError(f"edit {text[:60]!r}: write DIRECTION:AMOUNT, as in smile:1.5, 3:-2 or direction_hat.npz:1")
    return word, checked_amount(amount)


def checked_amount(amount: float) -> float:
    """Raises VtoonError beyond what a generator can follow."""
    if not -MOST <= amount <= MOST:
        raise VtoonError(f"amount is {amount:g}; it must be {-MOST:g} to {MOST:g} standard deviations")
    return amount


def parse_edits(sampler: Sampler, texts: Sequence[str], watch: Watch | None = None) -> list[tuple[Direction, float]]:
    """Of --edit. Raises VtoonError, before anything is computed where a text is wrong."""
    parsed = [parse_edit(text) for text in texts]
    return [(direction(sampler, word, watch=watch), amount) for word, amount in parsed]


def between(
    sampler: Sampler, more: Tensor, less: Tensor, rows: Sequence[int], method: Method = "logistic"
) -> Direction:
    """From the faces `less` to the faces `more`, w [N, D] and [M, D]: the difference of their means, or the normal of
    the plane that logistic regression puts between them."""
    if method == "means":
        unit = more.mean(0) - less.mean(0)
    else:
        unit = logistic(torch.cat([more, less]), len(more))
    told = f"{len(more)} and {len(less)} pictures, {method}"
    return Direction("folders", scaled(sampler, unit, rows), told)


def logistic(x: Tensor, positive: int, decay: float = 0.05) -> Tensor:
    """[D]: weights of a logistic regression whose first `positive` rows are the ones; L2 by `decay`, for there are
    fewer pictures than numbers."""
    spread = x.std(0).clamp_min(1e-6)
    x = (x - x.mean(0)) / spread
    y = (torch.arange(len(x), device=x.device) < positive).float()
    weight, bias = (torch.zeros(n, device=x.device, requires_grad=True) for n in (x.shape[1], 1))
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(x @ weight + bias, y) + decay * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (weight / spread).detach()


def slider_sheet(samplers: Sequence[Sampler], w_plus: Tensor, edits: Sequence[tuple[Direction, float]]) -> np.ndarray:
    """One face [1, L, D]: each direction alone from -3 to 3 and by its amount, a row for each generator."""
    rows, names = [], []
    for found, amount in edits:
        codes = torch.cat([moved(w_plus, [(found, each)]) for each in (*SLIDER, amount)])
        for sampler in samplers:
            rows.append(sampler.pictures(codes.to(sampler.device)))
            names.append(found.name if sampler is samplers[0] else sampler.path.stem)
    return table(rows, [*(f"{each:+g}" if each else "0" for each in SLIDER), "chosen"], names)
