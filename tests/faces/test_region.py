from __future__ import annotations

import numpy as np
import pytest
from face_samples import face_at
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.faces import RegionPlanner, auto_detail, crop_face
from vtoon.types import CropBox, Frame, Landmarks, TrackedFace, TrackedFrame

SIZE = (480, 640)


def tracked(*faces: Landmarks, size: tuple[int, int] = SIZE, cut: bool = False) -> TrackedFrame:
    image = np.zeros((*size, 3), np.uint8)
    return TrackedFrame(Frame(image), tuple(TrackedFace(i, face) for i, face in enumerate(faces)), cut)


def plan_one(planner: RegionPlanner, face: Landmarks, **options) -> CropBox:
    ((_, box),) = planner.plan(tracked(face, **options))
    return box


def test_a_head_moving_a_little_sees_a_still_box():
    planner = RegionPlanner(detail=80)
    boxes = {
        plan_one(planner, face_at(320 + 10 * np.sin(t), 200 + 8 * np.cos(t), 60 + 3 * np.sin(t))) for t in range(9)
    }
    assert len(boxes) == 1


def test_a_box_follows_by_multiples_of_8_at_one_size():
    planner = RegionPlanner(detail=80)
    boxes = [plan_one(planner, face_at(x, 220, 50), size=(1000, 2000)) for x in range(600, 1300, 15)]
    assert len(set(boxes)) > 3
    assert len({(box.size, box.scale) for box in boxes}) == 1
    assert all((box.left - boxes[0].left) % 8 == 0 and box.top % 8 == 0 for box in boxes)
    for box, x in zip(boxes, range(600, 1300, 15), strict=True):
        assert abs(x * box.scale - (box.left + box.right) / 2) < 0.4 * 80  # never far from the middle


def test_the_scale_stays_while_the_face_grows_a_little_and_follows_when_it_grows_much():
    planner = RegionPlanner(detail=80)
    scales = [plan_one(planner, face_at(320, 240, d)).scale for d in (60, 66, 72, 66, 60, 54, 60)]
    assert len(set(scales)) == 1
    assert plan_one(planner, face_at(320, 240, 120)).scale == pytest.approx(80 / 120, rel=0.02)


def test_the_box_grows_at_one_scale_when_the_face_fills_it():
    planner = RegionPlanner(detail=80)
    first, second = (plan_one(planner, face_at(320, 240, d)) for d in (60, 72))
    assert first.scale == second.scale and second.size[0] > first.size[0]


def test_a_cut_and_a_new_track_start_afresh():
    planner, face, near = RegionPlanner(detail=80), face_at(300, 240, 60), face_at(312, 240, 60)
    fresh = plan_one(RegionPlanner(detail=80), near)
    plan_one(planner, face)
    assert plan_one(planner, near) != fresh  # inside the dead zone
    assert plan_one(planner, near, cut=True) == fresh


def test_a_face_outside_the_frame_is_left_out():
    planner = RegionPlanner()
    inside = face_at(300, 240, 60)
    planned = planner.plan(tracked(face_at(-900, 240, 60), inside))
    assert [face.track for face, _ in planned] == [1]


@pytest.mark.parametrize("detail", [63, 161, -1, "high", None])
def test_details_nothing_was_trained_for_are_refused(detail):
    with pytest.raises(VtoonError, match="64 to 160"):
        RegionPlanner(detail)


def test_a_network_of_small_pictures_has_its_own_detail():
    box = plan_one(RegionPlanner(8.0, allowed=(8.0, 8.0)), face_at(300, 240, 80))
    assert box.scale == pytest.approx(0.1, rel=0.05)


def test_auto_detail_follows_the_face_between_its_bounds():
    assert auto_detail(20) == 64 and auto_detail(90) == 90 and auto_detail(400) == 112


def test_a_face_near_the_wanted_size_is_not_resampled():
    assert plan_one(RegionPlanner(), face_at(320, 240, 118)).scale == 1.0


@given(
    size=st.tuples(st.integers(1, 2200), st.integers(1, 2200)),
    at=st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)),
    eyes=st.floats(5, 600),
    detail=st.sampled_from(["auto", 64, 100.0, 160]),
)
@settings(deadline=None, max_examples=150)
def test_every_box_is_valid_aligned_and_small(size, at, eyes, detail):
    height, width = size
    face = face_at(at[0] * width, at[1] * height, eyes)
    for _, box in RegionPlanner(detail).plan(tracked(face, size=size)):
        assert box.left % 8 == 0 == box.top % 8
        assert box.right % 8 == 0 or box.right == box.width
        assert box.bottom % 8 == 0 or box.bottom == box.height
        assert max(box.size) <= 7 * 1.3 * 160  # the cost of a frame does not depend on its size
        if max(size) < 300:
            assert crop_face(np.zeros((*size, 3), np.uint8), box).shape == (*box.size, 3)
