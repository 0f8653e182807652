"""The smallest files that VToonify's training starts from: a StyleGAN2, its fine-tuned child, a DualStyleGAN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vtoon.models.dualstylegan import DualStyleGAN
from vtoon.models.stylegan2 import Generator
from vtoon.weights.generators import save_generator

SIZE, DIM = 64, 16  # px; of a style code
CHANNELS = dict.fromkeys((4, 8, 16, 32, 64), 8)
ROWS, STYLES = 10, 3


def save_files(folder: Path) -> Path:
    """`folder`/checkpoint as VToonify's documentation lays it out, without companions."""
    root = folder / "checkpoint"
    (root / "cartoon").mkdir(parents=True)
    torch.manual_seed(0)
    base = Generator(SIZE, DIM, 2, CHANNELS)
    save_generator(root / "stylegan2-ffhq-config-f.pt", base)
    for p in base.parameters():
        p.data += 0.1 * torch.randn_like(p)
    save_generator(root / "cartoon" / "finetune-000600.pt", base)
    dual = DualStyleGAN(SIZE, DIM, 2, CHANNELS, CHANNELS[32])
    torch.save({"g_ema": dual.state_dict()}, root / "cartoon" / "generator.pt")
    codes = {f"{i}.jpg": np.random.default_rng(i).normal(size=(1, ROWS, DIM)).astype("f4") for i in range(STYLES)}
    np.save(root / "cartoon" / "refined_exstyle_code.npy", codes, allow_pickle=True)
    return folder
