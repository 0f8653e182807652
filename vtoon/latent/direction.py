"""Ways through latent space, one standard deviation of the latents long, and the files that keep them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.latent.sampler import Sampler
from vtoon.system.target import Target

SPREAD_SAMPLES = 4096  # latents in a standard deviation


@dataclass(frozen=True)
class Direction:
    """A way through W+."""

    name: str
    step: Tensor  # [L, D]: one standard deviation; rows that stay are 0
    told: str = ""  # by what, for the user


def scaled(sampler: Sampler, unit: Tensor, rows: Sequence[int]) -> Tensor:
    """A direction [D], of any length, as the step [L, D] of one standard deviation in `rows`."""
    unit = F.normalize(unit, dim=0)
    spread = ((latents(sampler, SPREAD_SAMPLES) - sampler.mean) @ unit).std().clamp_min(1e-6)
    step = torch.zeros(sampler.rows, sampler.dim, device=sampler.device)
    step[list(rows)] = spread * unit
    return step


@torch.no_grad()
def latents(sampler: Sampler, count: int) -> Tensor:
    """w [N, D] of a fixed draw."""
    z = torch.randn(count, sampler.dim, generator=torch.Generator().manual_seed(0))
    return sampler.net.style(z.to(sampler.device))


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


def renamed(found: Direction, name: str) -> Direction:
    """The same by another name."""
    return replace(found, name=name)
