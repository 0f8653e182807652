"""The source's clock, believed as far as players believe it: it starts at zero, does not jump, and always goes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import av

_TS_DISCONT = 0x0200  # libavformat's flag: the clock may be set anew inside ("mpegts", "mpeg", "ogg", "live_flv", ...)
_STREAMED = ("flv", "asf", "rm", "hls", "dv")  # recorded from a stream as well, though the flag does not say so
_BACK = {True: 0.1, False: 0.5}  # s: a step back by more is a jump; streamed or not
_AHEAD = 10.0  # s: a step ahead of everything else in the file by more is a jump, as for ffmpeg
_STANDS = 3600.0  # s: as long may one picture stand where only the next time tells how long
_LIVE = 2.0  # s: a stream that comes along
_DELAY = 5.0  # s: where a timeline is edited, a start up to this is meant; above it is a clock of the recording


@dataclass(frozen=True)
class _Place:
    """How far one stream has come: its segment, and on our clock (s) where its latest packet begins and ends."""

    segment: int
    at: float
    due: float  # as the packet says, which of a picture is often not true


class Clock:
    """Sets the packets of one pass through a file to times that begin at zero and go on without a hole.

    The whole file is moved by one offset, its start, so what begins later stays later. Where a stream jumps (parts
    joined by `cat`, a counter that wraps), a new segment begins behind all that was, for sound and pictures alike;
    packets of the old segment that come late still belong to it, and a single wild time leaves no trace. Two passes
    over a file give the same times.
    """

    def __init__(self, container: av.container.InputContainer) -> None:
        name = container.format.name
        streamed = bool(container.format.flags & _TS_DISCONT) or any(word in name for word in _STREAMED)
        self._back, self._tells_lengths = _BACK[streamed], streamed or "mp4" in name
        self._offsets = [-_start(container, streamed)]  # s, of each segment
        self._places: dict[int, tuple[_Place, ...]] = {}  # of each stream: now, and one packet ago
        self._reached = 0.0

    @property
    def offset(self) -> Fraction:
        """s that times at the start of the file are moved by."""
        return self._offsets[0]

    def set(self, packet: av.Packet) -> None:
        """Rewrite the packet's `pts` and `dts`."""
        time = packet.pts if packet.dts is None else packet.dts
        if time is None:
            return
        shift = round(self._offset(packet, float(time * packet.time_base)) / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift

    def _offset(self, packet: av.Packet, seconds: float) -> Fraction:
        if packet.stream.type not in ("video", "audio") or packet.is_discard:
            return self._offsets[-1]
        index = packet.stream.index
        before = self._places.get(index, ())
        back = self._back if packet.dts is not None else 4 * self._back  # without it pictures come out of order
        known = next((place for place in before if self._follows(index, place, seconds, back)), None)
        segment = known.segment if known else self._other_segment(index, before, seconds)
        at = seconds + float(self._offsets[segment])
        now = _Place(segment, at, at + float((packet.duration or 0) * packet.time_base))
        self._places[index] = (now, *before[:1]) if known is None or known is before[0] else (now,)
        self._reached = max(self._reached, now.due)
        return self._offsets[segment]

    def _follows(self, index: int, place: _Place, seconds: float, back: float) -> bool:
        at = seconds + float(self._offsets[place.segment])
        return place.at - back <= at <= max(place.due, self._reached) + self._longest_step(index, place)

    def _longest_step(self, index: int, place: _Place) -> float:
        """Where only the next time tells how long a picture stands, a jump is what all streams make together."""
        others = (places[0].due for other, places in self._places.items() if other != index)
        return _AHEAD if self._tells_lengths or any(due > place.due - _LIVE for due in others) else _STANDS

    def _other_segment(self, index: int, before: tuple[_Place, ...], seconds: float) -> int:
        """One that another stream has entered before, or a new one behind everything."""
        if not before:
            return len(self._offsets) - 1
        for segment in range(len(self._offsets) - 1, before[0].segment, -1):
            if self._follows(index, replace(before[0], segment=segment), seconds, 1.0):
                return segment
        self._offsets.append(Fraction(self._reached - seconds).limit_denominator(1_000_000))
        return len(self._offsets) - 1


def _start(container: av.container.InputContainer, streamed: bool) -> Fraction:
    """Seconds. What sound has before zero, as its decoder's priming, stays there."""
    start = Fraction(container.start_time or 0, av.time_base)
    if streamed or start > _DELAY:
        return start
    shown = [stream.start_time * stream.time_base for stream in container.streams.video if stream.start_time]
    return min([Fraction(0), *shown])
