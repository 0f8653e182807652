"""Reading a video as a stream of upright 8-bit RGB frames with exact times."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from vtoon.errors import VtoonError
from vtoon.types import Frame
from vtoon.video.colours import ToRGB
from vtoon.video.decode import Decoder
from vtoon.video.deinterlace import check_mode, deinterlaced
from vtoon.video.info import probe
from vtoon.video.part import WHOLE, Part
from vtoon.video.rising import Rising, Timed
from vtoon.video.source import open_source, picture_stream

log = logging.getLogger("vtoon")


class VideoReader:
    """Iterate the frames of a video file, an animated GIF or an image sequence (`frames/%04d.png`).

        with VideoReader("in.mp4") as reader:
            for frame in reader:                      # Frame: uint8 [H, W, 3] RGB, pts, time_base
                ...

    Frames are upright (display matrix applied), in the order of their times, on a clock that begins with the
    file and does not jump (see `clock`). YUV becomes RGB with the matrix and range that the file names; more than
    8 bits are rounded to 8; PQ and HLG light is tone-mapped to BT.709. The second `for` starts again from the
    beginning. Memory does not grow with the length.

    A `part` alone is read where one is given; its times then begin at zero, which is `shift` s on the file's clock.

    After the loop `damaged` is None, or one line that says what is left out (pictures that cannot be decoded, or all
    behind the place where the file breaks), and `finished` tells whether the loop came to the end (None: there was none
    yet).

    Raises VtoonError where the file cannot be read at all.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        rate: Fraction | None = None,
        part: Part = WHOLE,
        *,
        deinterlace: str = "auto",
    ) -> None:
        """`rate` (frames/s, default 25) is the speed of an image sequence; a file has its own.

        `deinterlace` of pictures that are marked as interlaced: auto keeps the rate, double makes a frame of each
        field at twice the rate, off leaves them as they are.
        """
        self.path, self.part = path, part
        self._deinterlace = check_mode(deinterlace)
        self.info = info = probe(path, rate)
        self._ticks = 2 if deinterlace == "double" and info.interlaced else 1
        if self._ticks == 2:
            twice = info.frames and 2 * info.frames
            self.info = replace(info, rate=2 * info.rate, time_base=info.time_base / 2, frames=twice)
        self._first, self.info = Fraction(self.info.start).limit_denominator(1_000_000), part.of(self.info)
        self.shift = Fraction(0)
        if self.info.kind == "image":
            raise VtoonError(f"{path}: the content is one picture, not a video; treat it as an image")
        self.damaged: str | None = None
        self.finished: bool | None = None
        self.broken = False  # the rest of the file is not there
        self.last_shown = Fraction(0)  # s that the latest picture is shown; 0: not known
        self._rate = rate
        self._closed = False
        self._say_what_changes()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True  # a loop still running in another thread ends at its next frame

    def __iter__(self) -> Iterator[Frame]:
        if self._closed:
            raise ValueError(f"{self.path}: this VideoReader is closed")
        self.damaged, self.finished, self.broken = None, False, False
        info, count, pts = self.info, 0, 0
        to_rgb = ToRGB(info.colours, *info.stored_size, info.alpha)
        with open_source(self.path, self._rate) as container:
            decoder = Decoder(container, picture_stream(container, self.path), self.path)
            if self.part.start:
                decoder.seek(float(self._first) + self.part.start)
            low, high = self.part.pts(round((self._first + decoder.offset) / info.time_base), info.time_base)
            self.shift = low * info.time_base if self.part.start else Fraction(0)
            for picture, pts in self._pictures(decoder):
                if self._closed:
                    return
                if self.part.start and pts < low:
                    continue
                if high is not None and pts >= high:
                    return
                if not count and decoder.passed_over and not self.part.start:
                    log.warning("%s: what comes before the first whole picture is left out", self.path)
                count += 1
                self.last_shown = (picture.duration or 0) * picture.time_base
                yield self._frame(info.orientation.upright(to_rgb(picture)), pts - (low if self.part.start else 0))
        if not count:
            raise VtoonError(f"{self.path}: {self._nothing(decoder)}")
        self.last_shown = max(self.last_shown, Fraction(decoder.last_length).limit_denominator(100_000) / self._ticks)
        self.damaged = self._damage(decoder, count, float(pts * info.time_base))
        self.finished, self.broken = True, decoder.broken

    def _nothing(self, decoder: Decoder) -> str:
        if self.part.whole or decoder.passed_over:
            return "the file is damaged: not one picture can be decoded"
        return f"no picture from {self.part}; the video is shorter"

    def _pictures(self, decoder: Decoder) -> Iterator[Timed]:
        time_base = self.info.time_base * self._ticks  # the file's
        rising = Rising(decoder, max(1, round(self._ticks / (self.info.rate * time_base))))
        mode = "auto" if self._deinterlace == "double" and self._ticks == 1 else self._deinterlace
        return deinterlaced(rising, time_base, mode, self.path)

    def _frame(self, image: np.ndarray, pts: int) -> Frame:
        if image.shape[2] == 3:
            return Frame(image, pts, self.info.time_base)
        rgb, alpha = np.ascontiguousarray(image[..., :3]), np.ascontiguousarray(image[..., 3])
        return Frame(rgb, pts, self.info.time_base, alpha)

    def _damage(self, decoder: Decoder, count: int, time: float) -> str | None:
        """One line where something is left out; damage that is shown as well as it can be is only a notice."""
        if decoder.broken:
            return f"{self.path}: the file breaks after frame {count}, at {time:.2f} s; what follows is left out"
        if decoder.lost:
            return f"{self.path}: {_pictures(decoder.lost)} too damaged to decode and left out; the rest is there"
        if decoder.damaged:
            log.warning("%s: %s damaged and shown as far as possible", self.path, _pictures(decoder.damaged))
        return None

    def _say_what_changes(self) -> None:
        info = self.info
        if info.hdr:
            log.warning("%s: HDR (%s) is tone-mapped to 8-bit SDR BT.709", self.path, info.colours)
        elif info.bit_depth > 8:
            log.warning("%s: %d-bit colour is rounded to 8 bits", self.path, info.bit_depth)


def _pictures(n: int) -> str:
    return f"{n} picture{' is' if n == 1 else 's are'}"
