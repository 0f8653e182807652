"""Faces that were followed through a clip once are kept: another style of it starts to draw at once."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from vtoon.types import Frame, TrackedFace, TrackedFrame
from vtoon.video import VideoReader

KEPT_FACES = 30_000  # of a session, 1.1 kB each: twenty minutes of one face at 25 frames a second
Followed = list[tuple[tuple[TrackedFace, ...], bool]]  # of every frame: the faces, and whether a shot begins


@dataclass
class Tracks:
    """Of one session."""

    _kept: OrderedDict[tuple, tuple[float, Followed]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, reader: VideoReader) -> Followed | None:
        """What is known of the clip from where `reader` begins to where it ends, or further."""
        with self._lock:
            end, followed = self._kept.get(_key(reader), (-1.0, None))
            return followed if _end(reader) <= end else None

    def keep(self, reader: VideoReader, followed: Followed) -> None:
        """The oldest ones go."""
        with self._lock:
            self._kept.pop(_key(reader), None)
            self._kept[_key(reader)] = _end(reader), followed
            while self._kept and sum(map(_size, self._kept.values())) > KEPT_FACES:
                self._kept.popitem(last=False)

    def through(
        self, reader: VideoReader, frames: Iterator[Frame], tracked: Iterator[TrackedFrame]
    ) -> Iterator[TrackedFrame]:
        """`tracked`, which follows faces through `frames`; what is known already takes its place."""
        known = self.find(reader)
        if known is not None:
            for frame, (faces, cut) in zip(frames, known, strict=False):
                yield TrackedFrame(frame, faces, cut)
            return
        followed: Followed = []
        for frame in tracked:
            followed.append((frame.faces, frame.cut))
            yield frame
        self.keep(reader, followed)


def _key(reader: VideoReader) -> tuple:
    return str(reader.path), reader.part.start, reader.info.rate


def _end(reader: VideoReader) -> float:
    return math.inf if reader.part.end is None else reader.part.end


def _size(kept: tuple[float, Followed]) -> int:
    return sum(1 + len(faces) for faces, _ in kept[1])
