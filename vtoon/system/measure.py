"""How fast and how large: the shortest of several runs, what a machine reaches at best, the most memory held."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

try:
    import resource
except ImportError:
    resource = None

# Dense 3x3 convolutions (images, channels, side) of which the fastest tells what the machine can do.
PEAK_SHAPES = ((1, 64, 128), (1, 128, 64), (4, 128, 64), (1, 256, 64))
GPU_PEAK_SHAPES = ((16, 128, 128), (16, 256, 64), (16, 512, 64))


@torch.inference_mode()
def peak_gflops(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """GFLOP/s of the fastest dense 3x3 convolution."""
    best = 0.0
    for n, channels, side in GPU_PEAK_SHAPES if device.type == "cuda" else PEAK_SHAPES:
        for layout in (torch.contiguous_format, torch.channels_last):
            x, weight = (
                torch.randn(*shape, device=device, dtype=dtype).contiguous(memory_format=layout)
                for shape in ((n, channels, side, side), (channels, channels, 3, 3))
            )
            seconds = best_seconds(lambda x=x, weight=weight: F.conv2d(x, weight, padding=1), device)
            best = max(best, 2 * 9 * n * channels**2 * side**2 / seconds / 1e9)
    return best


def best_seconds(work: Callable[[], object], device: torch.device, repeats: int = 10) -> float:
    """The shortest of several runs: what else the machine does is not counted."""
    work()
    return min(seconds_of(work, device) for _ in range(repeats))


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Of one run, to the end of what it has given the device to do."""
    _wait_for(device)
    started = time.perf_counter()
    work()
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def device_name(device: torch.device) -> str:
    """What PyTorch calls it; of a CPU also its instruction set."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.backends.cpu.get_cpu_capability()})" if device.type == "cpu" else str(device)


def peak_memory_mb() -> float:
    """The most that this process has held so far; 0 on Windows, which does not tell."""
    if resource is None:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes in which the system counts
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_gpu_memory_mb(device: torch.device) -> float:
    """The most that PyTorch has held on a CUDA device; 0 elsewhere."""
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else 0.0
