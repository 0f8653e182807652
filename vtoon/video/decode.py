"""From packets to pictures, up to the end of a file or to where it breaks."""

from __future__ import annotations

from collections.abc import Iterator

import av

# Containers whose header gives a length that is measured, not guessed from the bit rate.
_MEASURED = ("matroska", "mp4", "avi")
_SLACK = 0.5  # s by which a whole file may be shorter than its header says


class Decoder:
    """Iterate the pictures of `stream` in the order of their times; then `broken` says whether the file ended well.

    Broken is: a packet or picture that is damaged, an error of the demuxer, or an end long before the header's.
    Damage before the first good picture is passed over: a recording may begin between two keyframes.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        stream.thread_type = "AUTO"
        self.broken = False
        self.passed_over = 0  # damaged pictures or packets before the first good picture
        self._container, self._stream = container, stream
        self._started = False

    def __iter__(self) -> Iterator[av.VideoFrame]:
        reached = 0.0
        try:
            for packet in self._container.demux():  # all streams: the last sound tells how far the file reaches
                if packet.is_corrupt and self._started:
                    self.broken = True
                    break
                if packet.pts is not None:
                    reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index == self._stream.index:
                    yield from self._good(self._decode(packet))
                    if self.broken:
                        return
        except av.error.FFmpegError:
            self.broken = True
        if self.broken:
            yield from self._good(self._delayed())
        elif any(name in self._container.format.name for name in _MEASURED):
            self.broken = reached + _SLACK < (self._container.duration or 0) / av.time_base

    def _decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        try:
            return packet.decode()
        except av.error.FFmpegError:
            if self._started:
                raise
            self.passed_over += 1
            return []

    def _delayed(self) -> list[av.VideoFrame]:
        """What the decoder still holds of the packets before the break."""
        try:
            return self._stream.codec_context.decode(None)
        except av.error.FFmpegError:
            return []

    def _good(self, pictures: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for picture in pictures:
            if not picture.is_corrupt:
                self._started = True
                yield picture
            elif self._started:
                self.broken = True
                return
            else:
                self.passed_over += 1
