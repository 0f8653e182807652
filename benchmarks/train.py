"""A step of StyleGAN2's training against the plainest form of it, in one run: pictures a second, share of the peak.

    python benchmarks/train.py --size 128 --batch 64                 # a graphics card
    python benchmarks/train.py --size 32 --batch 8 --most_channels 64 --steps 4

The plain form computes the same losses as the published PyTorch code does: one group of kernels for each sample, zeros
inserted and a filter over them, pictures drawn once for D and once more for G, fp32, and the loss looked at after each
step. Ours is the recipe's. A cycle of 16 steps has one R1 penalty and four path lengths; p is --p.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator, published_channels
from vtoon.ops import Blur, ModulatedConv2d, upfirdn2d
from vtoon.system.measure import best_seconds, device_name, peak_gpu_memory_mb, seconds_of
from vtoon.train.dataset import Dataset
from vtoon.train.lessons import FinetuneOptions, Lesson
from vtoon.train.losses import discriminator_loss
from vtoon.train.recipes.finetune import StyleGANFinetune
from vtoon.train.trainer import run_phase, tune_device


class PlainModulated(ModulatedConv2d):
    """Kernels are modulated, not features: a group of the convolution for each sample."""

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        n, c, h, w = x.shape
        weight = self.scale * self.weight * self.modulation(style)[:, None, :, None, None]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        x = x.reshape(1, n * c, h, w)
        if self.upsample:
            weight = weight.transpose(1, 2).reshape(n * c, -1, *weight.shape[3:])
            out = F.conv_transpose2d(x, weight, stride=2, groups=n)
            return self.blur(out.reshape(n, -1, *out.shape[2:]))
        out = F.conv2d(x, weight.flatten(0, 1), padding=self.padding, groups=n)
        return out.reshape(n, -1, *out.shape[2:])


class PlainBlur(Blur):
    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, pad=self.pad)


class PlainRecipe(StyleGANFinetune):
    """Everything is drawn when it is needed."""

    def _fake(self, b: Lesson) -> list[Tensor]:
        return self.draw(b.fake)

    def discriminator_terms(self, b: Lesson) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self.draw(b.fake)[-1]
        real, fake = self.judge(b.real, b.real_seen), self.judge(fake, b.fake_seen)
        self.ada.see(real)
        return {"loss": discriminator_loss(real, fake)}


class Flops(TorchDispatchMode):
    """What convolutions and products of matrices compute, in all passes."""

    total = 0

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def made_plain(net: torch.nn.Module) -> None:
    for module in net.modules():
        if type(module) in (ModulatedConv2d, Blur):
            module.__class__ = PlainModulated if type(module) is ModulatedConv2d else PlainBlur


def recipe(args: argparse.Namespace, data: Dataset, plain: bool, **options: object) -> StyleGANFinetune:
    torch.manual_seed(0)
    channels = {r: min(c, args.most_channels) for r, c in published_channels(args.channels).items()}
    net, disc = Generator(args.size, channels=channels), Discriminator(args.size, channels)
    if plain:
        made_plain(net)
        made_plain(disc)
    shared = {"batch": args.batch, "path_weight": 2.0, "ada_target": None, "ada_p": args.p}
    made = FinetuneOptions(**shared, device=torch.device(args.device), **options)
    return (PlainRecipe if plain else StyleGANFinetune)(net, disc, data, made)


def steps(r: StyleGANFinetune, first: int, count: int, look: bool) -> None:
    for step in range(first, first + count):
        batch = r.next_batch(step)
        for phase in r.phases:
            if phase.due(step):
                terms = run_phase(phase, batch)
                if look:
                    [float(value) for value in terms.values()]
        r.end_step(step)


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second of a large product of matrices."""
    n = 8192 if device.type == "cuda" else 1024
    a = torch.randn(n, n, device=device, dtype=dtype)
    return 2 * n**3 / best_seconds(lambda: a @ a, device)


def measured(args: argparse.Namespace, data: Dataset, plain: bool, **options: object) -> tuple[float, float, float]:
    """Pictures a second, FLOP of a step, GB."""
    r = recipe(args, data, plain, **options)
    device = torch.device(args.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with Flops() as counter:
        steps(r, 0, min(args.steps, 16), plain)  # sets up, too
    flops = counter.total / min(args.steps, 16)
    seconds = seconds_of(lambda: steps(r, 16, args.steps, plain), device)
    return args.steps * args.batch / seconds, flops, peak_gpu_memory_mb(device) / 1000


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--channels", type=int, default=1, help="multiplier; 2 is as published")
    p.add_argument("--most_channels", type=int, default=512)
    p.add_argument("--p", type=float, default=0.2, help="chance of augmentation")
    p.add_argument("--steps", type=int, default=16)
    p.add_argument("--compile", action="store_true")
    p.add_argument("--only", default="", help="a comma-separated choice of plain,fp32,bf16,bf16-nhwc,fp32-nhwc")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = p.parse_args()
    cuda = args.device.startswith("cuda")
    tune_device(torch.device(args.device))
    half = {"dtype": torch.bfloat16}
    forms: dict[str, dict] = {"plain": {}, "fp32": {}, "bf16": half}
    if cuda:
        forms |= {"fp32-nhwc": {"channels_last": True}, "bf16-nhwc": half | {"channels_last": True}}
    elif not (torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16")):
        del forms["bf16"]  # only emulated here
    wanted = [name for name in forms if not args.only or name in args.only.split(",")]
    place = f"{device_name(torch.device(args.device))}, {torch.get_num_threads()} threads"
    print(f"{place}; PyTorch {torch.__version__}; {args.size} px, batch {args.batch}, p {args.p:g}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npy"
        np.save(path, np.random.default_rng(0).integers(0, 255, (256, args.size, args.size, 3), dtype=np.uint8))
        data = Dataset(path, args.size, args.device)
        base = None
        for form in wanted:
            options = forms[form] | ({"compile": True} if args.compile and form != "plain" else {})
            try:
                pace, flops, memory = measured(args, data, form == "plain", **options)
            except torch.cuda.OutOfMemoryError:
                print(f"{form:10s} does not fit the memory", flush=True)
                torch.cuda.empty_cache()
                continue
            base = base or pace
            share = pace / args.batch * flops / peak(torch.device(args.device), options.get("dtype", torch.float32))
            said = f"{form:10s} {pace:8.1f} img/s  {pace / base:5.2f} x  {1000 * args.batch / pace:7.1f} ms/step"
            print(
                f"{said}  {flops / 1e12:6.2f} TFLOP/step  {100 * share:4.1f}% of the peak  {memory:.1f} GB", flush=True
            )


if __name__ == "__main__":
    main()
