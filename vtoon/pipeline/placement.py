"""Where drawings go: pasted back into the frame, the face region alone, or the whole frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from vtoon.faces import CORE, RegionPlanner, auto_detail, blend_mask, crop_face, face_size, paste_back, published_crop
from vtoon.faces.region import DETAIL_RANGE
from vtoon.painters.engine import Job
from vtoon.painters.published import PUBLISHED_EYES
from vtoon.types import CropBox, Landmarks, Rendered, TrackedFrame

FACELESS_SIDE = 512  # px: working size of a whole frame that shows no face to measure
FACELESS_EYES = 96.0  # px: and the eye distance that is assumed in it
MAX_SCALE = 2.5  # a face that needs more enlargement than this has nothing left to draw
Grade = Callable[[np.ndarray], np.ndarray]  # the style's colours on what is not drawn: uint8 [H, W, 3] -> the same


@dataclass(frozen=True)
class Region:
    """A part of a frame on its way through the network."""

    job: Job
    box: CropBox | None = None
    landmarks: Landmarks | None = None


def ungraded(scene: np.ndarray) -> np.ndarray:
    return scene


class Placement(Protocol):
    """Cuts regions out of a frame, and puts their drawings where they belong."""

    def regions(self, tracked: TrackedFrame) -> list[Region]: ...
    def compose(
        self, tracked: TrackedFrame, regions: Sequence[Region], toons: Sequence[np.ndarray], grade: Grade = ungraded
    ) -> Rendered: ...


def rendered(tracked: TrackedFrame, source: np.ndarray, image: np.ndarray, weight: np.ndarray | None) -> Rendered:
    """A result with the frame's own times."""
    frame, faces = tracked.frame, sum(not face.held for face in tracked.faces)
    return Rendered(source, image, weight, frame.pts, frame.time_base, tracked.cut, faces, frame.alpha)


def _inside(face: Landmarks, box: CropBox) -> Landmarks:
    """A face of the frame in a box."""
    return face.moved(box.scale, (-box.left, -box.top))


class Paste:
    """Every face drawn at a working size that suits it and blended back softly (default)."""

    def __init__(self, detail: float | str = "auto", allowed: tuple[float, float] = DETAIL_RANGE) -> None:
        self.planner = RegionPlanner(detail, allowed=allowed)

    def regions(self, tracked: TrackedFrame) -> list[Region]:
        regions = []
        for face, box in self.planner.plan(tracked):
            eyes = face_size(face.landmarks) * box.scale
            here = _inside(face.landmarks, box)
            middle = tuple(map(float, here.eye_middle))
            image = crop_face(tracked.frame.image, box)
            job = Job(image, eyes, face.track, tracked.cut, box.scale, middle, faces=(here,))
            regions.append(Region(job, box, face.landmarks))
        return regions

    def compose(
        self, tracked: TrackedFrame, regions: Sequence[Region], toons: Sequence[np.ndarray], grade: Grade = ungraded
    ) -> Rendered:
        source = tracked.frame.image
        image, weight = grade(source), None
        for region, toon in zip(regions, toons, strict=True):
            mask, core = (blend_mask(region.landmarks, source.shape[:2], region.box, reach) for reach in (1.0, CORE))
            image, share = paste_back(image, toon, region.box, mask, core)
            weight = share if weight is None else 1 - (1 - weight) * (1 - share)
        if weight is None:
            weight = np.zeros(source.shape[:2], np.float32)
        return rendered(tracked, source, image, weight)


class Crop:
    """The face region alone, fixed by the first face of the clip: the published behaviour."""

    def __init__(self, box: CropBox, eye_distance: float, upscale: int = 1, exact: bool = False) -> None:
        """`exact`: cut as `crop_face` does `as_published`."""
        self.box, self.eye_distance, self.upscale, self.exact = box, eye_distance, upscale, exact

    @classmethod
    def around(
        cls,
        face: Landmarks,
        size: tuple[int, int],
        padding: Sequence[int],
        eyes: float,
        upscale: int,
        exact: bool = False,
    ) -> Crop:
        """VToonify's rule, with `eyes` px between the eyes in place of its own 64."""
        scaled = tuple(round(p * eyes / PUBLISHED_EYES) for p in padding)
        box = published_crop(face, size, scaled, eyes)
        return cls(box, face.eye_distance * box.scale, upscale, exact)

    @classmethod
    def whole(cls, size: tuple[int, int], upscale: int, eyes: float = PUBLISHED_EYES) -> Crop:
        """Frames of `size` (height, width) as they are: what VToonify draws without --scale_image."""
        height, width = size
        return cls(CropBox(1.0, height, width, 0, 0, width, height), eyes, upscale)

    def regions(self, tracked: TrackedFrame) -> list[Region]:
        region = crop_face(tracked.frame.image, self.box, self.exact)
        faces = tuple(_inside(face.landmarks, self.box) for face in tracked.faces)
        job = Job(region, self.eye_distance, cut=tracked.cut, scale=self.box.scale, faces=faces)
        return [Region(job, self.box)]

    def compose(
        self, tracked: TrackedFrame, regions: Sequence[Region], toons: Sequence[np.ndarray], grade: Grade = ungraded
    ) -> Rendered:
        source = regions[0].job.image
        if self.upscale > 1:
            source = cv2.resize(source, toons[0].shape[1::-1], interpolation=cv2.INTER_LINEAR)
        result = rendered(tracked, source, toons[0], None)
        if result.alpha is None:
            return result
        alpha = crop_face(np.dstack([result.alpha] * 3), self.box, self.exact)[..., 0]
        return replace(result, alpha=cv2.resize(alpha, toons[0].shape[1::-1], interpolation=cv2.INTER_LINEAR))


class Full:
    """The whole frame through the network, at a size that suits the first face of the clip, back at its own size."""

    def __init__(self, scale: float, eye_distance: float) -> None:
        self.scale, self.eye_distance = scale, eye_distance

    @classmethod
    def around(cls, face: Landmarks | None, size: tuple[int, int], detail: float | str) -> Full:
        if face is None:
            return cls(min(1.0, FACELESS_SIDE / min(size)), FACELESS_EYES)
        scale = min(wanted_eyes(face, detail) / face.eye_distance, MAX_SCALE)
        return cls(scale, face.eye_distance * scale)

    def regions(self, tracked: TrackedFrame) -> list[Region]:
        image = tracked.frame.image
        way = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
        size = [max(8, round(side * self.scale)) for side in image.shape[1::-1]]
        resized = cv2.resize(image, size, interpolation=way)
        faces = tuple(face.landmarks.moved(self.scale) for face in tracked.faces)
        return [Region(Job(resized, self.eye_distance, cut=tracked.cut, scale=self.scale, faces=faces))]

    def compose(
        self, tracked: TrackedFrame, regions: Sequence[Region], toons: Sequence[np.ndarray], grade: Grade = ungraded
    ) -> Rendered:
        source, toon = tracked.frame.image, toons[0]
        way = cv2.INTER_AREA if toon.shape[0] > source.shape[0] else cv2.INTER_CUBIC
        image = cv2.resize(toon, source.shape[1::-1], interpolation=way)
        return rendered(tracked, source, image, None)


class PassThrough:
    """No face in the whole clip: frames stay as they are."""

    def regions(self, tracked: TrackedFrame) -> list[Region]:
        return []

    def compose(
        self, tracked: TrackedFrame, regions: Sequence[Region], toons: Sequence[np.ndarray], grade: Grade = ungraded
    ) -> Rendered:
        return rendered(tracked, tracked.frame.image, tracked.frame.image, None)


def wanted_eyes(face: Landmarks, detail: float | str) -> float:
    """Working eye distance, px."""
    return auto_detail(face.eye_distance) if detail == "auto" else float(detail)
