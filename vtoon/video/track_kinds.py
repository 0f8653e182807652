"""The ways of one sound or subtitle track into a container, and which of them works: asked by trying it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from itertools import islice

import av
import numpy as np
from av.subtitles.subtitle import SubtitleSet

from vtoon.video.clock import Clock
from vtoon.video.source import packets

log = logging.getLogger("vtoon")

_SOUND_ENCODER = {"webm": "libopus", "avi": "libmp3lame"}  # everywhere else AAC
_TEXT_ENCODER = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_TEXT_CODECS = ("subrip", "ass", "ssa", "webvtt", "mov_text", "text")
_CHANNELS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # what encoders take; any other layout becomes stereo
_GUESSED = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # as ffmpeg does
_BITS_PER_CHANNEL = 96_000  # bit/s
_LOOKED_AT = 4000  # packets, for the first ones of all tracks
_LATE = 0.05  # s: AVI tells no times, so there sound that begins later needs silence before it


class Copy:
    """Packets as they are, times and all."""

    def __init__(self, stream: av.stream.Stream, output: av.container.OutputContainer) -> None:
        self.stream = output.add_stream_from_template(stream, opaque=True)
        if stream.type == "audio":
            _guess_layout(self.stream.codec_context)
        self._last = -float("inf")

    def convert(self, packet: av.Packet) -> Iterator[av.Packet]:
        packet.dts = packet.pts if packet.dts is None else packet.dts
        packet.pts = packet.dts if packet.pts is None else packet.pts
        if packet.dts > self._last:  # a muxer takes no step back in time
            self._last = packet.dts
            packet.stream = self.stream
            yield packet

    def flush(self) -> Iterator[av.Packet]:
        return iter(())


class Sound:
    """Decoded and encoded again, from zero on. PyAV resamples to what the encoder takes."""

    def __init__(self, stream: av.AudioStream, output: av.container.OutputContainer) -> None:
        encoder = _SOUND_ENCODER.get(output.format.name, "aac")
        source = stream.codec_context
        _guess_layout(source)
        layout = _CHANNELS.get(source.layout.nb_channels, "stereo") if encoder != "libmp3lame" else "stereo"
        rate = 48000 if encoder == "libopus" else min(source.sample_rate, 48000)
        self.stream = output.add_stream(encoder, rate=rate)
        self.stream.codec_context.layout = layout
        self.stream.codec_context.bit_rate = _BITS_PER_CHANNEL * self.stream.codec_context.layout.nb_channels
        self._silence_first = output.format.name == "avi"

    def convert(self, packet: av.Packet) -> Iterator[av.Packet]:
        with contextlib.suppress(av.error.InvalidDataError):  # a damaged packet is a short silence
            for frame in filter(None, map(_from_zero, packet.decode())):
                if self._silence_first and frame.time and frame.time > _LATE:
                    for silence in _silence(frame):
                        yield from self.stream.encode(silence)
                self._silence_first = False
                yield from self.stream.encode(frame)

    def flush(self) -> Iterator[av.Packet]:
        yield from self.stream.encode(None)


class Text:
    """Text subtitles of one kind as those of another."""

    def __init__(self, stream: av.stream.Stream, output: av.container.OutputContainer) -> None:
        self._decoder = stream.codec_context
        if not self._decoder.is_open:
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


Kind = type[Copy] | type[Sound] | type[Text]


def choose(container: av.container.InputContainer, output: str, source: str | os.PathLike) -> dict[int, Kind]:
    """The gentlest way of each track of `container` into the format `output`, said where it is not a copy.

    The container is read for that: it must be opened anew for its packets. A track that is announced but empty is left
    out, and so is one for which there is no way.
    """
    tracks = [*container.streams.audio, *container.streams.subtitles]
    first, at_end = _first_packets(container, tracks)
    ways = {}
    for stream in tracks:
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
        what = f"{source}: {stream.type} track {stream.index} ({codec})"
        packet = first.get(stream.index)
        if at_end and not packet:
            log.warning("%s is left out: it is empty", what)
            continue
        way = next(
            (way for way in _possible(stream, codec, output, packet) if _works(way, stream, output, packet)), None
        )
        if way is None:
            log.warning("%s is left out: %s cannot hold it", what, output)
            continue
        ways[stream.index] = way
        if way is not Copy:
            name = _SOUND_ENCODER.get(output, "aac").removeprefix("lib") if way is Sound else _TEXT_ENCODER[output]
            log.warning(
                "%s is re-encoded as %s: %s cannot hold it as it is", what, name.replace("mp3lame", "mp3"), output
            )
    return ways


def _possible(stream: av.stream.Stream, codec: str, output: str, packet: av.Packet | None) -> Sequence[Kind]:
    if not stream.codec_context:
        return ()
    if stream.type == "audio":
        late = output == "avi" and packet is not None and float((packet.pts or 0) * packet.time_base) > _LATE
        return (Sound,) if late else (Copy, Sound)
    text = codec in _TEXT_CODECS and output in _TEXT_ENCODER and hasattr(SubtitleSet, "create")
    return (Copy, Text) if text else (Copy,)


def _works(way: Kind, stream: av.stream.Stream, output: str, packet: av.Packet | None) -> bool:
    """Whether a file of the format `output` with this track alone can be written: here into memory."""
    try:
        with av.open(io.BytesIO(), "w", format=output) as trial:
            track = way(stream, trial)
            if packet is None:
                trial.start_encoding()
                return True
            for made in (*track.convert(_from_start(packet, stream)), *track.flush()):
                trial.mux(made)
        return True
    except (ValueError, av.error.FFmpegError):
        return False


def _from_start(packet: av.Packet, stream: av.stream.Stream) -> av.Packet:
    """A packet of its own, at zero: the one that is muxed belongs to the output."""
    copy = av.Packet(bytes(packet))
    copy.stream, copy.time_base = stream, packet.time_base
    copy.pts = copy.dts = 0
    copy.duration, copy.is_keyframe = packet.duration or 0, True
    return copy


def _first_packets(
    container: av.container.InputContainer, tracks: Sequence[av.stream.Stream]
) -> tuple[dict[int, av.Packet], bool]:
    """(the first whole packet of each track by its index, on our clock; whether the whole file was read for that)."""
    wanted, first, clock = {stream.index for stream in tracks}, {}, Clock(container)
    with contextlib.suppress(av.error.FFmpegError):
        for n, packet in enumerate(islice(packets(container), _LOOKED_AT + 1)):
            if wanted == first.keys() or n == _LOOKED_AT:
                return first, False
            clock.set(packet)
            if (
                packet.stream.index in wanted - first.keys()
                and packet.size
                and (packet.pts, packet.dts) != (None, None)
            ):
                first[packet.stream.index] = packet
    return first, True


def _guess_layout(context: av.AudioCodecContext) -> None:
    """Sound that does not say which channels it has gets the usual ones."""
    guess = _GUESSED.get(context.layout.nb_channels)
    if guess and context.layout.name.endswith("channels"):
        context.layout = guess


def _from_zero(frame: av.AudioFrame) -> av.AudioFrame | None:
    """What of a frame is heard: nothing before zero, which an edit list hides."""
    early = -round((frame.time or 0) * frame.sample_rate)
    if early <= 0:
        return frame
    if early >= frame.samples:
        return None
    samples = early if frame.format.is_planar else early * frame.layout.nb_channels
    rest = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(frame.to_ndarray()[:, samples:]), frame.format.name, frame.layout.name
    )
    rest.sample_rate, rest.pts, rest.time_base = frame.sample_rate, 0, frame.time_base
    return rest


def _silence(until: av.AudioFrame) -> Iterator[av.AudioFrame]:
    """From zero to the start of a frame, as frames like it."""
    missing, empty = round(until.time * until.sample_rate), np.zeros_like(until.to_ndarray())
    for at in range(0, missing, until.samples):
        part = empty[:, : round((missing - at) * empty.shape[1] / until.samples)]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), until.format.name, until.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = (
            until.sample_rate,
            round(at / until.sample_rate / until.time_base),
            until.time_base,
        )
        yield frame
