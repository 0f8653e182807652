"""The smallest generator that the chain takes."""

from pathlib import Path

import torch

from vtoon.models.stylegan2 import Generator
from vtoon.weights.generators import save_generator

SIZE, DIM = 64, 16
CHANNELS = dict.fromkeys((4, 8, 16, 32, 64), 8)


def base_in(folder: Path) -> Path:
    """A generator of 64 px with random weights."""
    torch.manual_seed(0)
    save_generator(folder / "base.pt", Generator(SIZE, DIM, 2, CHANNELS))
    return folder / "base.pt"
