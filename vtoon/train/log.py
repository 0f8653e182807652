"""What a run says of itself: a line on the terminal, log.jsonl, TensorBoard."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.train.distributed import is_main


class Log:
    """Means of the terms since the last line, with the pace, the time left and the memory.

    Terms may be tensors on a graphics card: they are looked at when a line is due, so that no step waits for them.
    """

    def __init__(self, folder: Path, step: int, steps: int, every: int, images: int = 0) -> None:
        """`step`: where the run goes on; `every`: steps between two lines; `images`: of a step, where kimg are said."""
        self.folder, self.steps, self.every, self.images = folder, steps, every, images
        self.end = math.inf  # of the clock (time.monotonic), where the run ends by it
        self.sums: dict[str, list[Tensor | float]] = {}
        self.since, self.first = time.monotonic(), step
        self.writer = _tensorboard(folder) if is_main() else None

    def add(self, step: int, terms: Mapping[str, Tensor | float]) -> None:
        """`step`: steps done. Raises VtoonError where a mean is not finite: nothing good can follow."""
        for name, value in terms.items():
            self.sums.setdefault(name, []).append(value)
        if step % self.every and step != self.steps:
            return
        means = {name: _mean(values) for name, values in self.sums.items()}
        self.sums.clear()
        if not all(map(math.isfinite, means.values())):
            raise VtoonError(f"step {step}: the loss is not finite ({means}); lower --lr or resume an earlier state")
        if is_main():
            self._say(step, means)
        self.since, self.first = time.monotonic(), step

    def _say(self, step: int, means: dict[str, float]) -> None:
        pace = (time.monotonic() - self.since) / max(1, step - self.first)
        left, memory = pace * (self.steps - step), used_bytes() / 2**30
        left = min(left, max(self.end - time.monotonic(), 0))
        values = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        kimg, said = step * self.images / 1000, ""
        if self.images:
            said = f"{kimg:.1f} kimg  {1000 * pace / self.images:.1f} s/kimg  "
        print(f"{step:6d}/{self.steps}  {said}{pace:.2f} s/step  {clock(left)} left  {memory:.1f} GB  {values}",
              flush=True)  # fmt: skip
        line = {"step": step} | ({"kimg": round(kimg, 3)} if self.images else {})
        line |= {"seconds_per_step": round(pace, 4), "memory_gb": round(memory, 2)} | means
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.writer:
            for name, value in means.items():
                self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self.writer:
            self.writer.close()


def _mean(values: list[Tensor | float]) -> float:
    if isinstance(values[0], Tensor):
        return float(torch.stack(values).double().mean())
    return math.fsum(values) / len(values)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 1:05:09."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def used_bytes() -> int:
    """Of the graphics card the most that was taken so far, else what this process holds now."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import psutil
    except ImportError:  # on a machine that only trains: the most so far
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return psutil.Process().memory_info().rss


def _tensorboard(folder: Path) -> object | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print('no TensorBoard: pip install "vtoon[train]" for curves')
        return None
    return SummaryWriter(folder)
