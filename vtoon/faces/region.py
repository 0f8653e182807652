"""Which part of each frame is drawn, and at which size: boxes that stand still while the head moves inside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vtoon.errors import VtoonError
from vtoon.faces.crop import STRIDE
from vtoon.types import CropBox, Landmarks, TrackedFace, TrackedFrame

DETAIL_RANGE = (64.0, 160.0)  # px between the eyes: what networks are trained for
AUTO_RANGE = (64.0, 112.0)  # above 112 px more detail costs more than it shows
MAX_SCALE = 4.0  # enlarging a face further shows nothing new
UNTOUCHED = (0.9, 1.12)  # a scale this near to 1 becomes 1: nothing is resampled, nothing is softened
SCALE_TOLERANCE = 1.3  # the face may grow or shrink this much before the working scale changes
SIZE_TOLERANCE = 1.15  # ... and this much before the box grows or shrinks at the same scale
DEAD_ZONE = 0.35  # face sizes the face may move within its box before the box follows

CHIN = 8  # of the 68 points
EYE_TO_MOUTH = 0.75  # eye distance over eyes-to-mouth distance: 0.8 to 1.1 on a face seen from the front, less turned


def face_size(landmarks: Landmarks) -> float:
    """Size of a face in px: the eye distance, made up from the eyes-to-mouth distance where the head is turned."""
    return max(landmarks.eye_distance, EYE_TO_MOUTH * float(np.hypot(*(landmarks.mouth - landmarks.eye_middle))))


def chin_distance(landmarks: Landmarks) -> float:
    """From the middle of the eyes to the chin, px."""
    return float(np.hypot(*(landmarks.points[CHIN] - landmarks.eye_middle)))


def auto_detail(eye_distance: float) -> float:
    """The working eye distance for a face whose eyes are `eye_distance` px apart, px.

    The work of a fully convolutional network grows with the square of it. As large as the face is shown, so that
    nothing has to be blown up afterwards, but not above 112 px, where a face costs 3 times what it costs at 64 px and
    more is hardly visible; not below 64 px, the smallest size that networks are trained for.
    """
    return float(np.clip(eye_distance, *AUTO_RANGE))


@dataclass(frozen=True)
class Extent:
    """How far a box reaches from the middle of the eyes, in face sizes."""

    side: float = 2.3
    up: float = 2.3  # hair
    down: float = 2.5  # chin and neck
    chin: float = 1.4  # up and down at least, in distances from the eyes to the chin: long faces, open mouths


@dataclass(frozen=True)
class _Plan:
    """What is kept of a track: the box before it is cut at the frame's edge, px of the resized frame."""

    frame_size: tuple[int, int]  # (H, W) of the frame itself
    height: int  # of the resized frame
    width: int
    size: float  # face size the box was made for, px of the resized frame
    x: float  # middle of the eyes it was made for
    y: float
    left: int  # multiples of 8, also beyond the frame
    top: int
    right: int
    bottom: int

    @property
    def scale(self) -> float:
        return self.width / self.frame_size[1]


class RegionPlanner:
    """A steady CropBox for every tracked face of a video; a new one for every video.

    A track's scale stays while the face is within 30% of the wanted detail, its box while the face is inside a dead
    zone; when a box moves it moves by multiples of 8 px, which leaves a network of stride 8 aligned to the frame.
    """

    def __init__(
        self,
        detail: float | Literal["auto"] = "auto",
        extent: Extent = Extent(),
        allowed: tuple[float, float] = DETAIL_RANGE,
    ) -> None:
        """`allowed`: of `detail`; a network of small pictures was trained for smaller faces. Raises VtoonError."""
        low, high = map(int, allowed)
        if detail != "auto" and not (isinstance(detail, int | float) and allowed[0] <= detail <= allowed[1]):
            raise VtoonError(f"detail is {detail!r}; it must be 'auto' or {low} to {high} (px between the eyes)")
        self._detail, self._extent = detail, extent
        self._plans: dict[int, _Plan] = {}

    def plan(self, tracked: TrackedFrame) -> list[tuple[TrackedFace, CropBox]]:
        """The frame's faces with their boxes, in order; a face wholly outside the frame is left out."""
        size = tracked.frame.image.shape[:2]
        known = {} if tracked.cut else self._plans
        self._plans = {face.track: self._follow(known.get(face.track), face.landmarks, size) for face in tracked.faces}
        boxes = ((face, _clipped(self._plans[face.track])) for face in tracked.faces)
        return [(face, box) for face, box in boxes if box is not None]

    def _follow(self, plan: _Plan | None, landmarks: Landmarks, frame_size: tuple[int, int]) -> _Plan:
        size = face_size(landmarks)
        scale = min(self._wanted(size) / size, MAX_SCALE)
        if plan is None or plan.frame_size != frame_size or not _near(plan.scale, scale, SCALE_TOLERANCE):
            return self._made(landmarks, frame_size, 1.0 if UNTOUCHED[0] <= scale <= UNTOUCHED[1] else scale)
        if not _near(plan.size, size * plan.scale, SIZE_TOLERANCE):
            return self._made(landmarks, frame_size, plan.scale)
        return self._moved(plan, landmarks)

    def _wanted(self, size: float) -> float:
        return auto_detail(size) if self._detail == "auto" else float(self._detail)

    def _made(self, landmarks: Landmarks, frame_size: tuple[int, int], scale: float) -> _Plan:
        height, width = (max(round(side * scale), STRIDE) for side in frame_size)
        size = face_size(landmarks) * width / frame_size[1]
        x, y = _middle(landmarks, frame_size, (height, width))
        extent, chin = self._extent, chin_distance(landmarks) * width / frame_size[1]
        up, down = max(extent.up * size, extent.chin * chin), max(extent.down * size, extent.chin * chin)
        left, top = (_down8(v) for v in (x - extent.side * size, y - up))
        right, bottom = (-_down8(-v) for v in (x + extent.side * size, y + down))
        return _Plan(frame_size, height, width, size, float(x), float(y), left, top, right, bottom)

    def _moved(self, plan: _Plan, landmarks: Landmarks) -> _Plan:
        x, y = _middle(landmarks, plan.frame_size, (plan.height, plan.width))
        dx, dy = (
            round(off / STRIDE) * STRIDE if abs(off) > DEAD_ZONE * plan.size else 0 for off in (x - plan.x, y - plan.y)
        )
        return replace(
            plan,
            x=plan.x + dx,
            y=plan.y + dy,
            left=plan.left + dx,
            top=plan.top + dy,
            right=plan.right + dx,
            bottom=plan.bottom + dy,
        )


def _middle(landmarks: Landmarks, frame_size: tuple[int, int], resized: tuple[int, int]) -> np.ndarray:
    """The middle of the eyes in px of the resized frame, [2] x, y."""
    return landmarks.eye_middle * (resized[1] / frame_size[1], resized[0] / frame_size[0])


def _clipped(plan: _Plan) -> CropBox | None:
    left, top = max(plan.left, 0), max(plan.top, 0)
    right, bottom = min(plan.right, plan.width), min(plan.bottom, plan.height)
    if left >= right or top >= bottom:
        return None
    return CropBox(plan.scale, plan.height, plan.width, left, top, right, bottom)


def _down8(value: float) -> int:
    return int(value // STRIDE) * STRIDE


def _near(value: float, target: float, tolerance: float) -> bool:
    return target / tolerance <= value <= target * tolerance
