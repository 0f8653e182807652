"""From packets to pictures, going on behind damage as players do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction

import av

from vtoon.video.clock import Clock
from vtoon.video.source import alpha_decoder, packets
from vtoon.video.whole import is_whole

INDEXED = ("matroska", "mp4")  # containers, in ffmpeg's names, that say where the keyframes are
_PASSED_OVER = 250  # damaged pictures at the start: there may be no good one at all


class Decoder:
    """Iterate the pictures of `stream` in the order of their times, on a `Clock`; the counts tell of the damage.

    A damaged packet costs its picture alone. What builds on a picture that is not there is passed over at the start: a
    recording may begin between two keyframes. `broken`: the rest of the file is not there, or cannot be read.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, path: str | os.PathLike) -> None:
        stream.thread_type = "AUTO"
        self.broken = False
        self.passed_over = 0  # damaged pictures or packets before the first good picture
        self.damaged = 0  # pictures that are shown as far as they could be decoded
        self.lost = 0  # pictures that could not be decoded at all
        self.last_length = 0.0  # s, of the packet decoded last: there a file says how long its last picture stands
        self._container, self._stream, self._path = container, stream, path
        self._clock = Clock(container)
        self._context = alpha_decoder(stream)  # None: the stream's own
        self._suspect: set[int | None] = set()  # times of packets that the demuxer calls damaged

    def __iter__(self) -> Iterator[av.VideoFrame]:
        started = False
        try:
            for packet in packets(self._container):  # all streams: the clock follows all of them
                self._clock.set(packet)
                if packet.stream.index != self._stream.index:
                    continue
                self._note(packet)
                for picture in self._decode(packet, started):
                    damaged = picture.is_corrupt or picture.pts in self._suspect
                    self._suspect.discard(picture.pts)
                    if damaged and not started and not picture.key_frame and self.passed_over < _PASSED_OVER:
                        self.passed_over += 1
                        continue
                    started = True
                    self.damaged += damaged
                    yield picture
        except av.error.FFmpegError:
            self.broken = True
            yield from self._delayed()
        self.broken = self.broken or not is_whole(self._path)

    def seek(self, start: float) -> None:
        """Begin with the keyframe before `start` s of the file's own time, where the container knows it."""
        if any(name in self._container.format.name for name in INDEXED):
            self._container.seek(round(start / self._stream.time_base), stream=self._stream)

    @property
    def offset(self) -> Fraction:
        """s that the file's own times are moved by, at its start."""
        return self._clock.offset

    def _note(self, packet: av.Packet) -> None:
        if packet.is_corrupt:
            self._suspect.add(packet.pts)
        if packet.size:
            self.last_length = float((packet.duration or 0) * packet.time_base)

    def _decode(self, packet: av.Packet, started: bool) -> list[av.VideoFrame]:
        try:
            return self._context.decode(packet if packet.size else None) if self._context else packet.decode()
        except av.error.FFmpegError:
            if started:
                self.lost += 1
            else:
                self.passed_over += 1
            return []

    def _delayed(self) -> list[av.VideoFrame]:
        """What the decoder still holds of the packets before the break."""
        try:
            return (self._context or self._stream.codec_context).decode(None)
        except av.error.FFmpegError:
            return []
