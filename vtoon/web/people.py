"""The faces of the shown frame: numbered, each with a switch, known again in other frames."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vtoon.faces.landmarks import FacePose
from vtoon.pipeline.people import People, Place, Seen
from vtoon.web.dropped import VIDEO, Dropped

CHIP = 56  # px, a face beside its switch
AROUND = 1.5  # of a face's box


@dataclass(frozen=True)
class Person:
    """A face as the page shows it."""

    face: int  # of the frame's, biggest first
    picture: str  # a data: address
    x: float  # middle of its lower edge in shares of the frame
    y: float
    drawn: bool


def left_out(dropped: Dropped, time: float, places: Sequence[Place]) -> list[Place | None]:
    """Of every face of the shown frame: the place that says that this person is not drawn."""
    shown = dropped.at(time)
    if not places:
        return [None] * len(shown.faces)
    frames: dict[int, tuple[Seen, list[Place]]] = {}
    for place in places:
        seen = _seen(dropped, shown, place)
        frames.setdefault(id(seen.image), (seen, []))[1].append(place)
    return People(list(frames.values())).alone(shown.image, shown.faces, shown.time)


def _seen(dropped: Dropped, shown: Seen, place: Place) -> Seen:
    """The frame in which somebody was pointed at."""
    if dropped.tab == VIDEO:
        return dropped.clips[0].at(place.seconds)
    clip = next((clip for clip in dropped.clips if clip.path == place.file), dropped.clips[0])
    seen = clip.at(place.seconds)
    return seen if seen is shown else replace(seen, time=None)  # another file: its places are not these


def switched(dropped: Dropped, time: float, places: Sequence[Place], face: int, drawn: bool) -> tuple[Place, ...]:
    """The places after a switch of a face of the shown frame was moved."""
    if face >= len(dropped.at(time).faces):
        return tuple(places)
    now = left_out(dropped, time, places)[face]
    if drawn:
        return tuple(place for place in places if place != now)
    return tuple(places) if now else (*places, dropped.place(time, face))


def persons(seen: Seen, left: Sequence[Place | None]) -> list[Person]:
    """What is shown of them, from left to right."""
    height, width = seen.image.shape[:2]
    made = []
    for i, (face, place) in enumerate(zip(seen.faces, left, strict=True)):
        pose = FacePose.of(face.points)
        x, y = pose.x / width, (pose.y + 0.62 * pose.side) / height
        x, y = min(max(x, 0.03), 0.97), min(max(y, 0.05), 0.95)
        made.append(Person(i, _chip(seen.image, pose), x, y, place is None))
    return sorted(made, key=lambda person: person.x)


def _chip(image: np.ndarray, pose: FacePose) -> str:
    side = AROUND * pose.side
    scale = CHIP / side
    matrix = np.float64([[scale, 0, CHIP / 2 - scale * pose.x], [0, scale, CHIP / 2 - scale * pose.y]])
    shrink = max(1, int(side / CHIP))
    if shrink > 1:  # bilinear sampling alone would leave pixels out
        image = cv2.blur(image, (shrink, shrink))
    chip = cv2.warpAffine(image, matrix, (CHIP, CHIP), borderMode=cv2.BORDER_REPLICATE)
    _, data = cv2.imencode(".webp", chip[..., ::-1], (cv2.IMWRITE_WEBP_QUALITY, 80))
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()
