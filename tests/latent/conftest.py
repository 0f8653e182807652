"""The smallest generators, in files as they are published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vtoon.latent.sampler import Sampler, load_sampler
from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator

CHANNELS = {4: 8, 8: 8, 16: 8, 32: 8}
SIZE, DIM, ROWS = 16, 12, 6


def save_generator_file(path: Path, seed: int, size: int = SIZE, dim: int = DIM, critic: bool = True) -> Path:
    """A training's file with random weights: {"g_ema", "d"}."""
    torch.manual_seed(seed)
    content = {"g_ema": Generator(size, dim, 2, CHANNELS).state_dict()}
    if critic:
        content["d"] = Discriminator(size, CHANNELS).state_dict()
    torch.save(content, path)
    return path


@pytest.fixture(autouse=True)
def small_nets(one_thread):
    """Every test here."""


@pytest.fixture(scope="session")
def generators(tmp_path_factory) -> dict[str, Path]:
    """Files: low, high (relatives by shape), other (another size), bare (no discriminator)."""
    root = tmp_path_factory.mktemp("generators")
    return {
        "low": save_generator_file(root / "low.pt", 0),
        "high": save_generator_file(root / "high.pt", 1),
        "other": save_generator_file(root / "other.pt", 2, 32, 10),
        "bare": save_generator_file(root / "bare.pt", 0, critic=False),
    }


@pytest.fixture
def low(generators) -> Sampler:
    return load_sampler(generators["low"], "cpu")


@pytest.fixture
def high(generators) -> Sampler:
    return load_sampler(generators["high"], "cpu")


COLOURS = {"photo": (0.1, 0.1, 0.1), "red": (1.0, -0.5, -0.5), "blue": (-0.5, -0.5, 1.0)}


class TinyScorer:
    """Stands in for CLIP: pictures and texts by their mean colour."""

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))

    def embed_texts(self, texts) -> torch.Tensor:
        return torch.tensor([COLOURS[text] for text in texts])


@pytest.fixture
def scorer() -> TinyScorer:
    return TinyScorer()
