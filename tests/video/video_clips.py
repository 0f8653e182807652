"""Small clips for the tests, made with PyAV: what the library reads here it did not write itself."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from vtoon.video import VideoReader, VideoWriter

RATE = 25


def picture(n: int, width: int = 64, height: int = 48) -> np.ndarray:
    """uint8 [H, W, 3]: smooth colours, with a white bar whose place tells n, and a red upper left corner."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([60 + 60 * x / width, 80 + 60 * y / height, np.full((height, width), 90.0)], 2).astype(np.uint8)
    left = (4 * n) % (width - 8)
    image[height // 2 :, left : left + 8] = 235
    image[: height // 4, : width // 4] = (200, 30, 30)
    return image


def make_clip(
    path: Path,
    pts: Iterable[int] = range(12),
    *,
    time_base: Fraction = Fraction(1, RATE),
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    matrix: int = 1,
    full: bool = False,
    tags: tuple[int, int, int] | None = (1, 1, 1),
    aspect: Fraction = Fraction(1),
    audio: str | None = None,
    audio_start: float = 0.0,
    subtitle: str | None = None,
    images: Sequence[np.ndarray] | None = None,
    index_first: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip; `tags` are (primaries, transfer, matrix) or None for none, `matrix` is swscale's for the pixels."""
    pts = list(pts)
    with av.open(str(path), "w", container_options={"movflags": "+faststart"} if index_first else {}) as container:
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.sample_aspect_ratio = aspect
        if tags:
            context = stream.codec_context
            context.color_primaries, context.color_trc, context.colorspace = tags
            context.color_range = 2 if full else 1
        sound = container.add_stream(audio, rate=48000) if audio else None
        text = _add_text(container, subtitle) if subtitle else None
        stream.codec_context.open()
        if sound:
            _write_sound(container, sound, (pts[-1] + 1) * float(time_base), audio_start)
        if text:
            _write_text(container, text)
        for n, time in enumerate(pts):
            image = images[n] if images is not None else picture(n, *size)
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
                format=pix_fmt, src_colorspace=matrix, dst_colorspace=matrix, dst_color_range=2 if full else 1
            )
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _write_sound(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float, start: float) -> None:
    samples = np.arange(int(48000 * seconds))
    wave = (8000 * np.sin(2 * np.pi * 440 * samples / 48000)).astype(np.int16)
    size = stream.codec_context.frame_size or 1024
    for at in range(0, len(wave) - size + 1, size):
        frame = av.AudioFrame.from_ndarray(np.repeat(wave[at : at + size], 2)[None], "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, at + int(start * 48000), Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


_STYLE = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Italic, Underline, Alignment
Style: Default,Arial,16,&Hffffff,0,0,0,2

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
\0"""


def _add_text(container: av.container.OutputContainer, codec: str) -> av.subtitles.stream.SubtitleStream:
    stream = container.add_stream(codec)
    stream.codec_context.subtitle_header = _STYLE.encode()
    stream.metadata["language"] = "fra"
    return stream


def _write_text(container: av.container.OutputContainer, stream: av.subtitles.stream.SubtitleStream) -> None:
    for n, line in enumerate((b"Bonjour", b"Au revoir")):
        shown = av.subtitles.subtitle.SubtitleSet.create(b"0,0,Default,,0,0,0,," + line, 0, 100, 50 + 200 * n)
        packet = stream.codec_context.encode_subtitle(shown)
        packet.time_base, packet.stream = Fraction(1, 1000), stream
        container.mux(packet)


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Patch the display matrix (a, b, c, d) of the first track of an MP4 file in place."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of times and flags
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def spoil(path: Path, size: int = 600) -> None:
    """Overwrite `size` bytes in the middle of the pictures and sounds of an MP4 file with noise."""
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov")
    middle = (begin + end) // 2
    data[middle : middle + size] = np.random.default_rng(1).bytes(size)
    path.write_bytes(data)


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """(time, bytes) of every packet of the streams of a kind: "audio" or "subtitle"."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux()
            if packet.size and packet.stream.type == kind
        ]


def retimed(
    source: Path, target: Path, change: Callable[[Fraction, str], Fraction], options: dict[str, str] | None = None
) -> Path:
    """A copy of `source` whose packets have the times `change(seconds, type of the stream)`."""
    with av.open(str(source)) as old, av.open(str(target), "w", container_options=options or {}) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.size:
                moved = change(packet.dts * packet.time_base, packet.stream.type) - packet.dts * packet.time_base
                packet.pts, packet.dts = (t + round(moved / packet.time_base) for t in (packet.pts, packet.dts))
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return target


def spans(path: Path) -> dict[str, tuple[float, float, float]]:
    """Of pictures and sound: (start, end, longest step) in seconds, as the packets tell."""
    times: dict[str, list[float]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                times.setdefault(packet.stream.type, []).append(float(packet.pts * packet.time_base))
    found = {}
    for kind, values in times.items():
        values.sort()
        found[kind] = values[0], values[-1], max(b - a for a, b in pairwise(values))
    return found


def converted(source: Path, target: Path, **options: object) -> Path:
    """The source's frames, read and written once."""
    with VideoReader(source) as reader, VideoWriter(target, like=reader, overwrite=True, **options) as writer:
        for frame in reader:
            writer.write(frame)
    return target
