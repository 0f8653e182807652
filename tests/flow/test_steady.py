from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import pytest
from skimage import data

from vtoon.flow import follow, steady
from vtoon.metrics import sharpness, warping_error
from vtoon.types import Rendered

TIME_BASE = Fraction(1, 90_000)
SIZE = 160


def pan(count: int, step: float = 2.0) -> list[np.ndarray]:
    """A camera that glides over a real face."""
    face = cv2.resize(data.astronaut()[0:280, 100:380], (SIZE + 80, SIZE + 80), interpolation=cv2.INTER_AREA)
    shifts = [np.float32([[1, 0, -i * step], [0, 1, -i * step / 2]]) for i in range(count)]
    return [cv2.warpAffine(face, shift, (SIZE, SIZE), flags=cv2.INTER_CUBIC) for shift in shifts]


def flicker(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A drawing with another gain and another blotchy grain in every frame."""
    grain = cv2.resize(rng.normal(0, 6, (40, 40, 3)), image.shape[1::-1])
    return np.clip(255 - image * rng.uniform(0.95, 1.05) + grain, 0, 255).astype(np.uint8)


def video(sources: list[np.ndarray], weight=None, cuts=(0,), faces=1, seed=0) -> list[Rendered]:
    rng = np.random.default_rng(seed)
    frames = []
    for i, source in enumerate(sources):
        drawn = flicker(source, rng)
        if weight is not None:
            share = weight[..., None]
            drawn = np.rint(source * (1 - share) + drawn * share).astype(np.uint8)
        frames.append(Rendered(source, drawn, weight, 1000 + 3600 * i + i % 3, TIME_BASE, i in cuts, faces))
    return frames


def disc() -> np.ndarray:
    weight = np.zeros((SIZE, SIZE), np.float32)
    cv2.circle(weight, (90, 70), 30, 1.0, -1)
    return cv2.blur(weight, (9, 9))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_one_frame_out_for_each_in_with_its_time(count):
    frames = video(pan(count))
    steadied = list(steady(iter(frames)))
    assert [(f.pts, f.time_base, f.cut, f.faces) for f in steadied] == [
        (f.pts, f.time_base, f.cut, f.faces) for f in frames
    ]
    assert all(a.source is b.source and a.weight is b.weight for a, b in zip(frames, steadied, strict=True))


def test_steadier_and_still_sharp():
    frames = video(pan(8))
    before, after = [f.image for f in frames], [f.image for f in steady(iter(frames))]
    sources = [f.source for f in frames]
    assert warping_error(after, sources, follow) < 0.5 * warping_error(before, sources, follow)
    assert sharpness(after) > 0.95 * sharpness(before)


def test_nothing_crosses_a_cut():
    first, second = pan(4), [255 - image for image in pan(4)]
    whole = list(steady(iter(video(first + second, cuts=(0, 4)))))
    frames = video(first + second, cuts=(0, 4))
    parts = list(steady(iter(frames[:4]))) + list(steady(iter(frames[4:])))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a.image, b.image)


def test_a_jump_without_a_cut_leaves_no_ghost():
    first, second = pan(3), [np.ascontiguousarray(image[::-1, ::-1]) for image in pan(3)]
    frames = video(first + second)
    for before, after in zip(frames[2:4], list(steady(iter(frames)))[2:4], strict=True):
        alone = np.abs(before.image.astype(int) - after.image)
        assert np.percentile(alone, 99) <= 12  # of 255: no more than the flicker


def test_a_fast_object_leaves_no_ghost():
    background = cv2.GaussianBlur(pan(1)[0], (0, 0), 3)
    frames = []
    for i in range(5):
        source = background.copy()
        cv2.rectangle(source, (i * 30, 60), (i * 30 + 20, 100), (250, 30, 30), -1)
        frames.append(Rendered(source, source.copy(), None, i, TIME_BASE, i == 0, 1))
    for before, after in zip(frames, steady(iter(frames)), strict=True):
        changed = np.abs(before.image.astype(int) - after.image).max(2) > 40
        assert changed.mean() < 0.002


def test_pixels_that_are_not_stylized_stay_as_they_are():
    weight = disc()
    frames = video(pan(5), weight)
    for before, after in zip(frames, steady(iter(frames)), strict=True):
        np.testing.assert_array_equal(before.image[weight == 0], after.image[weight == 0])
        assert (before.image[weight == 1] != after.image[weight == 1]).any()


def test_motion_is_looked_for_only_around_the_drawing():
    calls = []

    def estimate(source, target):
        calls.append(source.shape)
        return np.zeros((2, *source.shape[:2]), np.float32)

    list(steady(iter(video(pan(1) * 4, disc())), estimate))
    assert calls
    assert all(height < SIZE and width < SIZE for height, width, _ in calls)
    calls.clear()
    list(steady(iter(video(pan(1) * 4, np.zeros((SIZE, SIZE), np.float32))), estimate))
    assert not calls


def test_frames_without_a_drawing_pass_untouched():
    plain = [Rendered(s, s, None, i, TIME_BASE, i == 0, 0) for i, s in enumerate(pan(4))]
    assert all(a is b for a, b in zip(plain, steady(iter(plain)), strict=True))
    alone = plain[:2] + video(pan(1), cuts=()) + plain[2:]
    assert all(a is b for a, b in zip(alone, steady(iter(alone)), strict=True))


def test_a_drawing_over_a_face_that_is_held_is_steadied_too():
    frames = video(pan(3), disc(), faces=0)
    assert all((a.image != b.image).any() for a, b in zip(frames, steady(iter(frames)), strict=True))


def test_looks_one_frame_ahead_and_no_further():
    pulled = 0

    def source() -> Iterator[Rendered]:
        nonlocal pulled
        for frame in video(pan(6)):
            pulled += 1
            yield frame

    for given, _ in enumerate(steady(source()), start=1):
        assert pulled <= given + 1


def test_an_early_exit_closes_the_source():
    closed = []

    def source() -> Iterator[Rendered]:
        try:
            yield from video(pan(6))
        finally:
            closed.append(True)

    frames = source()
    stage = steady(frames)
    next(stage)
    stage.close()
    frames.close()
    assert closed


def test_a_change_of_size_is_a_break():
    frames = video(pan(2)) + [
        Rendered(f.source[:-8], f.image[:-8], None, f.pts, f.time_base, False, 1) for f in video(pan(2))
    ]
    steadied = list(steady(iter(frames)))
    assert [f.image.shape for f in steadied] == [f.image.shape for f in frames]


@pytest.mark.parametrize("place", [np.s_[0:1, 0:1], np.s_[-1:, 40:44], np.s_[:, -2:]])
def test_a_sliver_of_a_drawing_at_the_border(place):
    weight = np.zeros((SIZE, SIZE), np.float32)
    weight[place] = 1
    frames = video(pan(3), weight)
    for before, after in zip(frames, steady(iter(frames)), strict=True):
        np.testing.assert_array_equal(before.image[weight == 0], after.image[weight == 0])
