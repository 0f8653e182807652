"""The measurements of `vtoon bench`."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from vtoon.painters.engine import Engine, Job
from vtoon.painters.published import PublishedPainter
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.stylize import Progress, Stylizer, load
from vtoon.system.clock import StageClock
from vtoon.system.measure import best_seconds, device_name, peak_gflops, peak_gpu_memory_mb, peak_memory_mb
from vtoon.video import probe

EYES = 96.0  # px; a region's cost does not depend on it


@dataclass(frozen=True)
class Report:
    """What was measured. Seconds are of work, with waiting for another thread left out."""

    model: str  # its file's name
    device: str
    threads: int
    width: int
    height: int
    rate: float  # of the clip, frames/s
    frames: int
    faces: int
    seconds: float  # wall clock, reading to finished file
    cpu_seconds: float  # of the process in that time: does not grow where other programs want the machine, too
    stage_seconds: dict[str, float]
    regions: dict[str, int]  # "width x height" -> how many were drawn, the most frequent first
    gflop_256: float
    gflop_total: float  # of all regions
    timed_region: str
    model_gflops: float  # GFLOP/s of the model with nothing beside it
    dtype: str  # in which the model computes, and the peak is taken
    peak_gflops: float  # GFLOP/s of the fastest dense convolution
    peak_memory_mb: float
    peak_gpu_memory_mb: float

    def ratios(self) -> dict[str, float]:
        """The numbers that can be compared between machines."""
        work, model = sum(self.stage_seconds.values()), self.stage_seconds.get("model", 0.0)
        in_pipeline = self.gflop_total / model if model else 0.0
        return {
            "fps": self.frames / self.seconds,
            "real_time": self.frames / self.seconds / self.rate,
            "gflop_per_frame": self.gflop_total / self.frames,
            "model_of_peak": self.model_gflops / self.peak_gflops,
            "model_of_peak_in_pipeline": in_pipeline / self.peak_gflops,
            "rest_of_model": (work - model) / model if model else float("inf"),
            "overlap": work / self.seconds,
        }


class RecordingStylizer(Stylizer):
    """Keeps count of the regions that its engines draw."""

    def __init__(self, stylizer: Stylizer) -> None:
        super().__init__(stylizer.checkpoint, str(stylizer.device))
        self.drawn: Counter[tuple[int, int]] = Counter()  # (height, width)
        self._counting = Lock()  # frames are drawn side by side

    def engine(self, options: StylizeOptions, moving: bool = False) -> Engine:
        engine = super().engine(options, moving)
        draw = engine.draw

        def recorded(jobs: list[Job]) -> list[np.ndarray]:
            with self._counting:
                self.drawn.update(job.image.shape[:2] for job in jobs)
            return draw(jobs)

        engine.draw = recorded
        return engine


def measure(content: Path, ckpt: Path | None, device: str, progress: Progress | None = None) -> Report:
    """Draw the clip once with the default options, then time the model and the machine alone."""
    info = probe(content)
    stylizer = RecordingStylizer(load(ckpt or "default", device))
    clock, spent = StageClock(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        summary = stylizer.stylize_video(content, Path(folder) / "out.mp4", progress, clock)
    spent = time.process_time() - spent
    memory = peak_memory_mb(), peak_gpu_memory_mb(stylizer.device)  # before what follows adds to it
    engine = Stylizer.engine(stylizer, StylizeOptions())
    if isinstance(engine.painter, PublishedPainter):  # what is timed shows no face to take a style from
        config = stylizer.checkpoint.config
        engine.painter.draw_as(torch.zeros(1, config.num_latents, config.style_dim))
    cost = {size: gflop(engine, size) for size in (*stylizer.drawn, (256, 256))}
    region = max(stylizer.drawn, key=lambda size: stylizer.drawn[size] * cost[size], default=(256, 256))
    return Report(
        model=Path(ckpt).name if ckpt else "default",
        device=device_name(stylizer.device),
        threads=torch.get_num_threads(),
        width=info.width,
        height=info.height,
        rate=float(info.rate),
        frames=summary.frames,
        faces=summary.faces,
        seconds=summary.seconds,
        cpu_seconds=spent,
        stage_seconds={name: seconds for name, seconds in clock.seconds.items() if name != "wait"},
        regions={f"{w}x{h}": n for (h, w), n in stylizer.drawn.most_common()},
        gflop_256=cost[256, 256],
        gflop_total=sum(cost[size] * n for size, n in stylizer.drawn.items()),
        timed_region=f"{region[1]}x{region[0]}",
        model_gflops=cost[region] / best_seconds(lambda: engine.draw([_region(region)]), stylizer.device),
        dtype=str(engine.painter.dtype).removeprefix("torch."),
        peak_gflops=peak_gflops(stylizer.device, engine.painter.dtype),
        peak_memory_mb=memory[0],
        peak_gpu_memory_mb=memory[1],
    )


def _region(size: tuple[int, int]) -> Job:
    return Job(np.full((*size, 3), 128, np.uint8), EYES)


def gflop(engine: Engine, size: tuple[int, int]) -> float:
    """Billions of floating-point operations (a multiplication and its addition are two) for one region."""
    with FlopCounterMode(display=False) as counter:
        engine.draw([_region(size)])
    return counter.get_total_flops() / 1e9
