"""The published networks as they were published against their baked form: time and peak memory, in one run.

As published: modulated weights are made for every sample of every frame, and every sample has a convolution of its own.
Baked: one style at one degree, worked into plain convolutions (vtoon/models/bake.py); freed memory is kept. Weights are
random: the work is the same. Each measurement runs in a process of its own, whose peak memory is that of nothing else.

On a GPU also: baked in fp16, the same compiled (CUDA graphs where PyTorch is safe with them), both for a whole batch.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vtoon.models.bake import bake, for_drawing
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.ops import ModulatedConv2d, arithmetic
from vtoon.painters.engine import pick_device
from vtoon.system.measure import best_seconds, device_name, peak_gflops, peak_gpu_memory_mb, peak_memory_mb
from vtoon.system.memory import reuse_freed_memory

Net = Callable[..., Tensor]
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
    batch: int = 1
    """Pictures at once, of the baked forms."""
    forms: tuple[str, ...] = ("published", "baked")
    """Of published, baked, fp16, compiled; the first is what the others are compared with."""
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
def measure(form: str, case: Bench, device: torch.device) -> dict[str, float]:
    """Seconds of one picture, GFLOP, peak memory in MB, a sum of the picture that tells whether forms agree, and on a
    GPU how far it is from the published form, in levels of a picture whose mean absolute value is 64 of 255."""
    torch.manual_seed(0)
    size, n = case.sizes[0], 1 if form == "published" else case.batch
    net = VToonify(VToonifyConfig(backbone=case.backbones[0])).eval().to(device)
    style = torch.randn(1, net.config.num_latents, net.config.style_dim, device=device)
    degree, x = torch.full((1, 1), 0.5, device=device), torch.randn(1, 22, size, size, device=device)
    reference = None
    if device.type == "cuda":
        with as_published():
            reference = net(x, style, degree)
        torch.cuda.reset_peak_memory_stats(device)
    if form != "published":
        if device.type == "cpu":
            reuse_freed_memory()  # as `Engine` does
        dtype = torch.float32 if form == "baked" else torch.float16
        x = x.expand(n, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        net = for_drawing(bake(for_drawing(net, device), style, degree), device, dtype)
        net = torch.compile(net, mode="reduce-overhead") if form == "compiled" else net
        with arithmetic(device, dtype):
            return _timed(net, (x, style.expand(n, -1, -1), degree.expand(n, 1)), case, device, reference)
    with as_published():
        return _timed(net, (x, style, degree), case, device, reference)


def _timed(net: Net, inputs: tuple[Tensor, ...], case: Bench, device: torch.device, reference: Tensor | None) -> dict:
    with FlopCounterMode(display=False) as counter:
        net(*inputs)
    seconds = best_seconds(lambda: net(*inputs), device, case.repeats) / len(inputs[0])
    picture = net(*inputs)
    memory = peak_gpu_memory_mb(device) if device.type == "cuda" else peak_memory_mb()
    found = {"seconds": seconds, "gflop": counter.get_total_flops() / 1e9 / len(picture), "peak_mb": memory}
    found["mean"] = float(picture[:1].float().abs().mean())
    if reference is not None:
        found["levels"] = float((picture[:1] - reference).abs().mean() / reference.abs().mean() * 64)
    return found


def compare(args: Bench) -> list[dict]:
    """One row for each network, size and form but the first."""
    rows = []
    for backbone in args.backbones:
        for size in args.sizes:
            case = replace(args, backbones=(backbone,), sizes=(size,))
            plain, *others = (in_a_process(case, form) for form in args.forms)
            for form, found in zip(args.forms[1:], others, strict=True):
                row = {"backbone": backbone, "size": size, "form": form, "gflop": plain["gflop"]}
                row |= {"published": plain, "other": found, "times_faster": plain["seconds"] / found["seconds"]}
                row |= {"gflops": plain["gflop"] / found["seconds"], "agree": abs(plain["mean"] / found["mean"] - 1)}
                rows.append(row)
    return rows


def in_a_process(case: Bench, form: str) -> dict[str, float]:
    """`measure` in a fresh process."""
    flags = ["--worker", form, "--backbones", *case.backbones, "--sizes", *map(str, case.sizes)]
    flags += ["--device", case.device, "--repeats", str(case.repeats), "--batch", str(case.batch)]
    done = subprocess.run([sys.executable, __file__, *flags], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{form} at {case.sizes[0]} px: {done.stderr.strip().splitlines()[-1][:300]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(args: Bench) -> None:
    """Print the table."""
    device = pick_device(args.device)
    if args.worker:
        print(json.dumps(measure(args.worker, args, device)))
        return
    rows = compare(args)
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{device_name(device)}, PyTorch {torch.__version__}, batches of {args.batch}")
    print("network       input       GFLOP   published  form           ms   faster  memory MB      GFLOP/s  off")
    for row in rows:
        plain, found = row["published"], row["other"]
        off = f"{found['levels']:.3f} levels" if "levels" in found else f"{row['agree']:.1e}"
        print(
            f"{row['backbone']:12}  {row['size']}x{row['size']}  {row['gflop']:8.0f}  {1e3 * plain['seconds']:8.1f} ms"
            f"  {row['form']:8} {1e3 * found['seconds']:8.1f}  {row['times_faster']:5.2f}x"
            f"  {plain['peak_mb']:5.0f} {found['peak_mb']:6.0f}  {row['gflops']:8.0f}  {off}"
        )
    print(f"peak of dense fp32 convolutions here: {peak_gflops(device):.0f} GFLOP/s; aim: {AIM.get(device.type, 1)}x")
    if device.type == "cuda":
        print(f"in fp16: {peak_gflops(device, torch.float16):.0f} GFLOP/s")


if __name__ == "__main__":
    main(tyro.cli(Bench, use_underscores=True))
