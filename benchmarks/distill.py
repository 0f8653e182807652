"""A step of VToonify's training against the published step's operations, in one run.

Published: modulated weights are made for every sample, the student draws for the discriminator's step and once more
for its own, all in 32 bits. Ours: activations are scaled, both steps share one drawing, half precision where asked for.
Weights are random: the work is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
import tyro
from engine import as_published
from torch.utils.flop_counter import FlopCounterMode

from vtoon.models.dualstylegan import DualStyleGAN
from vtoon.models.stylegan2 import published_channels
from vtoon.painters.engine import DTYPES, pick_device
from vtoon.system.measure import device_name, peak_gflops, peak_gpu_memory_mb, peak_memory_mb, seconds_of
from vtoon.train.recipes.vtoonify import VToonifyDistill, Weights
from vtoon.train.settings import Settings
from vtoon.train.teachers.dual import DualOptions, DualTeacher
from vtoon.train.teachers.faces import FaceCodes
from vtoon.train.trainer import run_phase
from vtoon.weights.generators import mean_latent


@dataclass(frozen=True)
class Bench:
    """Time steps of stage two, alternating between the two ways."""

    size: int = 128
    """px of the generator; 1024 is the published one."""
    batch: int = 4
    steps: int = 4
    """Of each way; the fastest counts."""
    amp: str = "fp32"
    """Our arithmetic: fp32, bf16 or fp16."""
    device: str = "auto"


def recipe_of(args: Bench, dtype: torch.dtype, device: torch.device) -> VToonifyDistill:
    """Stage two at its very end, when every term counts, of a DualStyleGAN with published widths and random weights."""
    torch.manual_seed(0)
    channels = published_channels()
    dual = DualStyleGAN(args.size, 512, 8, channels, channels[32]).to(device).eval().requires_grad_(False)
    faces = FaceCodes(dual.generator, None, None, mean_latent(dual.generator, 64))
    styles = torch.randn(8, dual.generator.num_latents, 512, device=device)
    teacher = DualTeacher(faces, dual, styles, DualOptions(fix_color=True))
    settings = Settings(10, args.batch, device=device, dtype=dtype)
    return VToonifyDistill(teacher.build(3), teacher, settings, Weights(), None, None, lambda *_: None, {})


@contextmanager
def plainly(recipe: VToonifyDistill) -> Iterator[None]:
    """The published operations."""
    shared = recipe._fake
    recipe._fake = lambda b: recipe._draw(b.x, b)
    try:
        with as_published():
            yield
    finally:
        recipe._fake = shared


def one_step(recipe: VToonifyDistill) -> None:
    lesson = recipe.next_batch(9)
    for phase in recipe.phases:
        run_phase(phase, lesson)


def main(args: Bench) -> None:
    """Print the ratio."""
    device, best = pick_device(args.device), {}
    ways = {"published": (torch.float32, plainly), "ours": (DTYPES[args.amp], nullcontext)}
    recipes = {name: recipe_of(args, dtype, device) for name, (dtype, _) in ways.items()}
    memory = {}
    for _ in range(args.steps + 1):  # the first warms up
        for name, (_, around) in ways.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            with around(recipes[name]):
                best.setdefault(name, []).append(seconds_of(lambda name=name: one_step(recipes[name]), device))
            memory[name] = peak_gpu_memory_mb(device) if device.type == "cuda" else peak_memory_mb()
    fastest = {name: min(times[1:]) for name, times in best.items()}
    with FlopCounterMode(display=False) as counter:
        one_step(recipes["ours"])
    reached, peak = counter.get_total_flops() / 1e9 / fastest["ours"], peak_gflops(device, DTYPES[args.amp])
    print(f"{device_name(device)}, PyTorch {torch.__version__}; {args.size} px, batch {args.batch}, ours in {args.amp}")
    for name, seconds in fastest.items():
        print(f"{name:10} {seconds:8.3f} s/step  {1 / seconds:6.2f} steps/s  {memory[name]:8.0f} MB at most")
    print(f"ours is {fastest['published'] / fastest['ours']:.2f} times as fast, at {reached / peak:.0%} of the peak "
          f"({peak:.0f} GFLOP/s of dense convolutions)")  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Bench, use_underscores=True))
