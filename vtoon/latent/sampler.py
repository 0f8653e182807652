"""A generator ready to draw: seeds, truncation, latent files, pictures."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.image import to_uint8
from vtoon.models.stylegan2 import Generator, truncate
from vtoon.painters.engine import pick_device
from vtoon.system.target import Target
from vtoon.weights.generators import load_generator

MANY = 10_000  # seeds at once, at most
BATCH_PIXELS = 4 * 256 * 256  # drawn at once on any device


@dataclass(frozen=True)
class Sampler:
    """A generator, the mean of its latents, and where it is from."""

    net: Generator
    mean: Tensor  # [D]
    path: Path

    @property
    def rows(self) -> int:
        """Rows of a style code."""
        return self.net.num_latents

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return self.mean.shape[0]

    @property
    def size(self) -> int:
        """Pixels on a side."""
        return self.net.size

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """z [N, D] of seeds: the numbers that StyleGAN2-ADA draws for them."""
        return torch.tensor(np.stack([np.random.RandomState(s).randn(self.dim) for s in seeds])).float().to(self.device)

    @torch.no_grad()
    def latents(self, seeds: Sequence[int], psi: float = 1.0) -> Tensor:
        """w+ [N, L, D] of seeds, truncated to `psi` toward the mean latent."""
        return self.of_noise(self.noise(seeds), psi)

    @torch.no_grad()
    def of_noise(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """w+ [N, L, D] of z [N, D]."""
        return self.net.to_w_plus(truncate(self.net.style(z), self.mean, psi))

    @torch.no_grad()
    def draw(self, w_plus: Tensor) -> Tensor:
        """[N, L, D] to pictures [N, 3, size, size], about [-1, 1]; a few at once, however many there are."""
        some = max(BATCH_PIXELS // self.size**2, 1)
        return torch.cat([self.net(part) for part in w_plus.split(some)])

    def pictures(self, w_plus: Tensor) -> list[np.ndarray]:
        """[N, L, D] to N pictures, uint8 [size, size, 3]."""
        return list(to_uint8(self.draw(w_plus)))


def load_sampler(path: str | Path, device: str = "auto") -> Sampler:
    """A generator of any file that holds one. Raises VtoonError where there is none."""
    loaded = load_generator(path)
    net = loaded.generator.to(pick_device(device)).eval().requires_grad_(False)
    return sampler_of(net, loaded.mean_latent, loaded.path)


def sampler_of(net: Generator, mean: Tensor, path: Path) -> Sampler:
    """Around a network and the mean of its latents, on the network's device."""
    return Sampler(net, mean.float().to(net.input.input.device), path)


def parse_seeds(text: str) -> list[int]:
    """ "1-8,42" to numbers. Raises VtoonError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < 2**32 or last - first >= MANY - len(seeds):
            raise VtoonError(f"seeds {text[:60]!r}: give numbers and ranges, as in 1-8,42 (up to {MANY} of them)")
        seeds += range(first, last + 1)
    return seeds


def parse_numbers(text: str, name: str, least: float, most: float) -> list[float]:
    """ "0.5,0.7" to numbers within bounds. Raises VtoonError for anything else."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(least <= number <= most for number in numbers):
        raise VtoonError(f"{name} is {text[:60]!r}; give numbers of {least:g} to {most:g}, as in 0.5,0.7")
    return numbers


def parse_rows(text: str, rows: int) -> list[int]:
    """ "all", "0-3", "0-3,8" to row numbers of a style code of `rows` rows. Raises VtoonError."""
    if text == "all":
        return list(range(rows))
    chosen = sorted(set(parse_seeds(text))) if re.fullmatch(r"[\d,\- ]+", text) else [rows]
    if chosen[-1] >= rows:
        raise VtoonError(f"layers {text[:60]!r}: this generator has layers 0 to {rows - 1}; write 0-3,7 or all")
    return chosen


def load_codes(path: str | Path, sampler: Sampler) -> Tensor:
    """w+ [N, L, D] of a .npz with the key `w` (projected_w.npz), or a .npy: [D], [N, D], [L, D] or [N, L, D].

    Raises VtoonError where it is none, or one of another generator.
    """
    try:
        content = np.load(path, allow_pickle=False)
        array = content["w"] if isinstance(content, np.lib.npyio.NpzFile) else content
        codes = torch.from_numpy(np.asarray(array, np.float32))
    except FileNotFoundError:
        raise VtoonError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        raise VtoonError(f"{path}: no latent file; expected a .npz with the key w, as vtoon project writes") from None
    if codes.ndim == 1 or (codes.ndim == 2 and len(codes) != sampler.rows):
        codes = codes.reshape(-1, 1, codes.shape[-1]).repeat(1, sampler.rows, 1)
    codes = codes[None] if codes.ndim == 2 else codes
    if codes.ndim != 3 or tuple(codes.shape[1:]) != (sampler.rows, sampler.dim) or not codes.isfinite().all():
        raise VtoonError(
            f"{path}: w is {list(array.shape)}; {sampler.path} takes [N, {sampler.rows}, {sampler.dim}], finite numbers"
        )
    return codes.to(sampler.device)


def save_codes(path: Path, w_plus: Tensor) -> None:
    """w+ [N, L, D] as a .npz with the key `w`, complete or not at all."""
    target = Target(path, overwrite=True)
    target.create()
    try:
        with target.part.open("wb") as file:
            np.savez(file, w=w_plus.detach().float().cpu().numpy())
        target.commit()
    except OSError as error:
        raise VtoonError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        target.discard()
