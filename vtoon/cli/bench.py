"""`vtoon bench`: how fast this machine draws, and where the time goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from vtoon.cli.common import Device, Flag, Talk, demo_clip, progress_bar, show_notices

if TYPE_CHECKING:
    from vtoon.cli.measure import Report

STAGES = ("decode", "track", "crop", "prepare", "model", "paste", "steady", "encode")


@dataclass(frozen=True)
class Bench:
    """Measure speed: frames per second, time per stage, GFLOP, share of the machine's peak, memory."""

    content: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the demo clip)")] = None
    """The video to draw."""
    ckpt: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the built-in model)")] = None
    """The model; `live` is the quick built-in one."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    json: Flag = False
    """Print JSON instead of a table."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.cli.measure import measure

        show_notices(self.messages)
        content = self.content or demo_clip()
        with progress_bar(content.name, self.messages.quiet) as progress:
            report = measure(content, self.ckpt, self.device, progress)
        print(json.dumps(asdict(report) | report.ratios(), indent=2) if self.json else table(report))


def table(report: Report) -> str:
    """The report as lines of text."""
    return "\n".join([*_stages(report), "", *_facts(report)])


def _stages(report: Report) -> Iterator[str]:
    work = sum(report.stage_seconds.values())
    yield "stage     ms/frame  share of work"
    for name in sorted(report.stage_seconds, key=lambda s: STAGES.index(s) if s in STAGES else len(STAGES)):
        seconds = report.stage_seconds[name]
        yield f"{name:8}  {1000 * seconds / report.frames:8.1f}  {seconds / work:12.1%}"


def _facts(report: Report) -> Iterator[str]:
    ratios = report.ratios()
    regions = ", ".join(f"{n} of {size}" for size, n in list(report.regions.items())[:4])
    yield f"clip             {report.frames} frames of {report.width}x{report.height}, {report.faces} face(s)"
    yield f"device           {report.device}, {report.threads} threads"
    yield f"speed            {ratios['fps']:.2f} fps ({ratios['real_time']:.2f} of real time)"
    yield f"regions drawn    {regions}{', ...' if len(report.regions) > 4 else ''}"
    yield f"model            {report.gflop_256:.2f} GFLOP at 256x256, {ratios['gflop_per_frame']:.2f} for a frame"
    yield f"model alone      {report.model_gflops:.0f} GFLOP/s at {report.timed_region}"
    yield f"machine's peak   {report.peak_gflops:.0f} GFLOP/s (best of dense 3x3 convolutions, {report.dtype})"
    alone, beside = ratios["model_of_peak"], ratios["model_of_peak_in_pipeline"]
    yield f"model / peak     {alone:.2f} alone, {beside:.2f} beside the other stages"
    yield f"rest / model     {ratios['rest_of_model']:.2f} (time of all that is not the model, less is better)"
    yield f"overlap          {ratios['overlap']:.2f} (work done in parallel: 1 is none)"
    yield f"peak memory      {report.peak_memory_mb:.0f} MB" + (
        f", {report.peak_gpu_memory_mb:.0f} MB on the GPU" if report.peak_gpu_memory_mb else ""
    )
