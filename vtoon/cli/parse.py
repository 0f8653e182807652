"""`vtoon parse`: the smoothed parsing of a clip as a file, for drawing it with --parsing_map_path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from tyro.conf import Positional, arg

from vtoon.cli.common import FAILED, Companion, Device, Flag, Talk, new_file, progress_bar, say_error, show_notices
from vtoon.errors import VtoonError
from vtoon.system.tree import tree_only

if TYPE_CHECKING:
    from vtoon.painters.parsing import ParsingSmoother
    from vtoon.video import VideoReader
    from vtoon.weights.npy import NpyWriter


@dataclass(frozen=True)
class Parse:
    """Say which part of a face every pixel of a clip shows, smoothed along the motion (as smooth_parsing_map.py).

    The clip is a cropped one, the <name>_input.mp4 of `style_transfer.py --scale_image`. The file has 76 bytes for
    each pixel: 12 MB for a frame of 400x400 px. Drawing smooths by itself; this is for doing it once.
    """

    input: Annotated[str, Positional, arg(metavar="INPUT")]
    """The cropped clip; its sides must be multiples of 8 px."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT.npy")]
    """float32 [frames, 19, height, width]."""
    window: int = 5
    """Frames looked at on each side; 0 for each frame alone."""
    faceparsing_path: Companion = None
    """The parsing network (default: faceparsing.pth where VToonify's documentation puts it)."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    overwrite: Flag = False
    """Replace an output that exists."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> int:
        """Returns the exit code: a clip that breaks in the middle is parsed up to there, and failed."""
        from vtoon.video import VideoReader

        show_notices(self.messages)
        if self.window < 0:
            raise VtoonError(f"window is {self.window}; it must be 0 or more frames")
        with VideoReader(self.input) as reader, new_file(self.output, ".npy", self.input, self.overwrite) as part:
            check_sides(reader)
            smoother = self._smoother()
            with part.open("wb") as file, progress_bar(Path(self.input).name, self.messages.quiet) as progress:
                frames = write_maps(file, reader, smoother, progress).rows
        if reader.damaged:
            say_error(reader.damaged)
        if not self.messages.quiet:
            print(f"{self.output}: {frames} frames of {reader.info.width}x{reader.info.height} px")
        return FAILED if reader.damaged else 0

    def _smoother(self) -> ParsingSmoother:
        from vtoon.flow import find_estimator
        from vtoon.models.bake import for_drawing
        from vtoon.painters.companions import load_parser
        from vtoon.painters.engine import pick_device
        from vtoon.painters.parsing import ParsingSmoother
        from vtoon.weights.hub import find_published

        device = pick_device(self.device)
        parser = for_drawing(load_parser(self.faceparsing_path or find_published("faceparsing.pth")), device)
        return ParsingSmoother(parser, find_estimator(device), device, self.window)


def check_sides(reader: VideoReader) -> None:
    """Raise VtoonError for frames that VToonify cannot draw as they are."""
    width, height = reader.info.width, reader.info.height
    if width % 8 or height % 8:
        raise VtoonError(
            f"{reader.path}: frames of {width}x{height} px; both sides must be multiples of 8, as those of the "
            f"<name>_input.mp4 that style_transfer.py --scale_image writes{tree_only('style_transfer.py')}"
        )


def write_maps(
    file: BinaryIO, reader: VideoReader, smoother: ParsingSmoother, progress: Callable[[int, int | None], None]
) -> NpyWriter:
    """Every frame's logits, as they become known: `window` frames behind the reader."""
    from vtoon.models.face_parsing import NUM_CLASSES
    from vtoon.weights.npy import NpyWriter

    maps = NpyWriter(file, (NUM_CLASSES, reader.info.height, reader.info.width), "<f4")
    for (logits,) in smoother.smooth([("clip", frame.image)] for frame in reader):
        maps.append(logits.cpu().numpy())
        progress(maps.rows, reader.info.expected_frames)
    maps.finish()
    return maps
