"""What a file tells of itself beside its pictures and sound: title, date, place, camera, chapters, cover, fonts."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator

import av
from av.stream import Disposition

from vtoon.video.source import packets

log = logging.getLogger("vtoon")

_OF_THE_FILE = (
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "duration",
)  # these describe the old one
_TECHNICAL = re.compile(r"(uid|umid|_ul|version|version_num|platform)$")  # of an MXF file: for machines
_OF_THE_PICTURES = ("title", "language", "timecode")
_BOXED = ("mp4", "mov")
_ONLY_NAMED = "com."  # com.apple.quicktime.make, com.android.version, ...: MP4 keeps these only by name
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
_LOOKED_AT = 100  # packets, for the cover


class About:
    """Bound for the container `output`, before its first packet; covers are written by `write` behind the header."""

    def __init__(
        self, source: av.container.InputContainer, output: av.container.OutputContainer, chapters: bool = True
    ) -> None:
        """`chapters`: copy them; of a part their times would be wrong."""
        self._source, self._output = source, output
        output.metadata.update({key: value for key, value in source.metadata.items() if key not in _OF_THE_FILE})
        if chapters and hasattr(output, "set_chapters") and source.chapters():
            output.set_chapters(source.chapters())
        for theirs, ours in zip(source.streams.video[:1], output.streams.video, strict=False):
            ours.metadata.update({key: theirs.metadata[key] for key in _OF_THE_PICTURES if key in theirs.metadata})
        self._covers = list(self._add_covers())
        self._add_attachments()

    def write(self) -> None:
        for packet in self._covers:
            self._output.mux(packet)

    def options(self) -> dict[str, str]:
        """Of the muxer: names that only their owners know are written too, unless a cover needs the other way."""
        named = any(key.startswith(_ONLY_NAMED) for key in self._source.metadata)
        return (
            {"movflags": "+use_metadata_tags"}
            if named and self._output.format.name in _BOXED and not self._covers
            else {}
        )

    def _add_covers(self) -> Iterator[av.Packet]:
        """In an MP4 a cover is a track with one packet, in Matroska a file beside the tracks."""
        for packet in covers(self._source):
            name = packet.stream.codec_context.codec.canonical_name
            if self._output.format.name in _BOXED:
                track = self._output.add_stream_from_template(packet.stream, opaque=True)
                track.disposition = Disposition.attached_pic
                packet.pts = packet.dts = 0
                packet.stream = track
                yield packet
            elif self._output.format.name == "matroska" and name in _COVERS and hasattr(self._output, "add_attachment"):
                file_name, kind = _COVERS[name]
                told = packet.stream.metadata
                self._output.add_attachment(told.get("filename", file_name), told.get("mimetype", kind), bytes(packet))

    def _add_attachments(self) -> None:
        if self._output.format.name != "matroska" or not hasattr(self._output, "add_attachment"):
            return
        for stream in self._source.streams.attachments:
            told = stream.metadata
            kind = told.get("mimetype", "application/octet-stream")
            self._output.add_attachment(told.get("filename", f"attachment{stream.index}"), kind, stream.data)


def covers(source: av.container.InputContainer) -> list[av.Packet]:
    """The cover pictures, which libavformat gives before everything else; `source` is read for that."""
    missing = {stream.index for stream in source.streams.video if stream.disposition & Disposition.attached_pic}
    found = []
    with contextlib.suppress(av.error.FFmpegError):
        for n, packet in enumerate(packets(source) if missing else ()):
            if packet.stream.index in missing and packet.size and packet.stream.codec_context:
                missing.discard(packet.stream.index)
                found.append(packet)
            if not missing or n == _LOOKED_AT:
                break
    return found


def say_what_is_lost(
    source: av.container.InputContainer, output: av.container.InputContainer, path: str | os.PathLike
) -> None:
    """One line with everything that `source` tells of itself and the finished `output` does not."""
    keys = {key.lower() for key in output.metadata}
    values = {value for about in (output, *output.streams) for value in about.metadata.values()}
    lost = [
        key
        for key, value in source.metadata.items()
        if key not in _OF_THE_FILE and key.lower() not in keys and value and value not in values
        if not _TECHNICAL.search(key)
    ]
    lost += [
        f"the title of track {s.index}" for s in source.streams if s.metadata.get("title", "") not in {"", *values}
    ]
    lost += ["chapters"] * (len(source.chapters()) > len(output.chapters()))
    lost += ["the cover"] * (_count_covers(source) > _count_covers(output))
    lost += ["attached files"] * (len(source.streams.attachments) > len(output.streams.attachments))
    lost += [f"video track {s.index}" for s in source.streams.video[1:] if not s.disposition & Disposition.attached_pic]
    if lost:
        log.warning("%s: not kept: %s", path, ", ".join(dict.fromkeys(lost)))


def _count_covers(container: av.container.InputContainer) -> int:
    return sum(bool(stream.disposition & Disposition.attached_pic) for stream in container.streams.video)
