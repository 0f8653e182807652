"""Steady a stylized video: what flickers is averaged along the motion of the untouched pictures.

Each picture is blended with the one before and the one after it, both warped straight to its place: one resampling, so
fine lines stay, and no error outlives a frame. A neighbour's pixel counts as far as it can be followed (no occlusion),
as it shows the same thing in the source, and as it was drawn alike; so fast motion is left alone rather than smeared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vtoon.flow.estimate import FlowEstimator, estimate_flow, scale_flow, working_size
from vtoon.flow.warp import backward_warp, inverse, occlusion_mask
from vtoon.types import Rendered

MARGIN = 16  # px around the stylized pixels: motion needs surroundings
TRUST_AREA = 192 * 192  # px; trust varies smoothly, so it is computed small
SOURCE_TOLERANCE = 8.0  # of 255: a source that differs by this much, warped, counts 1/e
DRAWN_TOLERANCE = 28.0  # of 255: likewise for the drawing: flicker passes, another line does not
DRAWN_AGREEMENT = np.exp(-np.square(np.arange(256) / DRAWN_TOLERANCE)).astype(np.float32)  # by absolute difference

Box = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True)
class Way:
    """From one frame to its neighbour in time, on the part of the picture where either is stylized."""

    box: Box
    flow: np.ndarray  # float32 [2, h, w] px
    trust: np.ndarray  # float32 [h', w'] in [0, 1], small: how far what lies at its end may be used


def steady(frames: Iterator[Rendered], estimate: FlowEstimator = estimate_flow) -> Iterator[Rendered]:
    """Blend every stylized frame with its two neighbours. Looks one frame ahead and holds three at most.

    One frame out for each frame in, in order, with its times. Nothing crosses a `cut`. Only pixels with `weight` > 0
    change, in proportion to it; a frame without a drawing, or without a neighbour that has one, is passed on as it is.
    """
    before, now, past = None, None, None  # `past`: the way from `now` to `before`
    for after in frames:
        if now is not None:
            future, past_of_after = _ways(now, after, estimate)
            yield _blend(now, [(before, past), (after, future)])
            before, past = now, past_of_after
        now = after
    if now is not None:
        yield _blend(now, [(before, past)])


def steady_with_past(frames: Iterator[Rendered], estimate: FlowEstimator = estimate_flow) -> Iterator[Rendered]:
    """As `steady`, at once: every frame is blended with the one before it as that was drawn, and none is waited for."""
    before = None
    for now in frames:
        past = _ways(before, now, estimate)[1] if before is not None else None
        yield _blend(now, [(before, past)])
        before = now


def _ways(earlier: Rendered, later: Rendered, estimate: FlowEstimator) -> tuple[Way, Way] | tuple[None, None]:
    """The way from the earlier frame to the later one and the way back; None where they must not be mixed."""
    drawn = all(frame.image is not frame.source for frame in (earlier, later))
    if later.cut or not drawn or earlier.image.shape != later.image.shape:
        return None, None
    box = _stylized_box(earlier, later)
    if box is None:
        return None, None
    a, b = earlier.source[box], later.source[box]
    back = estimate(b, a)
    size = working_size(a.shape, TRUST_AREA)
    a, b = (cv2.resize(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA) for x in (a, b))
    small_back = scale_flow(back, a.shape)
    small_there = inverse(small_back)  # a second estimate would cost more than all that follows, and steadies no better
    return (
        Way(box, scale_flow(small_there, back.shape[1:]), _trust(a, b, small_there, small_back)),
        Way(box, back, _trust(b, a, small_back, small_there)),
    )


def _stylized_box(earlier: Rendered, later: Rendered) -> Box | None:
    """The smallest box around every stylized pixel of the two, with a margin; None where there is none."""
    height, width = earlier.image.shape[:2]
    if earlier.weight is None or later.weight is None:
        return slice(0, height), slice(0, width)
    x, y, w, h = cv2.boundingRect(np.maximum(earlier.weight, later.weight).astype(bool).view(np.uint8))
    if not w:
        return None
    return slice(max(0, y - MARGIN), min(height, y + h + MARGIN)), slice(max(0, x - MARGIN), min(width, x + w + MARGIN))


def _trust(source: np.ndarray, target: np.ndarray, forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """How far the source's pixels may be mixed with what the flow finds in the target: float32 [h, w] in [0, 1]."""
    difference = cv2.blur(cv2.absdiff(source, backward_warp(target, forward)).astype(np.float32), (5, 5))
    same = np.exp(-np.square(difference / SOURCE_TOLERANCE))
    same[occlusion_mask(forward, backward, boundaries=False)] = 0  # a boundary's wrong guess shows in the difference
    return cv2.blur(cv2.erode(same, np.ones((3, 3), np.uint8)), (3, 3))


def _blend(now: Rendered, neighbours: list[tuple[Rendered | None, Way | None]]) -> Rendered:
    """The weighted mean of a frame and its warped neighbours; its own weight is 1."""
    neighbours = [(frame, way) for frame, way in neighbours if way is not None]
    if not neighbours:
        return now
    outer = tuple(
        slice(min(s.start for s in spans), max(s.stop for s in spans))
        for spans in zip(*(way.box for _, way in neighbours), strict=True)
    )
    part = now.image[outer]
    mean, mass = None, np.zeros(part.shape[:2], np.float32)  # of the neighbours
    for neighbour, way in neighbours:
        inner = tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(way.box, outer, strict=True))
        warped, share = np.zeros_like(part), np.zeros_like(mass)
        warped[inner], share[inner] = _bring(neighbour.image, now.image[way.box], way)
        mean = warped if mean is None else cv2.blendLinear(mean, warped, mass, share)
        mass += share
    share = mass / (1 + mass)
    if now.weight is not None:
        share *= now.weight[outer]
    image = now.image.copy()
    image[outer] = cv2.blendLinear(part, mean, 1 - share, share)
    return replace(now, image=image)


def _bring(neighbour: np.ndarray, image: np.ndarray, way: Way) -> tuple[np.ndarray, np.ndarray]:
    """The neighbour at this picture's places, uint8 [h, w, 3], and how much each pixel counts, float32 [h, w]."""
    rows, columns = way.box
    warped = backward_warp(neighbour, way.flow, (columns.start, rows.start), cv2.INTER_CUBIC)  # linear would blur
    red, green, blue = cv2.split(cv2.absdiff(image, warped))
    agreement = cv2.LUT(cv2.blur(cv2.max(cv2.max(red, green), blue), (5, 5)), DRAWN_AGREEMENT)
    return warped, agreement * cv2.resize(way.trust, image.shape[1::-1])
