"""`vtoon bench`: how fast this machine draws, and where the time goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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
    ckpt: Annotated[tuple[Path, ...], arg(metavar="FILE", help_behavior_hint="(default: the built-in model)")] = ()
    """The model; `live` is the quick built-in one; several are measured one after the other and shown side by side."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    json: Flag = False
    """Print JSON instead of a table."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.cli.measure import measure

        show_notices(self.messages)
        content = self.content or demo_clip()
        reports = []
        for ckpt in self.ckpt or (None,):
            with progress_bar(content.name, self.messages.quiet) as progress:
                reports.append(measure(content, ckpt, self.device, progress))
        found = [asdict(report) | report.ratios() for report in reports]
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2) if self.json else table(reports))


def table(reports: Sequence[Report]) -> str:
    """The reports as lines of text, a column each."""
    facts = [dict(_facts(report)) for report in reports]
    rows = [("stage", ["ms/frame  share of work"] * len(reports)), *_stages(reports), ("", [""] * len(reports))]
    rows += [(name, [fact[name] for fact in facts]) for name in facts[0]]
    widths = [max(len(cells[i]) for _, cells in rows) for i in range(len(reports))]
    return "\n".join(_line(name, cells, widths) for name, cells in rows)


def _line(name: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join([f"{name:15}", *(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))]).rstrip()


def _stages(reports: Sequence[Report]) -> Iterator[tuple[str, list[str]]]:
    names = {name for report in reports for name in report.stage_seconds}
    for name in sorted(names, key=lambda s: STAGES.index(s) if s in STAGES else len(STAGES)):
        yield name, [_share(report, report.stage_seconds.get(name, 0.0)) for report in reports]


def _share(report: Report, seconds: float) -> str:
    return f"{1000 * seconds / report.frames:8.1f}  {seconds / sum(report.stage_seconds.values()):13.1%}"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    ratios = report.ratios()
    regions = ", ".join(f"{n} of {size}" for size, n in list(report.regions.items())[:2])
    yield "file", report.model
    yield "clip", f"{report.frames} frames of {report.width}x{report.height}, {report.faces} face(s)"
    yield "device", f"{report.device}, {report.threads} threads"
    yield "speed", f"{ratios['fps']:.2f} fps ({ratios['real_time']:.2f} of real time)"
    yield "CPU time", f"{1000 * report.cpu_seconds / report.frames:.0f} ms/frame, of all cores"
    yield "regions drawn", f"{regions}{', ...' if len(report.regions) > 2 else ''}"
    yield "model", f"{report.gflop_256:.2f} GFLOP at 256x256, {ratios['gflop_per_frame']:.2f} for a frame"
    yield "model alone", f"{report.model_gflops:.0f} GFLOP/s at {report.timed_region}"
    yield "machine's peak", f"{report.peak_gflops:.0f} GFLOP/s (best 3x3 convolution, {report.dtype})"
    alone, beside = ratios["model_of_peak"], ratios["model_of_peak_in_pipeline"]
    yield "model / peak", f"{alone:.2f} alone, {beside:.2f} beside the other stages"
    yield "rest / model", f"{ratios['rest_of_model']:.2f} (all that is not the model, less is better)"
    yield "overlap", f"{ratios['overlap']:.2f} (work done in parallel: 1 is none)"
    on_gpu = f", {report.peak_gpu_memory_mb:.0f} MB on the GPU" if report.peak_gpu_memory_mb else ""
    yield "peak memory", f"{report.peak_memory_mb:.0f} MB{on_gpu}, of all models so far"
