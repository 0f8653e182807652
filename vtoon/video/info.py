"""What a file is, before anything is done with it: the facts of `ffprobe` that vtoon works with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from vtoon.errors import VtoonError
from vtoon.system.pictures import opened_image
from vtoon.video.colours import UNTAGGED, Colours, colours_of
from vtoon.video.rising import believable_rate
from vtoon.video.source import (
    alpha_decoder,
    check_file,
    is_pattern,
    open_source,
    picture_stream,
    sequence_numbers,
    still_image,
)

_QUARTER_TURNS = {(1, 0): 0, (0, 1): 90, (-1, 0): 180, (0, -1): 270}  # (d, b) = (cos, sin) -> degrees clockwise
_OFTEN_OPAQUE = ("gif", "png", "apng", "qtrle", "tiff", "bmp", "targa", "webp")  # whatever their pixel format is
_EXIF_TURNS = {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}


@dataclass(frozen=True)
class Orientation:
    """How a player turns the stored picture: signs of the display matrix, x' = a x + c y, y' = b x + d y."""

    a: int = 1
    b: int = 0
    c: int = 0
    d: int = 1

    @classmethod
    def from_matrix(cls, data: bytes) -> Orientation:
        """From the nine 32-bit integers of a display matrix; an angle between goes to the nearest quarter turn."""
        a, b, _, c, d = np.frombuffer(data, np.int32)[:5].astype(int)
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(int(np.sign(a)) or 1, 0, 0, int(np.sign(d)) or 1)
        return cls(0, int(np.sign(b)) or 1, int(np.sign(c)) or 1, 0)

    @property
    def rotation(self) -> int:
        """Degrees clockwise: 0, 90, 180 or 270 (after which `mirrored` pictures are flipped left to right)."""
        return _QUARTER_TURNS[(self.d, self.b)]

    @property
    def mirrored(self) -> bool:
        return self.a * self.d - self.b * self.c < 0

    @property
    def swaps_axes(self) -> bool:
        return self.a == 0

    def upright(self, image: np.ndarray) -> np.ndarray:
        """[H, W, 3] as stored -> contiguous, as shown."""
        if self.swaps_axes:
            image = image.transpose(1, 0, 2)
        flips = (slice(None, None, self.b + self.d), slice(None, None, self.a + self.c))
        return np.ascontiguousarray(image[flips])


@dataclass(frozen=True)
class MediaInfo:
    """Facts of a video or image file. Sizes are of the upright picture."""

    path: str
    kind: str  # "video" | "image"
    container: str  # ffmpeg's name: "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", ...
    codec: str
    pix_fmt: str
    bit_depth: int
    width: int  # px, upright
    height: int  # px, upright
    orientation: Orientation = Orientation()
    sample_aspect_ratio: Fraction = Fraction(1)  # of the upright picture
    colours: Colours = UNTAGGED
    rate: Fraction = Fraction(0)  # frames/s on average; 0 for an image
    time_base: Fraction = Fraction(1, 25)
    frames: int | None = None  # as the container's index counts them, or None where it has none
    duration: float = 0.0  # s
    start: float = 0.0  # s, time of the first picture
    audio_codecs: tuple[str, ...] = ()
    subtitle_codecs: tuple[str, ...] = ()
    interlaced: bool = False  # as the first picture says
    alpha: bool = False  # not all of the picture is seen

    @property
    def rotation(self) -> int:
        """Degrees clockwise by which players turn the stored picture: 0, 90, 180, 270."""
        return self.orientation.rotation

    @property
    def stored_size(self) -> tuple[int, int]:
        """(width, height) px before the display matrix turns the picture."""
        return (self.height, self.width) if self.orientation.swaps_axes else (self.width, self.height)

    @property
    def hdr(self) -> bool:
        return self.colours.hdr

    @property
    def expected_frames(self) -> int | None:
        """`frames`, or what duration and rate let expect; None where neither is known."""
        return self.frames or round(self.duration * self.rate) or None


def sniff_kind(path: str | os.PathLike) -> str:
    """ "image" or "video", from the content; the extension does not count.

    An animated GIF or PNG and a sequence (`frames/%04d.png`) are videos. VtoonError where it is neither.
    """
    if not is_pattern(path):
        check_file(path)
        if still_image(path):
            return "image"
    with open_source(path) as container:
        picture_stream(container, path)
    return "video"


def probe(path: str | os.PathLike, rate: Fraction | None = None) -> MediaInfo:
    """Read the facts of a video (its first picture is decoded) or an image. `rate`: speed of an image sequence.

    Raises VtoonError where the file is missing, empty, damaged, has no picture, or is something else.
    """
    if not is_pattern(path):
        check_file(path)
        if still_image(path):
            return _probe_image(path)
    with open_source(path, rate) as container:
        return _probe_video(path, container)


def _probe_image(path: str | os.PathLike) -> MediaInfo:
    try:
        with opened_image(path) as image:
            turn = _EXIF_TURNS.get(image.getexif().get(274, 1), 0)
            width, height = image.size[::-1] if turn in (90, 270) else image.size
            name, mode = image.format.lower(), image.mode
    except (OSError, ValueError, SyntaxError) as error:
        raise VtoonError(f"{path}: a picture of a kind that cannot be read ({error})") from None
    return MediaInfo(os.fspath(path), "image", name, name, mode, 16 if "16" in mode else 8, width, height, frames=1)


def _probe_video(path: str | os.PathLike, container: av.container.InputContainer) -> MediaInfo:
    stream = picture_stream(container, path)
    picture = _first_picture(container, stream, path)
    orientation = _orientation(picture)
    width, height, aspect = picture.width, picture.height, Fraction(stream.sample_aspect_ratio or 1)
    if orientation.swaps_axes:
        width, height, aspect = height, width, 1 / aspect
    time_base = Fraction(stream.time_base)
    return MediaInfo(
        path=os.fspath(path),
        kind="video",
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        pix_fmt=picture.format.name,
        bit_depth=max(component.bits for component in picture.format.components),
        width=width,
        height=height,
        orientation=orientation,
        sample_aspect_ratio=aspect,
        colours=colours_of(picture, stream.codec_context),
        rate=believable_rate(container, stream, path),
        time_base=time_base,
        frames=len(sequence_numbers(path)) if is_pattern(path) else stream.frames or None,
        duration=_duration(stream, container),
        start=float((picture.pts or 0) * time_base),
        audio_codecs=tuple(_codec_name(track) for track in container.streams.audio),
        subtitle_codecs=tuple(_codec_name(track) for track in container.streams.subtitles),
        interlaced=bool(picture.interlaced_frame),
        alpha=_has_alpha(picture, stream),
    )


def _first_picture(
    container: av.container.InputContainer, stream: av.VideoStream, path: str | os.PathLike
) -> av.VideoFrame:
    """The first picture that decodes; damaged packets before it are passed over."""
    context = alpha_decoder(stream)
    try:
        for packet in container.demux(stream):
            try:
                for picture in context.decode(packet if packet.size else None) if context else packet.decode():
                    return picture
            except av.error.FFmpegError:
                continue
    except av.error.FFmpegError:
        pass
    raise VtoonError(f"{path}: the file is damaged: not one picture can be decoded")


def _has_alpha(picture: av.VideoFrame, stream: av.VideoStream) -> bool:
    """Formats of single pictures often have an alpha channel without need; there the first picture tells."""
    if not (picture.format.has_palette or any(component.is_alpha for component in picture.format.components)):
        return False
    if stream.codec_context.codec.canonical_name not in _OFTEN_OPAQUE and not picture.format.has_palette:
        return True
    return bool(picture.reformat(format="rgba").to_ndarray()[..., 3].min() < 255)


def _orientation(picture: av.VideoFrame) -> Orientation:
    for data in picture.side_data:
        if getattr(data, "type", None) == av.sidedata.sidedata.Type.DISPLAYMATRIX:
            return Orientation.from_matrix(bytes(data))
    return Orientation()


def _duration(stream: av.VideoStream, container: av.container.InputContainer) -> float:
    """Seconds that the header promises for `stream`, or else for the whole file; 0 where it says nothing."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _codec_name(stream: av.stream.Stream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
