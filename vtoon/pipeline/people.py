"""Who is left as he is: people are pointed at in a frame, and known again in every other one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector
from vtoon.faces.landmarks import FacePose
from vtoon.image import load_image
from vtoon.models.face_embedding import FaceEmbedding
from vtoon.types import Frame, Landmarks, TrackedFace, TrackedFrame
from vtoon.video import VideoReader, sniff_kind
from vtoon.video.part import Part
from vtoon.weights.dlib_embedding import load_face_embedding

NUMBER = r"\d+(?:\.\d+)?"
PLACE = re.compile(rf"(?:(?P<file>.+):)?(?P<x>{NUMBER}),(?P<y>{NUMBER})(?:@(?P<seconds>{NUMBER}))?")
SAME_PLACE = 0.3  # overlap (IoU) of a tracked face and one found in the same frame
SAME_PERSON = 0.5  # distance of two faces' embeddings; 0.6 where both are surely looked for, others come by here
LOOKS = (0, 5, 20)  # a person is looked at in these frames of a track, and the looks are averaged

TRACKS, KNOWN = 256, 64  # tracks and faces that are remembered, of a stream without end


@dataclass(frozen=True)
class Place:
    """Where a face is: px of the upright frame, the time, and the file where it is another than the input."""

    x: float
    y: float
    seconds: float = 0.0
    file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Place:
        """[FILE:]X,Y[@SECONDS]. Raises VtoonError where it is not of this form."""
        found = PLACE.fullmatch(text)
        if not found:
            raise VtoonError(f"skip_faces has {text!r}; a face is X,Y px, X,Y@SECONDS or FILE:X,Y, as 320,140@2.5")
        file = Path(found["file"]) if found["file"] else None
        return cls(float(found["x"]), float(found["y"]), float(found["seconds"] or 0), file)

    def __str__(self) -> str:
        file = f"{self.file}:" if self.file else ""
        return f"{file}{self.x:g},{self.y:g}" + (f"@{self.seconds:g}" if self.seconds else "")


@dataclass
class Seen:
    """A picture uint8 [H, W, 3], the faces in it, biggest first, and its time; None: it is of another file."""

    image: np.ndarray
    faces: tuple[Landmarks, ...]
    time: Fraction | None = None
    _looks: dict[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: Frame, own: bool = True) -> Seen:
        """`own`: it is a frame of the input itself."""
        faces = tuple(FaceDetector().detect(frame.image))
        return cls(frame.image, faces, _time(frame) if own else None)

    def look(self, i: int) -> np.ndarray:
        """The embedding of a face."""
        if i not in self._looks:
            self._looks[i] = _net().embed(self.image, self.faces[i])
        return self._looks[i]

    def at(self, x: float, y: float) -> int | None:
        """Which face a point is in, the nearest one."""
        inside = []
        for i, pose in enumerate(FacePose.of(face.points) for face in self.faces):
            if max(abs(pose.x - x), abs(pose.y - y)) <= 0.75 * pose.side:
                inside.append((np.hypot(pose.x - x, pose.y - y), i))
        return min(inside)[1] if inside else None


@lru_cache(maxsize=1)
def _net() -> FaceEmbedding:
    return load_face_embedding()


@dataclass
class _Track:
    """What is known of a tracked face."""

    frames: int = 0
    looks: list[np.ndarray] = field(default_factory=list)
    place: Place | None = None  # that points at this person
    sure: bool = False  # it was where the face was pointed at


class People:
    """The persons of the frames in which some were pointed at; the others there are counterexamples."""

    def __init__(self, frames: Sequence[tuple[Seen, Sequence[Place]]]) -> None:
        """Raises VtoonError where there is no face at a place."""
        self._known: list[tuple[Seen, int, Place | None]] = []
        for seen, places in frames:
            pointed = {_face_at(seen, place): place for place in places}
            self._known += [(seen, i, pointed.get(i)) for i in range(len(seen.faces))]
        self._tracks: dict[int, _Track] = {}

    def without(self, tracked: TrackedFrame, shift: Fraction = Fraction(0)) -> TrackedFrame:
        """The frame that comes next, without the faces that are left as they are. `shift`: s, of its time."""
        time = _time(tracked.frame) + shift
        kept = tuple(face for face in tracked.faces if self._who(tracked.frame, time, face) is None)
        while len(self._tracks) > TRACKS:
            self._tracks.pop(next(iter(self._tracks)))
        return replace(tracked, faces=kept)

    def switch(self, tracked: TrackedFrame, x: float, y: float) -> bool:
        """Leave the person at a point as he is, or, if he is left already, draw him again: whether he is left now.

        The other faces of the frame become counterexamples. Raises VtoonError where there is no face.
        """
        seen, place = Seen(tracked.frame.image, tuple(face.landmarks for face in tracked.faces)), Place(x, y)
        found = _face_at(seen, place)
        track = tracked.faces[found].track
        left = self._tracks.get(track, _Track()).place
        if left:
            self._known = [known for known in self._known if known[2] != left]
        else:
            self._known += [(seen, i, place if i == found else None) for i in range(len(seen.faces))]
        self._known = self._known[-KNOWN:]
        self._tracks = {}
        self._tracks[track] = _Track(place=None if left else place, sure=True)
        return not left

    def leave(self, tracked: Iterator[TrackedFrame], reader: VideoReader | None = None) -> Iterator[TrackedFrame]:
        """Every frame without the faces that are left as they are. `reader`: where the frames are from."""
        self._tracks = {}
        for frame in tracked:
            yield self.without(frame, reader.shift if reader else Fraction(0))

    def alone(
        self, image: np.ndarray, faces: Sequence[Landmarks], time: Fraction | None = Fraction(0)
    ) -> list[Place | None]:
        """Of each face of a single picture: the place that pointed at this person, if one did."""
        self._tracks = {}
        return [self._who(Frame(image), time, TrackedFace(i, landmarks)) for i, landmarks in enumerate(faces)]

    def _who(self, frame: Frame, time: Fraction | None, face: TrackedFace) -> Place | None:
        track = self._tracks.setdefault(face.track, _Track())
        if not track.sure:
            self._decide(track, frame, time, face)
        return track.place

    def _decide(self, track: _Track, frame: Frame, time: Fraction | None, face: TrackedFace) -> None:
        here = self._by_place(time, face.landmarks)
        if here:
            track.place, track.sure = here[0], True
        elif not face.held and len(track.looks) < len(LOOKS) and track.frames >= LOOKS[len(track.looks)]:
            track.looks.append(_net().embed(frame.image, face.landmarks))
            track.place = self._by_look(np.mean(track.looks, 0))
        track.frames += 1

    def _by_place(self, time: Fraction | None, face: Landmarks) -> list[Place | None]:
        """Of the frame that was pointed at: whose place this is, if anybody's."""
        pose = FacePose.of(face.points)
        overlaps = [
            (pose.overlap(FacePose.of(seen.faces[i].points)), place)
            for seen, i, place in self._known
            if seen.time is not None and seen.time == time
        ]
        best = max(overlaps, key=lambda found: found[0], default=(0.0, None))
        return [best[1]] if best[0] > SAME_PLACE else []

    def _by_look(self, look: np.ndarray) -> Place | None:
        """Of the person who looks most alike, if alike enough."""
        gaps = [(float(np.linalg.norm(seen.look(i) - look)), place) for seen, i, place in self._known]
        gap, place = min(gaps, key=lambda found: found[0], default=(np.inf, None))
        return place if gap < SAME_PERSON else None


def meet(places: Sequence[Place], own: Callable[[float], Frame]) -> People | None:
    """The people that are pointed at; None where nobody is. `own(seconds)` gives a frame of the input itself.

    Raises VtoonError where a file cannot be read, or there is no face at a place.
    """
    frames: dict[tuple[Path | None, float], list[Place]] = {}
    for place in places:
        frames.setdefault((place.file, place.seconds), []).append(place)
    read = {at: Seen.of(own(at[1]) if at[0] is None else frame_of(*at), at[0] is None) for at in frames}
    return People([(read[at], those) for at, those in frames.items()]) if frames else None


def frame_of(path: Path, seconds: float = 0.0, deinterlace: str = "auto") -> Frame:
    """The first frame of a video that is not before `seconds`, with the file's own time; a picture has but one."""
    if sniff_kind(path) == "image":
        return Frame(load_image(path)[0])
    with VideoReader(path, part=Part(seconds), deinterlace=deinterlace) as reader:
        frame = next(iter(reader), None)
    if frame is None:
        raise VtoonError(f"{path}: there is no frame at {seconds:g} s")
    return replace(frame, pts=frame.pts + round(reader.shift / frame.time_base))


def _time(frame: Frame) -> Fraction:
    return frame.pts * frame.time_base


def _face_at(seen: Seen, place: Place) -> int:
    found = seen.at(place.x, place.y)
    if found is None:
        there = " and ".join("{:.0f},{:.0f}".format(*face.points.mean(0)) for face in seen.faces) or "nowhere"
        raise VtoonError(f"skip_faces: there is no face at {place}; in this frame faces are at {there}")
    return found
