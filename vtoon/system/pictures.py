"""Opening image files with Pillow: photos of any size that memory holds, and those that need an extra."""

from __future__ import annotations

import io
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError, features

try:
    import psutil
except ImportError:  # on a machine that only trains
    psutil = None

from vtoon.errors import VtoonError

NEEDED = 25  # bytes for each pixel from reading a photo to writing its drawing; 21 were measured at 200 megapixels
_AVIF = (b"avif", b"avis")
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OPENING = threading.Lock()  # Pillow's limit is one for all threads


@contextmanager
def opened_image(path: str | os.PathLike | io.BytesIO, formats: tuple[str, ...] | None = None) -> Iterator[Image.Image]:
    """Pillow's picture of a file, or of one that is in memory, not yet decoded.

    Raises VtoonError where memory does not suffice to draw it, or where an extra is missing that reads it; else what
    Pillow raises.
    """
    _prepare_for(path)
    with _unlimited(path, formats) as image:
        pixels, free = image.width * image.height, _free_bytes()
        if pixels * NEEDED > free:
            raise VtoonError(
                f"{path}: {pixels / 1e6:.0f} megapixels need {pixels * NEEDED / 1e9:.1f} GB of memory, and "
                f"{free / 1e9:.1f} GB are free; make the picture smaller"
            )
        yield image


def _free_bytes() -> float:
    """Of the machine's memory."""
    return psutil.virtual_memory().available if psutil else math.inf


def _unlimited(path: str | os.PathLike | io.BytesIO, formats: tuple[str, ...] | None) -> Image.Image:
    """Without Pillow's limit of 179 megapixels, which knows nothing of the memory there is."""
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def iso_brands(path: str | os.PathLike | io.BytesIO) -> tuple[bytes, ...]:
    """The brands that an ISO media file (MP4, HEIF, AVIF, ...) names, the major one first; () for any other file."""
    if isinstance(path, io.BytesIO):
        head = path.getbuffer()[:64].tobytes()
    else:
        with open(path, "rb") as file:
            head = file.read(64)
    if head[4:8] != b"ftyp":
        return ()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))


def is_still(brands: tuple[bytes, ...]) -> bool:
    """Whether the content is one picture: HEIF, of which HEIC and AVIF are kinds."""
    return brands[:1] in {(brand,) for brand in (*_HEIF, b"avif")}


def _prepare_for(path: str | os.PathLike | io.BytesIO) -> None:
    brands = iso_brands(path)
    if not is_still(brands):
        return
    if any(brand in _AVIF for brand in brands):
        if not features.check("avif"):
            raise VtoonError(f"{path}: an AVIF picture, which this Pillow does not read: pip install -U pillow")
        return
    try:
        import pillow_heif
    except ImportError:
        raise VtoonError(f'{path}: a HEIC picture, which pillow-heif reads: pip install "vtoon[heif]"') from None
    try:
        pillow_heif.register_heif_opener(thumbnails=False)
    except Exception as error:  # a build that does not fit this machine
        raise UnidentifiedImageError(f"pillow-heif does not work here: {error}") from None
