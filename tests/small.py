"""The smallest networks of the published kind, in files as they are published."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vtoon.models.face_parsing import BiSeNet
from vtoon.models.vtoonify import VToonify, VToonifyConfig

SMALL = VToonifyConfig(
    in_size=64,
    out_size=256,
    style_dim=512,
    mapping_layers=1,
    stem_channels=4,
    channels=dict.fromkeys((4, 8, 16, 32, 64, 128, 256), 6),
)
ROWS = SMALL.num_latents


class SmallEncoder(nn.Module):
    """Stands in for the style encoder, whose weights alone are a gigabyte."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = F.adaptive_avg_pool2d(x, (1, ROWS)).mean(1)  # [N, 1, ROWS]
        return means.transpose(1, 2) * torch.linspace(-3, 3, 512)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Within a thousandth of the mean absolute value."""
    return float((a - b).abs().max()) < 1e-3 * float(b.abs().mean())


def save_codes(path: Path, count: int) -> Path:
    """Style codes 000.jpg and so on, each a draw of its own."""
    codes = {f"{i:03d}.jpg": np.random.default_rng(i).normal(size=(1, ROWS, 512)) for i in range(count)}
    np.save(path, {name: code.astype(np.float32) for name, code in codes.items()}, allow_pickle=True)
    return path


def save_published(root: Path) -> Path:
    """In VToonify's layout: vtoonify_d_x and vtoonify_t_x with a model each, codes of four styles, faceparsing.pth."""
    torch.manual_seed(0)
    for kind, backbone in (("d", "dualstylegan"), ("t", "toonify")):
        net = VToonify(dataclasses.replace(SMALL, backbone=backbone))
        for p in net.parameters():
            p.data += 0.02 * torch.randn_like(p)
        (root / f"vtoonify_{kind}_x").mkdir()
        torch.save({"g_ema": net.state_dict()}, root / f"vtoonify_{kind}_x" / "vtoonify_s_d.pt")
    save_codes(root / "vtoonify_d_x" / "exstyle_code.npy", 4)
    torch.save(BiSeNet().state_dict(), root / "faceparsing.pth")
    return root
