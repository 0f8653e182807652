"""Whether a file is all there: told by the sizes that its own structure names, not by the time its header promises."""

from __future__ import annotations

import os
from typing import BinaryIO

_SEGMENT = b"\x18\x53\x80\x67"  # of Matroska (RFC 9559)
_UNKNOWN = (0, 0xFFFFFFFF)  # sizes of a recording that was never finished


def is_whole(path: str | os.PathLike) -> bool:
    """False where a media box of an MP4, the segment of a Matroska or a film list of an AVI reaches beyond its end.

    What is missing behind the pictures, as the index of an AVI, costs nothing: players go without it.
    """
    try:
        length = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(12)
            if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
                return _boxes_end(file) <= length
            if head[:4] == b"RIFF":
                return _lists_end(file, length) <= length
            return head[:4] != b"\x1a\x45\xdf\xa3" or _segment_end(file) <= length
    except OSError:
        return True


def _boxes_end(file: BinaryIO) -> int:
    """Where the last `mdat` of the boxes on top (ISO/IEC 14496-12) ends, as far as one follows the other."""
    end = at = 0
    while True:
        file.seek(at)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if len(head) < 8 or size < 8 or not head[4:8].isalnum():
            return end
        at += size
        if head[4:8] == b"mdat":
            end = at


def _lists_end(file: BinaryIO, length: int) -> int:
    """Where the last `movi` list of an AVI ends; OpenDML has one in each of its RIFF chunks."""
    end = at = 0
    while at + 12 <= length:
        file.seek(at)
        head = file.read(12)
        name, size, kind = head[:4], int.from_bytes(head[4:8], "little"), head[8:]
        if name == b"LIST" and size in _UNKNOWN:
            break
        if name == b"LIST" and kind == b"movi":
            end = at + 8 + size
        at += 12 if name == b"RIFF" else 8 + size + size % 2
    return end


def _segment_end(file: BinaryIO) -> int:
    file.seek(0)
    start = file.read(4096)
    at = start.find(_SEGMENT)
    if at < 0 or at + 12 > len(start):
        return 0
    first = start[at + 4]
    octets = 9 - first.bit_length()  # EBML: the leading zeros tell how long the number is
    size = int.from_bytes(start[at + 4 : at + 4 + octets], "big") & ((1 << 7 * octets) - 1)
    return 0 if size == (1 << 7 * octets) - 1 else at + 4 + octets + size  # all ones: not known
