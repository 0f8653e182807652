"""Directions that the weights tell (SeFa), drawn, and kept in files: factor.pt and directions.npy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.image import to_uint8
from vtoon.latent.sampler import Sampler
from vtoon.latent.sheets import table
from vtoon.models.directions import factorize
from vtoon.system.target import Target
from vtoon.weights.torch_file import load_torch


def directions_of(sampler: Sampler, rows: Sequence[int]) -> Tensor:
    """[D, D], a direction in each row, the strongest first: from the layers that read `rows`."""
    return factorize(sampler.net, rows)


def save_factor(path: Path, directions: Tensor, checkpoint: Path) -> None:
    """factor.pt as closed_form_factorization.py writes it: {"ckpt", "eigvec"}, a direction in each column."""
    _complete(path, lambda part: torch.save({"ckpt": str(checkpoint), "eigvec": directions.T.cpu().contiguous()}, part))


def load_factor(path: Path, sampler: Sampler) -> Tensor:
    """[D, D], a direction in each row. Raises VtoonError where the file is none, or of another generator."""
    if not path.is_file():
        raise VtoonError(f"{path}: no such file")
    content = load_torch(path)
    eigvec = content.get("eigvec") if isinstance(content, dict) else None
    if not isinstance(eigvec, Tensor) or eigvec.ndim != 2:
        raise VtoonError(f"{path}: no factor file; expected eigvec in it, as vtoon sefa CKPT -o factor.pt writes")
    if eigvec.shape[0] != sampler.dim:
        raise VtoonError(f"{path}: directions of {eigvec.shape[0]} numbers; {sampler.path} has {sampler.dim}")
    return eigvec.T.float().to(sampler.device)


def save_directions(path: Path, directions: Tensor, rows: int) -> None:
    """directions.npy as VToonify's trainings take it: float32 [n, L, D]."""
    array = directions.cpu().numpy().astype(np.float32)[:, None].repeat(rows, 1)

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.save(file, array)

    _complete(path, write)


def _complete(path: Path, write) -> None:
    target = Target(path, overwrite=True)
    target.create()
    try:
        write(target.part)
        target.commit()
    except (OSError, RuntimeError) as error:
        raise VtoonError(f"{path}: cannot be written ({error})") from None
    finally:
        target.discard()


def check_indices(indices: Sequence[int], directions: Tensor) -> None:
    """Raises VtoonError where a direction is asked for that is not there."""
    if worst := [i for i in indices if not 0 <= i < len(directions)]:
        raise VtoonError(f"direction {worst[0]}: there are 0 to {len(directions) - 1}")


def moved(codes: Tensor, direction: Tensor, degree: float, rows: Sequence[int]) -> Tensor:
    """w+ [N, L, D] with `rows` moved by `degree` along a direction [D]."""
    result = codes.clone()
    result[:, list(rows)] += degree * direction
    return result


def direction_sheet(
    sampler: Sampler, codes: Tensor, direction: Tensor, degree: float, rows: Sequence[int], steps: int = 5
) -> np.ndarray:
    """A row for each latent, moved from -degree at the left to degree at the right."""
    degrees = np.linspace(-degree, degree, steps)
    columns = [list(to_uint8(sampler.draw(moved(codes, direction, float(d), rows)))) for d in degrees]
    return table([[column[i] for column in columns] for i in range(len(codes))], [f"{d:+.1f}" for d in degrees])


def swing(codes: Tensor, direction: Tensor, degree: float, rows: Sequence[int], frames: int) -> Iterator[Tensor]:
    """w+ [N, L, D], there and back: one whole period in `frames` steps."""
    for i in range(frames):
        yield moved(codes, direction, degree * float(np.sin(2 * np.pi * i / frames)), rows)
