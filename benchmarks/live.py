"""Rate, latency and frames left out of `vtoon live`, for 360p and 720p at 30 frames a second.

The source is a portrait that moves, played from a file in its own time; nothing is sent anywhere. A model is given ten
seconds to find its detail before figures count.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import tyro

from vtoon.cli.common import Device, guard
from vtoon.cli.styles import portrait
from vtoon.live.loop import Live, Stats, Wish
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.stylize import load
from vtoon.types import Frame
from vtoon.video import VideoWriter

SIZES = {"360p": (640, 360), "720p": (1280, 720)}  # (width, height) px
RATE, CLIP_SECONDS = 30, 4


@dataclass(frozen=True)
class Bench:
    """Measure `vtoon live`."""

    ckpt: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The model (default: the built-in one)."""
    photo: Path | None = None
    """Whose face moves (default: scikit-image's astronaut)."""
    fps: float = 15.0
    """The rate to hold."""
    warm_up: float = 10.0
    """Seconds that do not count."""
    seconds: float = 20.0
    """Seconds that count."""
    device: Device = "auto"

    def run(self) -> None:
        stylizer = load(self.ckpt or "default", self.device)
        print(f"{'source':8}{'steady':>8}{'frames/s':>10}{'p50 ms':>8}{'p95 ms':>8}{'left out':>10}{'detail':>8}")
        with tempfile.TemporaryDirectory() as folder:
            for name, size in SIZES.items():
                clip = moving(portrait(self.photo), size, Path(folder) / f"{name}.mp4")
                for steady in (True, False):
                    live = Live(stylizer, Wish(StylizeOptions(steady=steady)), self.fps)
                    print(f"{name:8}{'yes' if steady else 'no':>8}{self.measured(live, clip)}")

    def measured(self, live: Live, clip: Path) -> str:
        """The figures of a run, once it is warm."""
        for seconds in (self.warm_up, self.seconds):
            with contextlib.closing(live.run(str(clip), [], seconds)) as run:
                (last,) = deque(run, maxlen=1)
        return _line(last)


def _line(stats: Stats) -> str:
    share = stats.dropped / max(1, stats.dropped + stats.frames)
    late = f"{1000 * stats.p50:8.0f}{1000 * stats.p95:8.0f}"
    return f"{stats.fps:10.1f}{late}{share:10.0%}{stats.detail:>8}"


def moving(photo: np.ndarray, size: tuple[int, int], path: Path) -> Path:
    """A clip of `size` in which a photo uint8 [H, W, 3] sways by a twentieth of the width."""
    width, height = size
    scale = height / photo.shape[0]
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    with VideoWriter(path, rate=RATE, preset="ultrafast") as writer:
        for i in range(RATE * CLIP_SECONDS):
            image = np.full((height, width, 3), 90, np.uint8)
            left = round((width - photo.shape[1]) / 2 + width / 20 * np.sin(2 * np.pi * i / (RATE * CLIP_SECONDS)))
            image[:, left : left + photo.shape[1]] = photo
            writer.write(Frame(image, i))
    return path


if __name__ == "__main__":
    sys.exit(guard(tyro.cli(Bench, use_underscores=True).run))
