"""Sound and subtitles of a source on their way into the output: copied byte for byte, re-encoded where they must be.

The source is opened a second time and read in step with the pictures that were written, so memory stays flat.
"""

from __future__ import annotations

import logging
import math
import os
from fractions import Fraction

import av

from vtoon.video.about import About
from vtoon.video.clock import Clock
from vtoon.video.part import WHOLE, Part
from vtoon.video.source import open_source, packets
from vtoon.video.track_kinds import Copy, Kind, Sound, Text, choose

log = logging.getLogger("vtoon")

_HIDING = ("mp4", "mov")  # an edit list hides what is before zero
_PRIMING = 0.1  # s before zero that a decoder may need to get going


def plan(source: str | os.PathLike, output: str, sound: bool = True) -> dict[int, Kind]:
    """How each track of `source` gets into a file of the format `output`; what does not is said. `sound`: keep it."""
    with open_source(source) as container:
        ways = choose(container, output, source)
        return {i: way for i, way in ways.items() if sound or container.streams[i].type != "audio"}


class Tracks:
    """Everything of `source` that is heard or read, and what it tells of itself, bound for the container `output`.

    Making one adds the streams, so it must be made before the first packet is written; then `advance` it with the
    pictures and `finish` it. `ways`: see `plan`.
    """

    def __init__(
        self,
        source: str | os.PathLike,
        output: av.container.OutputContainer,
        ways: dict[int, Kind],
        part: Part = WHOLE,
        shift: Fraction = Fraction(0),
    ) -> None:
        """Of a `part`, `shift` s are taken off every time, and what is then before zero is left out."""
        self._source, self._output, self._shift = source, output, shift
        with open_source(source) as container:  # read to its covers, which are at the start
            self._about = About(container, output, part.whole)
            self.options = self._about.options()
        self._input = open_source(source)
        self._tracks = {index: self._add(way, self._input.streams[index]) for index, way in ways.items()}
        self._clock = Clock(self._input)
        self._edited: set[int] = set()  # tracks that are hidden up to zero
        self._packets = packets(self._input) if ways else None  # of all streams, for the clock follows all of them
        self._waiting = self._next() if ways else None
        self._begun = False

    def advance(self, until: float = math.inf) -> None:
        """Write what begins before `until` seconds."""
        if not self._begun:
            self._about.write()
            self._begun = True
        while self._waiting is not None and _seconds(self._waiting) < until:
            self._write(self._waiting)
            self._waiting = self._next()

    def finish(self, until: float = math.inf) -> None:
        """Write the rest, up to `until` seconds, and what the encoders hold back."""
        self.advance(until)
        for track in self._tracks.values():
            for packet in track.flush():
                self._output.mux(packet)

    def close(self) -> None:
        if self._packets:
            self._packets.close()
        self._input.close()

    def _add(self, way: Kind, stream: av.stream.Stream) -> Copy | Sound | Text:
        track = way(stream, self._output)
        track.stream.metadata.update(stream.metadata)
        track.stream.disposition = stream.disposition
        return track

    def _write(self, packet: av.Packet) -> None:
        index = packet.stream.index
        try:
            for converted in self._tracks[index].convert(packet):
                self._output.mux(converted)
        except (av.error.ArgumentError, av.error.InvalidDataError) as error:
            log.warning("%s: track %d breaks off at %.2f s (%s)", self._source, index, _seconds(packet), error.strerror)
            del self._tracks[index]

    def _next(self) -> av.Packet | None:
        try:
            for packet in self._packets:
                if not packet.size or _seconds(packet) is None:
                    continue
                self._clock.set(packet)
                if packet.stream.index in self._tracks and not packet.is_corrupt and not self._hidden(packet):
                    if not self._shift or _moved(packet, self._shift):
                        return packet
        except av.error.FFmpegError as error:
            log.warning("%s: sound and subtitles break off here (%s)", self._source, error.strerror)
        return None

    def _hidden(self, packet: av.Packet) -> bool:
        """Whether an edit list hides the packet, for the most part.

        Up to `_PRIMING` may be what a decoder needs to get going: that is written where it can be hidden again, and
        where nothing more was hidden.
        """
        start, index = _seconds(packet), packet.stream.index
        if packet.is_discard and start < -_PRIMING:
            self._edited.add(index)
            return True
        middle = start + float((packet.duration or 0) * packet.time_base) / 2
        return middle < 0 and index in self._edited and self._output.format.name not in _HIDING


def _moved(packet: av.Packet, shift: Fraction) -> bool:
    """Make a packet `shift` s earlier; returns whether it is still heard or read after the beginning."""
    ticks = round(shift / packet.time_base)
    packet.pts, packet.dts = (None if time is None else time - ticks for time in (packet.pts, packet.dts))
    return _seconds(packet) >= 0


def _seconds(packet: av.Packet) -> float | None:
    time = packet.pts if packet.dts is None else packet.dts
    return None if time is None else float(time * packet.time_base)
