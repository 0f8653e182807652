"""Opening what a user hands over: the content decides, and what cannot be read says why in one line."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from fractions import Fraction

import av
from PIL import UnidentifiedImageError

from vtoon.errors import VtoonError
from vtoon.system.pictures import is_still, iso_brands, opened_image
from vtoon.system.pipes import is_pipe

_PATTERN = re.compile(r"%0?\d*d")  # printf counter of an image sequence: frames/%04d.png
_IMAGE_CONTAINER = re.compile(r".*_pipe$|image2$")  # ffmpeg's demuxers of single pictures
_STUMBLES = 100  # packets that cannot be read, before a file is given up
# What counts as a picture; Pillow would also take an MPEG stream for one.
_STILL_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "ICO")
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def is_pattern(path: str | os.PathLike) -> bool:
    """Whether `path` names an image sequence, as `frames/%04d.png`."""
    return bool(_PATTERN.search(os.path.basename(path))) and not os.path.exists(path)


def sequence_numbers(path: str | os.PathLike) -> range:
    """The numbers of the files that a pattern stands for: from the lowest one up to the first gap."""
    folder, name = os.path.split(path)
    before, after = map(re.escape, _PATTERN.split(name, maxsplit=1))
    try:
        matches = [re.fullmatch(rf"{before}(\d+){after}", entry) for entry in os.listdir(folder or ".")]
    except OSError:
        matches = []
    numbers = {int(match[1]) for match in matches if match and name % int(match[1]) == match[0]}
    if not numbers:
        raise VtoonError(f"{path}: no file fits this pattern; the first would be named like {name % 1}")
    first = last = min(numbers)
    while last + 1 in numbers:
        last += 1
    return range(first, last + 1)


def check_file(path: str | os.PathLike) -> None:
    """Raise VtoonError where `path` is no file with something in it."""
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        raise VtoonError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise VtoonError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if os.path.isdir(path):
        raise VtoonError(f"{path}: is a folder; give a video or an image file")
    if is_pipe(path):
        raise VtoonError(f"{path}: is a pipe, which can be read once only; save what comes through it to a file")
    if not os.path.isfile(path):
        raise VtoonError(f"{path}: is a device; give a video or an image file")
    if size == 0:
        raise VtoonError(f"{path}: the file is empty (0 bytes)")


def still_image(path: str | os.PathLike) -> bool:
    """Whether the file's content is one picture. Animations that ffmpeg plays (GIF, APNG) are none."""
    try:
        if brands := iso_brands(path):
            return is_still(brands)
        with opened_image(path, _STILL_FORMATS) as image:
            return not (getattr(image, "is_animated", False) and image.format in ("GIF", "PNG"))
    except PermissionError as error:
        raise VtoonError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return False


def open_source(path: str | os.PathLike, rate: Fraction | None = None) -> av.container.InputContainer:
    """Open a video file or an image sequence for reading. `rate` (frames/s, default 25) is a sequence's speed.

    Raises VtoonError where `path` is missing, empty, a folder or nothing that ffmpeg knows.
    """
    if is_pattern(path):
        options = {"start_number": str(sequence_numbers(path).start), "framerate": str(rate or 25)}
        return _open(path, format="image2", options=options)
    check_file(path)
    return _open(path)


def _open(path: str | os.PathLike, **options) -> av.container.InputContainer:
    try:
        # An absolute name is never taken for a protocol, as "concat:a" would be.
        container = av.open(os.path.abspath(path), metadata_errors="ignore", **options)
    except av.error.FFmpegError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise VtoonError(f"{path}: cannot be read (permission denied)") from None
        raise VtoonError(f"{path}: not a readable video: another kind of file, or damaged at its start") from None
    if _IMAGE_CONTAINER.match(container.format.name) and "format" not in options:
        container.close()
        raise VtoonError(f"{path}: the content is one picture, not a video")
    return container


def packets(container: av.container.InputContainer) -> Iterator[av.Packet]:
    """All packets, behind damage as well; FFmpegError where reading stops for good."""
    for patience in reversed(range(_STUMBLES)):
        try:
            yield from container.demux()
            return
        except av.error.InvalidDataError:
            if not patience:
                raise


def alpha_decoder(stream: av.VideoStream) -> av.VideoCodecContext | None:
    """Of VP8 and VP9 with alpha, which FFmpeg's own decoders leave out; None where it needs no other decoder."""
    name = _ALPHA_DECODERS.get(stream.codec_context.name)
    told = {key.lower(): value for key, value in stream.metadata.items()}
    if not name or told.get("alpha_mode") != "1" or name not in av.codec.codecs_available:
        return None
    return av.CodecContext.create(name, "r")


def picture_stream(container: av.container.InputContainer, path: str | os.PathLike) -> av.VideoStream:
    """The stream to show: the first video stream that is not a cover. VtoonError where there is none."""
    covers = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & covers:
            if stream.codec_context is None:
                raise VtoonError(f"{path}: this build of PyAV has no decoder for its video codec")
            return stream
    if container.streams.audio:
        raise VtoonError(f"{path}: has sound but no picture; give a file with a video stream")
    raise VtoonError(f"{path}: has no picture; give a video file")
