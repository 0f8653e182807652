"""Peak memory does not grow with the length of a video: a clip against one that is ten times longer."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

import tyro

from vtoon.cli.common import demo_clip
from vtoon.types import Frame
from vtoon.video import VideoReader, VideoWriter

PIECE = 1.0  # s of the clip that are repeated
AIM = 1.05  # peak of the long clip / peak of the short one
# Runs in a process of its own, whose peak is that of nothing else.
WORKER = """
import sys
from vtoon.system.measure import peak_memory_mb
from vtoon.pipeline.stylize import load
summary = load(sys.argv[3] or "default", "cpu").stylize_video(sys.argv[1], sys.argv[2])
print(summary.frames, peak_memory_mb())
"""


@dataclass(frozen=True)
class Memory:
    """Stylize SECONDS of a clip and ten times as much, and compare the peak memory."""

    content: Path | None = None
    """The video to repeat (default: the demo clip)."""
    seconds: float = 2.0
    """Length of the short clip."""
    times: int = 10
    """How much longer the long one is."""
    ckpt: str = ""
    """The model (default: the built-in one)."""
    json: bool = False
    """Print JSON instead of a table."""


def main(args: Memory) -> int:
    """Print the peaks and their ratio; 1 where the aim is missed."""
    content = args.content or demo_clip()
    with tempfile.TemporaryDirectory() as folder:
        peaks = [peak(content, args, seconds, Path(folder)) for seconds in (args.seconds, args.seconds * args.times)]
    ratio = peaks[1]["peak_mb"] / peaks[0]["peak_mb"]
    if args.json:
        print(json.dumps({"clips": peaks, "ratio": ratio, "aim": AIM}, indent=2))
    else:
        print("frames  peak memory")
        print("\n".join(f"{row['frames']:6}  {row['peak_mb']:8.0f} MB" for row in peaks))
        print(f"ratio   {ratio:8.3f}  (aim: at most {AIM})")
    return int(ratio > AIM)


def peak(content: Path, args: Memory, seconds: float, folder: Path) -> dict[str, float]:
    """Frames and peak memory, MB, of drawing `seconds` of the repeated clip."""
    source, target = folder / f"{seconds}.mp4", folder / f"{seconds}_out.mp4"
    with VideoReader(content) as reader, VideoWriter(source, rate=reader.info.rate, preset="ultrafast") as writer:
        for frame in islice(repeated(reader, PIECE), round(seconds * reader.info.rate)):
            writer.write(frame)
    done = subprocess.run(
        [sys.executable, "-c", WORKER, source, target, args.ckpt], check=True, capture_output=True, text=True
    )
    frames, megabytes = done.stdout.split()
    return {"frames": int(frames), "peak_mb": float(megabytes)}


def repeated(reader: VideoReader, seconds: float) -> Iterator[Frame]:
    """The first seconds of the clip again and again, with times that go on: both clips show the same, cuts included."""
    step = round(1 / (reader.info.rate * reader.info.time_base))
    pts = count(0, step)
    while True:
        for frame in islice(reader, round(seconds * reader.info.rate)):
            yield replace(frame, pts=next(pts))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Memory, use_underscores=True)))
