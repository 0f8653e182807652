"""What a run says of itself: a line on the terminal, log.jsonl, TensorBoard."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from vtoon.errors import VtoonError, describe
from vtoon.system.target import append
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
        self.curves = _curves(folder) if is_main() else None

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
        line = {"step": step} | ({"kimg": round(kimg, 3)} if self.images else {})
        line |= {"seconds_per_step": round(pace, 4), "memory_gb": round(memory, 2)} | means
        with spared(self.folder):
            print(f"{step:6d}/{self.steps}  {said}{pace:.2f} s/step  {clock(left)} left  {memory:.1f} GB  {values}",
                  flush=True)  # fmt: skip
        with spared(self.folder):
            append(self.folder / "log.jsonl", (json.dumps(line) + "\n").encode())
            if self.curves:
                append(self.curves, _event(step, means, first=not self.curves.exists()))


@contextlib.contextmanager
def spared(folder: Path) -> Iterator[None]:
    """What is only looked at does not end a training: where it cannot be written, that is said once."""
    try:
        yield
    except (OSError, VtoonError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError) or isinstance(cause, BrokenPipeError):
            raise
        with contextlib.suppress(OSError):  # the terminal may be a file on that disk
            _say_once(f"{folder}: logs and previews cannot be written ({cause.strerror or describe(cause)}); "
                      "the training goes on")  # fmt: skip


@cache
def _say_once(line: str) -> None:
    logging.getLogger("vtoon").warning(line)


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


def _curves(folder: Path) -> Path | None:
    """TensorBoard's file of this run."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        print('no TensorBoard: pip install "vtoon[train]" for curves')
        return None
    return folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"


def _event(step: int, values: Mapping[str, float], first: bool) -> bytes:
    """What TensorBoard reads; written here, for its own writer does so in a thread, where a full disk is not heard."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    record = io.BytesIO()
    write = RecordWriter(record).write
    if first:
        write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
    shown = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
    write(Event(wall_time=time.time(), step=step, summary=shown).SerializeToString())
    return record.getvalue()
