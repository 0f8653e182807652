"""Sound and subtitles of a source on their way into the output: copied byte for byte, re-encoded where they must be.

The source is opened a second time and read in step with the pictures that were written, so memory stays flat.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
from collections.abc import Iterator
from itertools import islice

import av
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet

from vtoon.video.clock import Clock
from vtoon.video.source import open_source, packets

log = logging.getLogger("vtoon")

_SOUND_ENCODER = {"webm": "libopus", "avi": "libmp3lame"}  # everywhere else AAC
_TEXT_ENCODER = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_TEXT_CODECS = ("subrip", "ass", "ssa", "webvtt", "mov_text", "text")
_CHANNELS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # any other layout becomes stereo
_BITS_PER_CHANNEL = 96_000  # bit/s
_PRIMING = 0.1  # s
_LOOKED_AT = 4000  # packets
_CONTAINER_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")  # these describe the old file


class Tracks:
    """Everything of `source` that is heard or read, bound for the container `output`.

    Making one adds the streams, so it must be made before the first packet is written; then `advance` it with the
    pictures and `finish` it. Title, chapters and languages come along.
    """

    def __init__(self, source: str | os.PathLike, output: av.container.OutputContainer) -> None:
        self._source, self._output = source, output
        self._input = open_source(source)
        _copy_description(self._input, output)
        _say_what_is_left_out(self._input, source)
        streams = [*self._input.streams.audio, *self._input.streams.subtitles]
        self._tracks = {stream.index: track for stream in streams if (track := _track(stream, output, source))}
        kept = [stream for stream in streams if stream.index in self._tracks]
        self._clock = Clock(self._input)
        self._packets = packets(self._input) if kept else None  # of all streams, for the clock follows all of them
        self._waiting = self._next() if kept else None

    def advance(self, until: float = math.inf) -> None:
        """Write what begins before `until` seconds."""
        while self._waiting is not None and _seconds(self._waiting) < until:
            for packet in self._tracks[self._waiting.stream.index].convert(self._waiting):
                self._output.mux(packet)
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

    def _next(self) -> av.Packet | None:
        try:
            for packet in self._packets:
                if not packet.size or _seconds(packet) is None:
                    continue
                self._clock.set(packet)
                if packet.stream.index in self._tracks and not packet.is_corrupt and not _hidden(packet):
                    return packet
        except av.error.FFmpegError as error:
            log.warning("%s: sound and subtitles break off here (%s)", self._source, error.strerror)
        return None


class _Copy:
    """Packets as they are, times and all."""

    def __init__(self, stream: av.stream.Stream, output: av.container.OutputContainer) -> None:
        self.stream = _same_stream(stream, output)
        self._last = -math.inf

    def convert(self, packet: av.Packet) -> Iterator[av.Packet]:
        packet.dts = packet.pts if packet.dts is None else packet.dts
        packet.pts = packet.dts if packet.pts is None else packet.pts
        if packet.dts > self._last:  # a muxer takes no step back in time
            self._last = packet.dts
            packet.stream = self.stream
            yield packet

    def flush(self) -> Iterator[av.Packet]:
        return iter(())


class _Sound:
    """Decoded and encoded again. PyAV resamples to what the encoder takes."""

    def __init__(self, stream: av.AudioStream, output: av.container.OutputContainer) -> None:
        encoder = _SOUND_ENCODER.get(output.format.name, "aac")
        source = stream.codec_context
        layout = _CHANNELS.get(source.layout.nb_channels, "stereo") if encoder != "libmp3lame" else "stereo"
        rate = 48000 if encoder == "libopus" else min(source.sample_rate, 48000)
        self.stream = output.add_stream(encoder, rate=rate)
        self.stream.codec_context.layout = layout
        self.stream.codec_context.bit_rate = _BITS_PER_CHANNEL * self.stream.codec_context.layout.nb_channels

    def convert(self, packet: av.Packet) -> Iterator[av.Packet]:
        with contextlib.suppress(av.error.InvalidDataError):  # a damaged packet is a short silence
            for frame in packet.decode():
                yield from self.stream.encode(frame)

    def flush(self) -> Iterator[av.Packet]:
        yield from self.stream.encode(None)


class _Text:
    """Text subtitles of one kind as those of another."""

    def __init__(self, stream: av.stream.Stream, output: av.container.OutputContainer) -> None:
        self._decoder = stream.codec_context
        self._decoder.open(strict=False)
        self.stream = output.add_stream(_TEXT_ENCODER[output.format.name])
        self.stream.codec_context.subtitle_header = self._decoder.subtitle_header

    def convert(self, packet: av.Packet) -> Iterator[av.Packet]:
        time = packet.dts if packet.pts is None else packet.pts
        for text in self._decoder.decode2(packet) or ():
            line = SubtitleSet.create(text.ass, 0, packet.duration or 0, time)
            encoded = self.stream.codec_context.encode_subtitle(line)
            encoded.time_base, encoded.stream = packet.time_base, self.stream
            yield encoded

    def flush(self) -> Iterator[av.Packet]:
        return iter(())


def _track(
    stream: av.stream.Stream, output: av.container.OutputContainer, source: str | os.PathLike
) -> _Copy | _Sound | _Text | None:
    """The gentlest way for `stream` into `output`, said where it is not a copy; None where there is none."""
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    container = output.format.name
    what = f"{source}: {stream.type} track {stream.index} ({codec})"
    if stream.codec_context and _takes(container, stream, source):
        track = _Copy(stream, output)
    elif stream.type == "audio" and stream.codec_context:
        track = _Sound(stream, output)
    elif codec in _TEXT_CODECS and container in _TEXT_ENCODER and hasattr(SubtitleSet, "create"):
        track = _Text(stream, output)
    else:
        log.warning("%s is left out: %s cannot hold it", what, container)
        return None
    if not isinstance(track, _Copy):
        name = track.stream.codec_context.codec.canonical_name
        log.warning("%s is re-encoded as %s: %s cannot hold it as it is", what, name, container)
    track.stream.metadata.update(stream.metadata)
    track.stream.disposition = stream.disposition
    return track


def _takes(container: str, stream: av.stream.Stream, source: str | os.PathLike) -> bool:
    """Whether a container of this format accepts the stream as it is; asked by writing one packet into memory."""
    try:
        packet = _first_packet(source, stream.index)
        if packet is None:
            with av.open(io.BytesIO(), "w", format=container) as trial:
                _same_stream(stream, trial)
                trial.start_encoding()
            return True
        with av.open(io.BytesIO(), "w", format=container) as trial:
            packet.stream = _same_stream(stream, trial)
            trial.mux(packet)
        return True
    except (ValueError, av.error.FFmpegError):
        return False


def _same_stream(stream: av.stream.Stream, output: av.container.OutputContainer) -> av.stream.Stream:
    """A stream for the packets of `stream`. PCM that names no channels gets the usual ones, as ffmpeg guesses them."""
    context = stream.codec_context
    if stream.type == "audio" and context.name.startswith("pcm_") and context.layout.name.endswith("channels"):
        layout = _CHANNELS.get(context.layout.nb_channels)
        if layout:
            return output.add_stream(context.name, rate=context.sample_rate, layout=layout)
    return output.add_stream_from_template(stream, opaque=True)


def _first_packet(source: str | os.PathLike, index: int) -> av.Packet | None:
    """The first whole packet of a stream, set to zero; None where there is none among the first few thousand."""
    with contextlib.suppress(av.error.FFmpegError), open_source(source) as container:
        for packet in islice(container.demux(), _LOOKED_AT):
            if packet.stream.index == index and packet.size and _seconds(packet) is not None:
                packet.pts = packet.dts = 0
                return packet
    return None


def _copy_description(source: av.container.InputContainer, output: av.container.OutputContainer) -> None:
    output.metadata.update({key: value for key, value in source.metadata.items() if key not in _CONTAINER_TAGS})
    if hasattr(output, "set_chapters") and source.chapters():
        output.set_chapters(source.chapters())
    for theirs, ours in zip(source.streams.video[:1], output.streams.video, strict=False):
        ours.metadata.update({key: theirs.metadata[key] for key in ("title", "language") if key in theirs.metadata})


def _say_what_is_left_out(source: av.container.InputContainer, path: str | os.PathLike) -> None:
    pictures = [s for s in source.streams.video[1:] if not s.disposition & Disposition.attached_pic]
    for stream in [*pictures, *source.streams.attachments]:
        log.warning("%s: %s stream %d is left out", path, stream.type, stream.index)


def _hidden(packet: av.Packet) -> bool:
    """Whether an edit list hides the packet. What a decoder needs to get going lies within `_PRIMING` of the start."""
    return packet.is_discard and _seconds(packet) < -_PRIMING


def _seconds(packet: av.Packet) -> float | None:
    time = packet.pts if packet.dts is None else packet.dts
    return None if time is None else float(time * packet.time_base)
