"""Pictures whose times always rise, and a rate that can be believed."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice, pairwise
from statistics import median

import av

from vtoon.errors import VtoonError
from vtoon.video.source import open_source, picture_stream

log = logging.getLogger("vtoon")

_LONGEST_RUN = 16  # pictures without a time of their own that wait for the next good one
_FASTEST = 240  # frames/s that are believed without a look at the times
_LOOKED_AT = 24  # packets
_TELL_LENGTHS = ("mp4", "matroska", "gif", "apng")
_AT_MOST = 20_000  # packets of an end that is looked at
Timed = tuple[av.VideoFrame, int]


class Rising:
    """Iterate (picture, pts) with times that rise; `step`: ticks from one picture to the next where nothing tells.

    A picture that repeats the time before it, or steps back, takes its place between its neighbours, and so does one
    that leaps ahead of the next: the good times stand. Where there is no room between them, it is left out. Raw streams
    carry no times at all: there one step follows the other.
    """

    def __init__(self, pictures: Iterable[av.VideoFrame], step: int) -> None:
        self._pictures, self._step = pictures, step
        self._last: int | None = None  # pts of the last one given
        self._waiting: list[av.VideoFrame] = []  # they have no good time
        self._next: Timed | None = None  # follows them, unless the one behind it shows that its time is wrong

    def __iter__(self) -> Iterator[Timed]:
        for picture in self._pictures:
            pts = self._expected() if picture.pts is None else picture.pts
            if self._next and self._leapt(pts):
                self._waiting.append(self._next[0])
                self._next = picture, pts
                continue
            yield from self._given()
            if self._last is None or pts > self._last:
                self._next = picture, pts
                continue
            self._waiting.append(picture)
            if len(self._waiting) == _LONGEST_RUN:
                yield from self._placed(self._last + self._step * (_LONGEST_RUN + 1))
        yield from self._given()
        if self._waiting:
            yield from self._placed(self._last + self._step * (len(self._waiting) + 1))

    def _expected(self) -> int:
        before = self._next[1] if self._next else self._last
        return 0 if before is None else before + self._step * (1 if self._next else len(self._waiting) + 1)

    def _leapt(self, pts: int) -> bool:
        """Whether it is the picture before, not this one at `pts`, that is further from where it should be."""
        ahead = self._next[1]
        if self._last is None or not self._last < pts < ahead:
            return False
        expected = self._last + self._step * (len(self._waiting) + 1)
        return abs(ahead - expected) > abs(pts - expected - self._step)

    def _given(self) -> Iterator[Timed]:
        """The one whose time is good now, behind those that waited for it."""
        if self._next:
            (picture, pts), self._next = self._next, None
            yield from self._placed(pts)
            self._last = pts
            yield picture, pts

    def _placed(self, before: int) -> Iterator[Timed]:
        """The waiting ones, evenly between the last time and `before`."""
        start, waiting, self._waiting = self._last, self._waiting, []
        for n, picture in enumerate(waiting, 1):
            pts = start + (before - start) * n // (len(waiting) + 1)
            if pts > self._last:
                self._last = pts
                yield picture, pts


def believable_rate(
    container: av.container.InputContainer, stream: av.VideoStream, path: str | os.PathLike
) -> Fraction:
    """Frames/s on average: the container's, or where it is absurd, what the times of the next packets say, else 25."""
    told = [Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
    if told and told[0] <= _FASTEST:
        return told[0]
    rate = _measured_rate(container, stream) or next((rate for rate in told if rate <= _FASTEST), Fraction(25))
    if told and told[0] != rate:
        log.warning("%s: says %.5g frames/s; %.5g are taken, as the frames' times tell", path, told[0], rate)
    return rate


def stands_at_the_end(path: str | os.PathLike, rate: Fraction) -> bool:
    """Whether the last picture of a file is shown for much longer than its others; the file's end is read for that."""
    length = 0
    with contextlib.suppress(av.error.FFmpegError, VtoonError), open_source(path) as container:
        if any(name in container.format.name for name in _TELL_LENGTHS):
            stream = picture_stream(container, path)
            with contextlib.suppress(av.error.FFmpegError):  # a GIF is read from its start
                container.seek(max(0, (container.duration or 0) - 5 * av.time_base))
            for packet in islice(container.demux(stream), _AT_MOST):
                length = (packet.duration or 0) * packet.time_base if packet.size else length
    return length > max(Fraction(1, 2), 3 / rate)


def _measured_rate(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    times: list[Fraction] = []
    try:
        for packet in islice(container.demux(stream), 2 * _LOOKED_AT):
            if packet.pts is not None:
                times.append(packet.pts * packet.time_base)
            if len(times) == _LOOKED_AT:
                break
    except av.error.FFmpegError:
        pass
    times.sort()
    steps = [b - a for a, b in pairwise(times) if b > a]
    return (1 / Fraction(median(steps))).limit_denominator(1001) if steps else None
