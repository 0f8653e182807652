"""Faces moved along directions before they are drawn, by amounts in standard deviations of the latents.

Directions are of the weights (SeFa), of a file, of two folders of pictures, or of what landmarks measure on generated
faces (after Shen et al. 2020, "Interpreting the latent space of GANs for semantic face editing": a linear model of the
attribute, made independent of the others).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.faces.detect import QUICK, FaceDetector
from vtoon.image import to_uint8
from vtoon.latent.sampler import Sampler
from vtoon.latent.sefa import check_indices, directions_of, load_factor
from vtoon.latent.sheets import table
from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS
from vtoon.system.target import Target
from vtoon.types import Landmarks
from vtoon.weights.published import load_directions

ATTRIBUTES = ("yaw", "smile", "eyes")
SPREAD_SAMPLES = 4096  # latents in a standard deviation
FACES = 400  # generated faces that are measured
ENOUGH = 60  # of them with landmarks, at least
MOST = 3.0  # standard deviations
LOOKED_AT = 256  # px: smaller faces are enlarged before landmarks are looked for
SLIDER = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
NOSE_TIP, CORNERS, LIPS = 30, (48, 54), (51, 57)
EYES = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))
Method = Literal["logistic", "means"]
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Direction:
    """A way through W+."""

    name: str
    step: Tensor  # [L, D]: one standard deviation; rows that stay are 0
    told: str = ""  # by what, for the user


def moved(w_plus: Tensor, edits: Sequence[tuple[Direction, float]]) -> Tensor:
    """w+ [N, L, D] moved along each direction by its amount."""
    for direction, amount in edits:
        w_plus = w_plus + amount * direction.step.to(w_plus)
    return w_plus


def scaled(sampler: Sampler, unit: Tensor, rows: Sequence[int]) -> Tensor:
    """A direction [D], of any length, as the step [L, D] of one standard deviation in `rows`."""
    unit = F.normalize(unit, dim=0)
    spread = ((_latents(sampler, SPREAD_SAMPLES) - sampler.mean) @ unit).std().clamp_min(1e-6)
    step = torch.zeros(sampler.rows, sampler.dim, device=sampler.device)
    step[list(rows)] = spread * unit
    return step


@torch.no_grad()
def _latents(sampler: Sampler, count: int) -> Tensor:
    """w [N, D] of a fixed draw."""
    z = torch.randn(count, sampler.dim, generator=torch.Generator().manual_seed(0))
    return sampler.net.style(z.to(sampler.device))


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


# What landmarks measure


def measured(face: Landmarks) -> dict[str, float]:
    """yaw: how far the nose is to the right of the eyes' middle; smile: how wide the mouth is and how far its corners
    are raised; eyes: how open. In eye distances (eyes: of their own width), in the axes of the head."""
    points, unit = face.points, face.eye_distance
    left, right = face.eyes
    across = (right - left) / unit
    down = np.array([-across[1], across[0]])
    corners, lips = points[list(CORNERS)], points[list(LIPS)]
    raised = (lips.mean(0) - corners.mean(0)) @ down
    opened = [
        (np.hypot(*(points[b] - points[f])) + np.hypot(*(points[c] - points[e])))
        / (2 * np.hypot(*(points[d] - points[a])))
        for a, b, c, d, e, f in EYES
    ]
    return {
        "yaw": float((points[NOSE_TIP] - face.eye_middle) @ across / unit),
        "smile": float((np.hypot(*(corners[1] - corners[0])) + raised) / unit),
        "eyes": float(np.mean(opened)),
    }


def attribute_direction(sampler: Sampler, name: str, rows: Sequence[int], watch: Watch | None = None) -> Direction:
    """Along which an attribute grows and the others stay, from generated faces. Raises VtoonError where the generator
    draws too few faces that can be measured."""
    w = _latents(sampler, FACES)
    kept, values = [], []
    detector = FaceDetector()
    for i, code in enumerate(w):
        if watch:
            watch(i + 1, FACES)
        face = _face(sampler, code, detector)
        if face is not None:
            kept.append(i)
            values.append([measured(face)[each] for each in ATTRIBUTES])
    if len(kept) < ENOUGH:
        raise VtoonError(
            f"{sampler.path}: faces were found in {len(kept)} of {FACES} pictures that it draws, {ENOUGH} are needed: "
            f"{name} can be told of generators of faces only; take a number or a file"
        )
    x, y = w[kept] - w[kept].mean(0), torch.tensor(values, device=w.device)
    y = (y - y.mean(0)) / y.std(0).clamp_min(1e-6)
    place = ATTRIBUTES.index(name)
    fit = _held_out(x, y[:, place])
    unit = independent(ridge(x, y), place)
    told = f"{len(kept)} generated faces, r {fit:.2f} on those held out"
    return Direction(name, scaled(sampler, unit, rows), told)


def _face(sampler: Sampler, code: Tensor, detector: FaceDetector) -> Landmarks | None:
    images = sampler.draw(code.expand(1, sampler.rows, -1))
    if images.shape[-1] < LOOKED_AT:
        images = F.interpolate(images, (LOOKED_AT, LOOKED_AT), mode="bicubic", align_corners=False)
    return next(iter(detector.detect(to_uint8(images)[0], QUICK)), None)


def ridge(x: Tensor, y: Tensor) -> Tensor:
    """Linear model of y [N, K] by x [N, D], both centred: [K, D]. As much is added to each direction's variance as the
    directions have on average, for there may be fewer faces than numbers in a latent."""
    gram = x.T @ x
    return torch.linalg.solve(gram + gram.diagonal().mean() * torch.eye(len(gram), device=x.device), x.T @ y).T


def independent(models: Tensor, place: int) -> Tensor:
    """[D] of models [K, D]: one of them without its part along the others."""
    others = torch.linalg.qr(torch.cat([models[:place], models[place + 1 :]]).T).Q  # [D, K - 1]
    return models[place] - others @ (others.T @ models[place])


def _held_out(x: Tensor, y: Tensor) -> float:
    """Correlation of the attribute with what a model of every second face says of the others."""
    said = torch.empty_like(y)
    for first in (0, 1):
        said[1 - first :: 2] = x[1 - first :: 2] @ ridge(x[first::2], y[first::2, None])[0]
    return float(torch.corrcoef(torch.stack([said, y]))[0, 1])


# Two sets of faces


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


# Files and sheets


def save_direction(path: Path, found: Direction) -> None:
    """.npz with the keys step [L, D], name, told, complete or not at all."""
    target = Target(path, overwrite=True)
    target.create()
    try:
        with target.part.open("wb") as file:
            np.savez(file, step=found.step.cpu().numpy(), name=np.array(found.name), told=np.array(found.told))
        target.commit()
    except OSError as error:
        raise VtoonError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        target.discard()


def load_direction(path: Path, sampler: Sampler) -> Direction:
    """Raises VtoonError where the file is none, or of another generator's latents."""
    try:
        with np.load(path, allow_pickle=False) as content:
            step, name, told = np.asarray(content["step"], np.float32), str(content["name"]), str(content["told"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        raise VtoonError(f"{path}: no direction; expected a .npz as vtoon edit writes") from None
    if step.shape != (sampler.rows, sampler.dim) or not np.isfinite(step).all():
        raise VtoonError(f"{path}: a direction of {list(step.shape)}; {sampler.path} takes "
                         f"[{sampler.rows}, {sampler.dim}], finite numbers")  # fmt: skip
    return Direction(name, torch.from_numpy(step).to(sampler.device), told)


def slider_sheet(samplers: Sequence[Sampler], w_plus: Tensor, edits: Sequence[tuple[Direction, float]]) -> np.ndarray:
    """One face [1, L, D]: each direction alone from -3 to 3 and by its amount, a row for each generator."""
    rows, names = [], []
    for found, amount in edits:
        codes = torch.cat([moved(w_plus, [(found, each)]) for each in (*SLIDER, amount)])
        for sampler in samplers:
            rows.append(sampler.pictures(codes.to(sampler.device)))
            names.append(found.name if sampler is samplers[0] else sampler.path.stem)
    return table(rows, [*(f"{each:+g}" for each in SLIDER), "chosen"], names)


def renamed(found: Direction, name: str) -> Direction:
    """The same by another name."""
    return replace(found, name=name)
