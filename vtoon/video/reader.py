"""Reading a video as a stream of upright 8-bit RGB frames with exact times."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from fractions import Fraction

from vtoon.errors import VtoonError
from vtoon.types import Frame
from vtoon.video.colours import ToRGB
from vtoon.video.decode import Decoder
from vtoon.video.info import probe
from vtoon.video.part import WHOLE, Part
from vtoon.video.source import open_source, picture_stream

log = logging.getLogger("vtoon")
INDEXED = ("matroska", "mp4")  # containers, in ffmpeg's names, that say where the keyframes are


class VideoReader:
    """Iterate the frames of a video file, an animated GIF or an image sequence (`frames/%04d.png`).

        with VideoReader("in.mp4") as reader:
            for frame in reader:                      # Frame: uint8 [H, W, 3] RGB, pts, time_base
                ...

    Frames are upright (display matrix applied), in the order of their times, with the `pts` of the file. YUV becomes
    RGB with the matrix and range that the file names; more than 8 bits are rounded to 8; PQ and HLG light is
    tone-mapped to BT.709. The second `for` starts again from the beginning. Memory does not grow with the length.

    A `part` alone is read where one is given; its times then begin at `start`, which `shift` (s) says.

    After the loop `damaged` is None, or one line that says where the file broke (the frames before it were given), and
    `finished` tells whether the loop came to the end of the file (None: there was none yet).

    Raises VtoonError where the file cannot be read at all.
    """

    def __init__(self, path: str | os.PathLike, rate: Fraction | None = None, part: Part = WHOLE) -> None:
        """`rate` (frames/s, default 25) is the speed of an image sequence; a file has its own."""
        self.path, self.part = path, part
        whole = probe(path, rate)
        self.info = part.of(whole)
        if self.info.kind == "image":
            raise VtoonError(f"{path}: the content is one picture, not a video; treat it as an image")
        self.damaged: str | None = None
        self.finished: bool | None = None
        self.last_shown = Fraction(0)  # s that the latest picture is shown; 0: not known
        self._rate = rate
        self._low, self._high = part.pts(whole)
        self.shift = (self._low or 0) * whole.time_base
        self._closed = False
        self._say_what_changes()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True  # a loop still running in another thread ends at its next frame

    def __iter__(self) -> Iterator[Frame]:
        if self._closed:
            raise ValueError(f"{self.path}: this VideoReader is closed")
        self.damaged, self.finished = None, False
        info, count, pts, low, high = self.info, 0, None, self._low or 0, self._high
        to_rgb = ToRGB(info.colours, *info.stored_size)
        with open_source(self.path, self._rate) as container:
            stream = picture_stream(container, self.path)
            if low and any(name in container.format.name for name in INDEXED):
                container.seek(low, stream=stream)  # to the keyframe before
            decoder = Decoder(container, stream)
            for picture in decoder:
                if self._closed:
                    return
                if not count and not low and decoder.passed_over:
                    log.warning("%s: what comes before the first whole picture is left out", self.path)
                pts = self._next_pts(picture.pts, pts)
                if pts < low and self._low:
                    continue
                if high is not None and pts >= high:
                    break
                count += 1
                self.last_shown = (picture.duration or 0) * info.time_base
                yield Frame(info.orientation.upright(to_rgb(picture)), pts - low, info.time_base)
            else:
                self.finished = True
        if not count:
            raise VtoonError(f"{self.path}: {self._nothing(pts)}")
        if not self.finished:
            return
        if decoder.broken:
            time = float(pts * info.time_base)
            self.damaged = (
                f"{self.path}: the file breaks after frame {count}, at {time:.2f} s; what follows is left out"
            )

    def _nothing(self, pts: int | None) -> str:
        if pts is None and self.part.whole:
            return "the file is damaged: not one picture can be decoded"
        return f"no picture from {self.part}; the video is shorter"

    def _next_pts(self, pts: int | None, last: int | None) -> int:
        """`pts` where it goes forward; raw streams carry none, broken ones repeat it: then one frame after `last`."""
        if pts is not None and (last is None or pts > last):
            return pts
        return 0 if last is None else last + max(1, round(1 / (self.info.rate * self.info.time_base)))

    def _say_what_changes(self) -> None:
        info = self.info
        if info.hdr:
            log.warning("%s: HDR (%s) is tone-mapped to 8-bit SDR BT.709", self.path, info.colours)
        elif info.bit_depth > 8:
            log.warning("%s: %d-bit colour is rounded to 8 bits", self.path, info.bit_depth)
