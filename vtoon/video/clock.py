"""The source's clock, believed as far as players believe it: it starts at zero, does not jump, and always goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

import av

_STREAMED = ("mpeg", "flv", "asf")  # formats whose clock may be set anew inside: "mpegts", "mpeg", ...
_BACK = {True: 0.1, False: 0.5}  # s: a step back by more is a jump; streamed or not
_AHEAD = {True: 10.0, False: 3600.0}  # s: likewise a step ahead of everything else in the file
_LONGEST_RUN = 16  # pictures of one time that wait for the next good time
_FASTEST = 240  # frames/s that are believed without a look at the times
_LOOKED_AT = 24  # packets


@dataclass
class _Seen:
    """How far one stream has come."""

    segment: int
    due: float | None = None  # s on our clock: where its next packet should begin


class Clock:
    """Sets the packets of one pass through a file to times that begin at zero and go on without a hole.

    The whole file is moved by one offset, its start, so what begins later stays later. Where a stream jumps (parts
    joined by `cat`, a counter that wraps), a new segment begins, for sound and pictures alike: packets of the old
    segment that come late still belong to it. Two passes over a file give the same times.
    """

    def __init__(self, container: av.container.InputContainer) -> None:
        streamed = any(name in container.format.name for name in _STREAMED)
        self._back, self._ahead = _BACK[streamed], _AHEAD[streamed]
        self._offsets = [-_start(container)]  # s, of each segment
        self._seen: dict[int, _Seen] = {}
        self._reached = 0.0

    def set(self, packet: av.Packet) -> None:
        """Rewrite the packet's `pts` and `dts`."""
        time = packet.pts if packet.dts is None else packet.dts
        if time is None:
            return
        offset = self._offset(packet, float(time * packet.time_base))
        shift = round(offset / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift

    def _offset(self, packet: av.Packet, seconds: float) -> Fraction:
        newest = len(self._offsets) - 1
        seen = self._seen.setdefault(packet.stream.index, _Seen(newest))
        if packet.stream.type not in ("video", "audio") or packet.is_discard:
            return self._offsets[newest]
        if seen.due is not None and not self._follows(seen, seconds):
            self._enter_segment(seen, seconds, newest)
        offset = self._offsets[seen.segment]
        seen.due = seconds + float(offset) + float((packet.duration or 0) * packet.time_base)
        self._reached = max(self._reached, seen.due)
        return offset

    def _follows(self, seen: _Seen, seconds: float) -> bool:
        step = seconds + float(self._offsets[seen.segment]) - seen.due
        return -self._back <= step and step <= max(0.0, self._reached - seen.due) + self._ahead

    def _enter_segment(self, seen: _Seen, seconds: float, newest: int) -> None:
        """Another stream has jumped before, or this one is the first to."""
        if seen.segment == newest:
            self._offsets.append(Fraction(seen.due - seconds).limit_denominator(1_000_000))
            seen.segment = newest + 1
            return
        seen.segment = newest
        missing = seen.due - (seconds + float(self._offsets[newest]))
        if missing > self._back:  # this stream's part was the longer one
            self._offsets[newest] += Fraction(missing).limit_denominator(1_000_000)


def _start(container: av.container.InputContainer) -> Fraction:
    """Seconds. What sound has before zero, as its decoder's priming, stays there."""
    start = Fraction(container.start_time or 0, av.time_base)
    if start >= 0:
        return start
    shown = [stream.start_time * stream.time_base for stream in container.streams.video if stream.start_time]
    return min([Fraction(0), *shown])


def rising(pictures: Iterable[av.VideoFrame], step: int) -> Iterator[tuple[av.VideoFrame, int]]:
    """(picture, pts) with times that rise; `step`: ticks from one picture to the next where nothing tells.

    A picture that repeats the time before it, or steps back, takes its place between its neighbours: the next good
    time stands. Where there is no room between them, it is left out. Raw streams carry no times at all.
    """
    last, waiting = None, []
    for picture in pictures:
        if last is None or picture.pts is None or picture.pts > last or len(waiting) == _LONGEST_RUN:
            good = picture.pts if picture.pts is not None and (last is None or picture.pts > last) else None
            for early, pts in _between(waiting, last, good, step):
                last = pts
                yield early, pts
            last, waiting = (0 if last is None else last + step) if good is None else good, []
            yield picture, last
        else:
            waiting.append(picture)
    yield from _between(waiting, last, None, step)


def _between(
    pictures: list[av.VideoFrame], last: int | None, after: int | None, step: int
) -> Iterator[tuple[av.VideoFrame, int]]:
    if not pictures:
        return
    after = last + step * (len(pictures) + 1) if after is None else after
    for n, picture in enumerate(pictures, 1):
        pts = last + (after - last) * n // (len(pictures) + 1)
        if pts > last and (n == 1 or pts > previous):
            yield picture, pts
        previous = pts


def believable_rate(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction:
    """Frames/s on average: the container's, or where it is absurd, what the times of the next packets say, else 25."""
    told = [Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
    if told and told[0] <= _FASTEST:
        return told[0]
    measured = _measured_rate(container, stream)
    return measured or next((rate for rate in told if rate <= _FASTEST), Fraction(25))


def _measured_rate(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    times: list[Fraction] = []
    try:
        for packet in container.demux(stream):
            if packet.pts is not None:
                times.append(packet.pts * packet.time_base)
            if len(times) == _LOOKED_AT:
                break
    except av.error.FFmpegError:
        pass
    times.sort()
    steps = [b - a for a, b in zip(times, times[1:], strict=False) if b > a]
    return (1 / Fraction(median(steps))).limit_denominator(1001) if steps else None
