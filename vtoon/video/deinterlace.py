"""Interlaced pictures, whose even and odd rows are of two moments, as whole ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av

from vtoon.errors import VtoonError
from vtoon.video.rising import Timed

log = logging.getLogger("vtoon")

MODES = ("auto", "off", "double")


def check_mode(mode: str) -> str:
    """The mode, if it is one; else VtoonError."""
    if mode not in MODES:
        raise VtoonError(f"deinterlace is {mode!r}; it must be auto, off or double")
    return mode


def deinterlaced(timed: Iterable[Timed], time_base: Fraction, mode: str, path: str | os.PathLike) -> Iterator[Timed]:
    """`auto`: as many pictures as there are; `double`: one of each moment, times in half ticks of `time_base`.

    A file without interlaced pictures passes as it is, and so does what comes before the first of them; from there on
    FFmpeg's bwdif (Bob Weaver, motion-adaptive) treats those that are marked.
    """
    ticks, filtering = 2 if mode == "double" else 1, None
    for picture, pts in timed:
        if filtering is None and (mode == "off" or not picture.interlaced_frame):
            yield picture, ticks * pts
            continue
        if filtering is None or filtering.shape != _shape(picture):
            if filtering is None:
                log.warning("%s: interlaced; it is deinterlaced (--deinterlace off leaves it as it is)", path)
            else:
                yield from filtering.push(None)
            filtering = _Filter(picture, time_base, ticks)
        picture.pts, picture.time_base = pts, time_base
        yield from filtering.push(picture)
    if filtering is not None:
        yield from filtering.push(None)


class _Filter:
    """bwdif for pictures of one shape."""

    def __init__(self, picture: av.VideoFrame, time_base: Fraction, ticks: int) -> None:
        self.shape, self._tick = _shape(picture), time_base / ticks
        width, height, pixels = self.shape
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(width=width, height=height, format=pixels, time_base=time_base)
        mode = "send_field" if ticks == 2 else "send_frame"
        bwdif = self._graph.add("bwdif", f"mode={mode}:deint=interlaced")
        source.link_to(bwdif)
        bwdif.link_to(self._graph.add("buffersink"))
        self._graph.configure()

    def push(self, picture: av.VideoFrame | None) -> Iterator[Timed]:
        """What is ready behind `picture`; None: all that is left."""
        self._graph.push(picture)
        while True:
            try:
                made = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield made, round(made.pts * made.time_base / self._tick)


def _shape(picture: av.VideoFrame) -> tuple[int, int, str]:
    return picture.width, picture.height, picture.format.name
