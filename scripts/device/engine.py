"""The engine on a CUDA GPU: `benchmarks/engine.py` in fp16, compiled and in batches, then want of memory on purpose.

python scripts/device/engine.py --out results.txt        # 3 minutes on an H100
python scripts/device/engine.py --device cpu --size 64   # the same steps, to try the script
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from vtoon.models.bake import bake, for_drawing
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.ops import arithmetic
from vtoon.painters.engine import Engine, Job, Painter

ROOT = Path(__file__).resolve().parents[2]


class Baked(Painter):
    """A VToonify-D with random weights that thinks it needs next to no memory."""

    rounding, bytes_per_pixel = False, 1

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        self.device, self.dtype = device, dtype
        net = for_drawing(VToonify(VToonifyConfig()).eval(), device)
        self.style, self.degree = torch.randn(1, 18, 512, device=device), torch.full((1, 1), 0.5, device=device)
        with torch.no_grad():
            self.net = for_drawing(bake(net, self.style, self.degree), device, dtype)

    def __call__(self, x: torch.Tensor, jobs: list[Job]) -> torch.Tensor:
        n = len(x)
        seen = torch.cat([x, x.new_zeros(n, 19, *x.shape[2:])], 1)
        with arithmetic(self.device, self.dtype):
            return self.net(seen, self.style.expand(n, -1, -1), self.degree.expand(n, 1)).float()


def bench(device: str, sizes: list[int], forms: str, backbones: str, batch: int, repeats: int) -> str:
    flags = ["--device", device, "--forms", *forms.split(), "--backbones", *backbones.split(), "--batch", str(batch)]
    flags += ["--sizes", *map(str, sizes), "--repeats", str(repeats)]
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "engine.py", *flags], capture_output=True, text=True)
    return done.stdout + (done.stderr[-2000:] if done.returncode else "")


def want_of_memory(device: torch.device, size: int) -> str:
    """Sixteen pictures where a few fit: each must come out as it does alone."""
    engine = Engine(Baked(device, torch.float16 if device.type == "cuda" else torch.float32), device)
    rng = np.random.default_rng(0)
    jobs = [Job(rng.integers(0, 255, (size, size, 3), dtype=np.uint8), 64.0) for _ in range(16)]
    alone = [engine.draw([job])[0] for job in jobs[:3]]
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        engine.draw(jobs[:1])
        one = torch.cuda.max_memory_allocated()
        whole = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, 2.5 * one / whole))
    together = engine.draw(jobs)
    off = max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(alone, together, strict=False))
    fitted = engine._most // size**2 if engine._most < 1 << 60 else "all"
    return (
        f"{len(together)} pictures of {size} px drawn in batches of {fitted}; at most {off} levels from those alone\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, nargs="+", default=[256, 400])
    parser.add_argument("--out", type=Path, default=Path("engine.txt"))
    args = parser.parse_args()
    gpu, started = args.device.startswith("cuda"), time.monotonic()
    steps = [
        lambda: want_of_memory(torch.device(args.device), args.size[-1]),
        lambda: bench(args.device, args.size, "published baked" + " fp16" * gpu, "dualstylegan toonify", 1, 5),
        lambda: bench(args.device, args.size[:1], "published fp16", "dualstylegan", 8, 5),
        lambda: bench(args.device, args.size[:1], "published compiled", "dualstylegan", 1, 5),
    ]
    for step in steps[: 4 if gpu else 2]:
        try:
            text = step()
        except Exception as error:  # the rest is worth having
            text = f"{type(error).__name__}: {str(error)[:500]}\n"
        print(f"[{time.monotonic() - started:.0f} s]", text, flush=True)
        with args.out.open("a") as file:
            file.write(text)


if __name__ == "__main__":
    main()
