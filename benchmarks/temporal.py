"""How much steadier the flow makes a stylized video, and what it costs in sharpness.

    python benchmarks/temporal.py [CLIP ...] [--style 0] [--frames 150] [--json]

Every clip is drawn once, without an encoder between; the same drawings are measured as they are and steadied, on the
box around everything that is stylized. Warping error: Lai et al. 2018, colours in [0, 1], times 1000 in the table.
Leaves with 1 where an aim (25% less error, 95% of the sharpness) is missed.
"""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Annotated

import cv2
import numpy as np
import tyro

import vtoon
from vtoon.errors import VtoonError
from vtoon.faces import FaceTracker
from vtoon.flow import estimate_flow, find_estimator, follow, steady
from vtoon.metrics import sharpness, warping_error
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.placement import Paste
from vtoon.pipeline.stylize import Stylizer
from vtoon.types import Rendered
from vtoon.video import VideoReader

DEMO = Path(__file__).resolve().parent.parent / "data" / "demo.mp4"
MEASURED_AREA = 2048 * 2048  # px: the flow that measures is finer than the flow that steadies
LARGEST_ERROR_RATIO = 0.75  # the aim: at least 25% less error
LEAST_SHARPNESS_RATIO = 0.95  # and at least 95% of the sharpness


@dataclass(frozen=True)
class Result:
    """One clip's numbers."""

    clip: str
    frames: int
    error_without: float
    error_with: float
    sharpness_without: float
    sharpness_with: float
    milliseconds: float  # of steadying, per frame, all cores added

    @property
    def error_ratio(self) -> float:
        """Under 1: steadier."""
        return self.error_with / self.error_without if self.error_without else 1.0

    @property
    def sharpness_ratio(self) -> float:
        """Under 1: softer."""
        return self.sharpness_with / self.sharpness_without if self.sharpness_without else 1.0

    @property
    def reached(self) -> bool:
        """Both aims."""
        return self.error_ratio <= LARGEST_ERROR_RATIO and self.sharpness_ratio >= LEAST_SHARPNESS_RATIO


def main(
    clips: Annotated[tuple[Path, ...], tyro.conf.Positional] = (DEMO,),
    style: str = "0",
    degree: float = 1.0,
    frames: int = 150,
    json: bool = False,
) -> int:
    """Measure the temporal quality with and without steadying.

    Args:
        clips: videos with a face.
        style: name or id of a style.
        degree: how far to stylize, 0 to 1.
        frames: how many of each clip at most; all are held in memory.
        json: print one JSON list instead of the table.
    """
    stylizer = vtoon.load("default")
    options = StylizeOptions(style=style, style_degree=degree)
    results = [measure(stylizer, clip, options, frames) for clip in clips]
    if json:
        fields = ("error_ratio", "sharpness_ratio", "reached")
        print(json_format.dumps([asdict(r) | {name: getattr(r, name) for name in fields} for r in results], indent=1))
    else:
        print_table(results)
    return 0 if all(r.reached for r in results) else 1


def measure(stylizer: Stylizer, clip: Path, options: StylizeOptions, count: int) -> Result:
    """Draw a clip, steady it, and compare."""
    with VideoReader(clip) as reader:
        tracked = FaceTracker(faces=options.faces).track(iter(reader))
        drawn = list(islice(stylizer.render(tracked, Paste(options.detail), stylizer.engine(options), 1), count))
    estimate = find_estimator(stylizer.device)
    started = process_time()
    steadied = list(steady(iter(drawn), estimate))
    milliseconds = (process_time() - started) * 1000 / max(1, len(drawn))
    box = stylized_box(drawn)
    if box is None:
        raise VtoonError(f"{clip}: no face in the first {count} frames; give a clip with one")
    sources = [frame.source[box] for frame in drawn]
    before, after = ([frame.image[box] for frame in frames] for frames in (drawn, steadied))
    judge = partial(follow, estimate=partial(estimate_flow, area=MEASURED_AREA))
    errors = (warping_error(images, sources, judge) for images in (before, after))
    return Result(clip.name, len(drawn), *errors, sharpness(before), sharpness(after), milliseconds)


def stylized_box(frames: Sequence[Rendered]) -> tuple[slice, slice] | None:
    """The rows and columns that are stylized in any frame."""
    used = np.any([frame.weight > 0 for frame in frames], axis=0)
    x, y, width, height = cv2.boundingRect(used.view(np.uint8))
    return (slice(y, y + height), slice(x, x + width)) if width else None


def print_table(results: Sequence[Result]) -> None:
    """One line a clip."""
    columns = ("clip", "frames", "error", "steadied", "ratio", "sharpness", "steadied", "ratio", "ms/frame", "")
    row = "{:<24} {:>6} {:>9} {:>9} {:>6} {:>10} {:>9} {:>6} {:>9}  {}"
    print(row.format(*columns))
    for r in results:
        errors = f"{r.error_without * 1000:.4f}", f"{r.error_with * 1000:.4f}", f"{r.error_ratio:.3f}"
        sharp = f"{r.sharpness_without:.3f}", f"{r.sharpness_with:.3f}", f"{r.sharpness_ratio:.3f}"
        print(row.format(r.clip, r.frames, *errors, *sharp, f"{r.milliseconds:.1f}", "ok" if r.reached else "MISSED"))


if __name__ == "__main__":
    try:
        sys.exit(tyro.cli(main))
    except VtoonError as error:
        sys.exit(str(error))
