"""Faces through a video: who is where in each frame, from cut to cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import cv2
import numpy as np

from vtoon.errors import VtoonError
from vtoon.faces.cuts import CutDetector
from vtoon.faces.detect import QUICK, THOROUGH, WIDE, FaceDetector
from vtoon.faces.follow import FaceFollower
from vtoon.faces.landmarks import FacePose
from vtoon.types import Frame, Landmarks, TrackedFace, TrackedFrame

SAME_FACE = 0.3  # overlap (IoU) of a detection and a track
SAME_PLACE = 0.4  # ... below which the track has slipped; HOG's boxes come in steps of 20%
LOOK_EVERY = 5  # frames between searches of the whole frame
LOOK_SECONDS = 1.0  # ... at most: of few frames a second each one is searched, before the faces in it are given up
WIDE_SECONDS = 3.0  # between searches for small faces
THOROUGH_SECONDS = 6.0  # between searches with the CNN, while no face is there
UNCONFIRMED_SECONDS = 3.0  # how long the trees alone (profile, hand before the face) may vouch for a face


class Detector(Protocol):
    """What the tracker asks of a detector; see FaceDetector. Pictures are grey but for those of a THOROUGH search."""

    def find(self, image: np.ndarray, effort: int) -> list[FacePose]: ...
    def landmarks(self, image: np.ndarray, pose: FacePose) -> Landmarks | None: ...
    def recognises(self, chip: np.ndarray) -> bool: ...


@dataclass
class _Track:
    number: int
    follower: FaceFollower
    seen: float  # s, last time the face was there
    confirmed: float  # s, last time a detector said so
    held: bool = False

    @property
    def face(self) -> TrackedFace:
        return TrackedFace(self.number, Landmarks(self.follower.points), self.held)

    @property
    def pose(self) -> FacePose:
        return FacePose.of(self.follower.points)


class FaceTracker:
    """Landmarks and identities of the faces of a video; state lives in `track`, so one tracker serves many videos.

    `faces`: "all", or "largest" for the one biggest face (it stays the one as long as it is tracked).
    `hold`: seconds a face that is not seen keeps its place. `detector` and `follower` can be replaced.
    """

    def __init__(
        self,
        detector: Detector | None = None,
        faces: Literal["all", "largest"] = "all",
        hold: float = 1.0,
        look_every: int = LOOK_EVERY,
        follower: Callable[[np.ndarray, np.ndarray], FaceFollower] = FaceFollower,
    ) -> None:
        if faces not in ("all", "largest"):
            raise VtoonError(f"faces is {faces!r}; it must be 'all' or 'largest'")
        self._detector = detector if detector is not None else FaceDetector()
        self._faces, self._hold, self._look_every = faces, hold, look_every
        self._follower = follower

    def track(self, frames: Iterator[Frame]) -> Iterator[TrackedFrame]:
        """One TrackedFrame for each Frame, in order, at once: nothing is buffered. Faces are biggest first."""
        tracked = self._all(frames)
        return largest_only(tracked) if self._faces == "largest" else tracked

    def _all(self, frames: Iterator[Frame]) -> Iterator[TrackedFrame]:
        shot_starts = CutDetector()
        shot: _Shot | None = None
        for frame in frames:
            cut = shot_starts(frame.image)
            if cut or shot is None:
                first_number = shot.next_number if shot else 0
                shot = _Shot(self._detector, self._follower, self._hold, self._look_every, first_number)
            yield TrackedFrame(frame, tuple(track.face for track in shot.advance(frame)), cut)


def largest_only(tracked: Iterator[TrackedFrame]) -> Iterator[TrackedFrame]:
    """Of every frame the biggest face alone, the same one as long as it lasts."""
    chosen: int | None = None
    for frame in tracked:
        faces = sorted(frame.faces, key=lambda face: face.track != chosen)[:1]  # stable: else the biggest is first
        chosen = faces[0].track if faces else chosen
        yield replace(frame, faces=tuple(faces))


class _Shot:
    """The tracks between two cuts."""

    def __init__(self, detector: Detector, follower: Callable, hold: float, look_every: int, number: int) -> None:
        self._detector, self._follower, self._hold, self._look_every = detector, follower, hold, look_every
        self.next_number = number
        self._tracks: list[_Track] = []
        self._candidates: list[FacePose] = []  # seen once: a second look makes them tracks
        self._frames = 0  # since the last search
        self._looked: float | None = None  # s, when that was
        self._wide = self._thorough = None  # s, when it was last looked that hard
        self._effort = QUICK  # of the last search

    def advance(self, frame: Frame) -> list[_Track]:
        """Move every track into this frame, look for new faces, drop the lost: the tracks, biggest first."""
        now = float(frame.pts * frame.time_base)
        gray = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        for track in self._tracks:
            believed = track.follower.step(gray)
            track.held = not believed
            if believed and now - track.confirmed <= UNCONFIRMED_SECONDS:
                track.seen = now
        if self._due(now):
            self._search(frame.image, gray, now)
        self._tracks = [t for t in self._tracks if now - t.seen <= self._hold and _inside(t.pose, gray.shape)]
        self._drop_doubles()
        self._tracks.sort(key=lambda track: -track.pose.side)
        return list(self._tracks)

    def _due(self, now: float) -> bool:
        """Every few frames, every second, and at once where a face was lost or a new one waits for its second look."""
        self._frames += 1
        late = self._frames >= self._look_every or (self._looked is not None and now - self._looked >= LOOK_SECONDS)
        if self._thorough is None or late or self._candidates:
            return True
        return any(track.held for track in self._tracks) and self._frames >= 2

    def _next_effort(self, now: float) -> int:
        """Looking hard is dear: at the start of a shot, then now and then, and for a second look at what it found."""
        if self._candidates:
            return self._effort
        if self._thorough is None or (not self._tracks and now - self._thorough >= THOROUGH_SECONDS):
            self._thorough = self._wide = now
            return THOROUGH
        if now - self._wide >= WIDE_SECONDS:
            self._wide = now
            return WIDE
        return QUICK

    def _search(self, image: np.ndarray, gray: np.ndarray, now: float) -> None:
        first = self._thorough is None
        self._frames, self._looked = 0, now
        self._effort = self._next_effort(now)
        # HOG finds nearly all faces in grey, too, in three quarters of the time.
        found = self._detector.find(image if self._effort == THOROUGH else gray, self._effort)
        for track in self._tracks:
            mine = [pose for pose in found if pose.overlap(track.pose) > SAME_FACE]
            if mine or self._detector.recognises(track.follower.chip):
                self._confirm(track, gray, mine, now)
            found = [pose for pose in found if pose not in mine]
        waiting, self._candidates = self._candidates, []
        for pose in found:
            if first or any(pose.overlap(other) > SAME_FACE for other in waiting):
                self._start(gray, pose, now)
            else:
                self._candidates.append(pose)

    def _confirm(self, track: _Track, gray: np.ndarray, found: list[FacePose], now: float) -> None:
        track.seen = track.confirmed = now
        if found and (track.held or found[0].overlap(track.pose) < SAME_PLACE):  # slipped: start afresh from there
            points = self._detector.landmarks(gray, found[0])
            if points is not None:
                track.follower = self._follower(gray, points.points)
        track.held = False

    def _start(self, gray: np.ndarray, pose: FacePose, now: float) -> None:
        face = self._detector.landmarks(gray, pose)
        if face is not None:
            self._tracks.append(_Track(self.next_number, self._follower(gray, face.points), now, now))
            self.next_number += 1

    def _drop_doubles(self) -> None:
        """Of two tracks that slid onto one face the older stays."""
        kept: list[_Track] = []
        for track in sorted(self._tracks, key=lambda track: track.number):
            if all(track.pose.overlap(other.pose) < SAME_FACE for other in kept):
                kept.append(track)
        self._tracks = kept


def _inside(pose: FacePose, shape: tuple[int, int]) -> bool:
    height, width = shape
    return 0 <= pose.x < width and 0 <= pose.y < height
