"""The published networks as they were published against their baked form: time and peak memory, in one run.

As published: modulated weights are made for every sample of every frame, and every sample has a convolution of its own.
Baked: one style at one degree, worked into plain convolutions (vtoon/models/bake.py); freed memory is kept. Weights are
random: the work is the same. Each measurement runs in a process of its own, whose peak memory is that of nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vtoon.cli.measure import best_seconds, peak_gflops, peak_gpu_memory_mb, peak_memory_mb
from vtoon.models.bake import bake, for_drawing
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.ops import ModulatedConv2d
from vtoon.painters.engine import pick_device
from vtoon.system.memory import reuse_freed_memory

AIM = {"cpu": 1.6, "cuda": 8.0}  # times faster


@dataclass(frozen=True)
class Bench:
    """Compare the two forms of VToonify-D and -T."""

    sizes: tuple[int, ...] = (256, 400)
    """Sides of the input, px; the output is four times as large."""
    backbones: tuple[str, ...] = ("dualstylegan", "toonify")
    device: str = "cpu"
    repeats: int = 3
    """The fastest of so many runs counts."""
    json: bool = False
    """Print JSON instead of a table."""
    worker: str = ""
    """Used by the command itself: measure this form alone."""


@contextmanager
def as_published() -> Iterator[None]:
    """Modulated convolutions that scale weights, not activations: one group for each sample."""
    ours = ModulatedConv2d.forward

    def forward(self: ModulatedConv2d, x: Tensor, style: Tensor) -> Tensor:
        n, _, height, width = x.shape
        weight = self.weight * self.scale * self.modulation(style)[:, None, :, None, None]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        x = x.reshape(1, -1, height, width)
        if self.upsample:
            out = F.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
            return self.blur(out.unflatten(1, (n, -1))[0] if n == 1 else out.reshape(n, -1, *out.shape[2:]))
        out = F.conv2d(x, weight.flatten(0, 1), padding=self.padding, groups=n)
        return out.reshape(n, -1, *out.shape[2:])

    ModulatedConv2d.forward = forward
    try:
        yield
    finally:
        ModulatedConv2d.forward = ours


@torch.inference_mode()
def measure(form: str, backbone: str, size: int, device: torch.device, repeats: int) -> dict[str, float]:
    """Seconds of one picture, GFLOP, peak memory in MB, and a sum of the picture that tells whether forms agree."""
    torch.manual_seed(0)
    net = VToonify(VToonifyConfig(backbone=backbone)).eval().to(device)
    style = torch.randn(1, net.config.num_latents, net.config.style_dim, device=device)
    degree, x = torch.full((1, 1), 0.5, device=device), torch.randn(1, 22, size, size, device=device)
    if form == "baked":
        if device.type == "cpu":
            reuse_freed_memory()  # as `Engine` does
        net, x = for_drawing(net, device), x.contiguous(memory_format=torch.channels_last)
        net = for_drawing(bake(net, style, degree), device)
    with as_published():
        with FlopCounterMode(display=False) as counter:
            picture = net(x, style, degree)
        seconds = best_seconds(lambda: net(x, style, degree), device, repeats)
    memory = peak_gpu_memory_mb(device) if device.type == "cuda" else peak_memory_mb()
    mean = float(picture.abs().mean())
    return {"seconds": seconds, "gflop": counter.get_total_flops() / 1e9, "peak_mb": memory, "mean": mean}


def compare(args: Bench) -> list[dict]:
    """One row for each network and size."""
    rows = []
    for backbone in args.backbones:
        for size in args.sizes:
            case = replace(args, backbones=(backbone,), sizes=(size,))
            plain, baked = (in_a_process(case, form) for form in ("published", "baked"))
            rows.append(
                {
                    "backbone": backbone,
                    "size": size,
                    "gflop": plain["gflop"],
                    "published": plain,
                    "baked": baked,
                    "times_faster": plain["seconds"] / baked["seconds"],
                    "gflops_of_baked": plain["gflop"] / baked["seconds"],
                    "agree": abs(plain["mean"] / baked["mean"] - 1) < 1e-3,
                }
            )
    return rows


def in_a_process(case: Bench, form: str) -> dict[str, float]:
    """`measure` in a fresh process."""
    flags = ["--worker", form, "--backbones", *case.backbones, "--sizes", *map(str, case.sizes)]
    flags += ["--device", case.device, "--repeats", str(case.repeats)]
    done = subprocess.run([sys.executable, __file__, *flags], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main(args: Bench) -> None:
    """Print the table."""
    device = pick_device(args.device)
    if args.worker:
        print(json.dumps(measure(args.worker, args.backbones[0], args.sizes[0], device, args.repeats)))
        return
    rows = compare(args)
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print("network       input       GFLOP   published      baked   faster   memory MB     GFLOP/s  agree")
    for row in rows:
        plain, baked = row["published"], row["baked"]
        print(
            f"{row['backbone']:12}  {row['size']}x{row['size']}  {row['gflop']:8.0f}  {plain['seconds']:8.2f} s"
            f" {baked['seconds']:8.2f} s  {row['times_faster']:5.2f}x  {plain['peak_mb']:5.0f} {baked['peak_mb']:5.0f}"
            f"  {row['gflops_of_baked']:8.0f}    {'yes' if row['agree'] else 'NO'}"
        )
    print(f"peak of dense convolutions here: {peak_gflops(device):.0f} GFLOP/s; aim: {AIM.get(device.type, 1)}x")


if __name__ == "__main__":
    main(tyro.cli(Bench, use_underscores=True))
