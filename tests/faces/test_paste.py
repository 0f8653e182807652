from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_samples import face_at, portrait
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.faces import CORE, RegionPlanner, blend_mask, crop_face, paste_back
from vtoon.types import CropBox, Frame, TrackedFace, TrackedFrame

FACE = face_at(223, 105, 43)  # the astronaut's


def planned(image: np.ndarray, face=FACE, detail="auto") -> CropBox:
    ((_, box),) = RegionPlanner(detail).plan(TrackedFrame(Frame(image), (TrackedFace(0, face),), True))
    return box


def enlarged(toon: np.ndarray, factor: int) -> np.ndarray:
    return cv2.resize(toon, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)


def ramp(height: int, width: int) -> np.ndarray:
    """Every half pixel of shift is a level: x, y and x + y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 2 * y, x + y], 2).clip(0, 255).astype(np.uint8)


def test_an_untouched_region_at_scale_1_comes_back_exactly():
    image, box = portrait(), CropBox(1.0, 512, 512, 96, 0, 344, 264)
    result, weight = paste_back(image, crop_face(image, box), box, blend_mask(FACE, (512, 512), box))
    assert (result == image).all() and weight.max() == 1


@pytest.mark.parametrize("scale", [0.31, 0.5, 0.77, 1.48, 2.9])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_nothing_shifts_on_the_way_there_and_back(scale, factor):
    image = ramp(120, 120)
    side = round(120 * scale)
    box = CropBox(scale, side, side, 8, 8, side // 8 * 8 - 8, side)
    toon = enlarged(crop_face(image, box), factor)
    result, _ = paste_back(image, toon, box, np.ones((120, 120), np.float32))
    inner = np.s_[40:80, 40:70]
    # a shift by half a pixel would be 1 level in two channels, 2 in none
    assert np.abs(result.astype(float) - image)[inner].mean() < 0.4
    assert abs((result.astype(float) - image)[inner].mean()) < 0.25


def test_a_face_comes_back_almost_as_sharp():
    image, ones = portrait(), np.ones((512, 512), np.float32)
    box = planned(image, detail=64)
    result, _ = paste_back(image, crop_face(image, box), box, ones)
    assert np.abs(result.astype(int) - image).mean() < 2


def test_pixels_outside_the_mask_are_the_frames_own():
    image = portrait()
    box = planned(image)
    mask = blend_mask(FACE, (512, 512), box)
    toon = np.zeros((*box.size, 3), np.uint8)
    result, weight = paste_back(image, toon, box, mask)
    assert (result[weight == 0] == image[weight == 0]).all()
    assert (result[weight == 1] == 0).all()
    assert result.dtype == np.uint8 and weight.dtype == np.float32


@given(
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    eyes=st.floats(8, 150),
    detail=st.sampled_from(["auto", 64, 160]),
)
@settings(deadline=None, max_examples=60)
def test_masks_vanish_at_every_border_of_the_box_inside_the_frame(at, eyes, detail):
    height, width = 360, 500
    face = face_at(at[0] * width, at[1] * height, eyes)
    box = planned(np.zeros((height, width, 3), np.uint8), face, detail)
    mask = blend_mask(face, (height, width), box)
    assert mask.shape == (height, width) and mask.dtype == np.float32 and 0 <= mask.min() <= mask.max() <= 1
    sx, sy = width / box.width, height / box.height
    left, right = int(np.ceil(box.left * sx)), int(box.right * sx)
    top, bottom = int(np.ceil(box.top * sy)), int(box.bottom * sy)
    outside = np.ones_like(mask, bool)
    outside[top if box.top else 0 : bottom, left if box.left else 0 : right] = False
    inside_right, inside_bottom = box.right < box.width, box.bottom < box.height
    if not inside_right:
        outside[top if box.top else 0 : bottom, right:] = False
    if not inside_bottom:
        outside[bottom:] = False
    assert not mask[outside].any()
    assert not (inside_right and mask[:, right - 1].any()) and not (inside_bottom and mask[bottom - 1].any())
    assert not (box.left and mask[:, left].any()) and not (box.top and mask[top].any())


def test_a_mask_is_full_over_the_face_and_soft_everywhere():
    face = face_at(250, 220, 60)
    image = np.zeros((500, 500, 3), np.uint8)
    mask = blend_mask(face, (500, 500), planned(image, face))
    points = face.points.round().astype(int)
    assert mask[points[17:, 1], points[17:, 0]].min() > 0.99  # brows, eyes, nose, mouth
    assert mask[points[:17, 1], points[:17, 0]].min() > 0.8  # jaw
    assert max(np.abs(np.diff(mask, axis=0)).max(), np.abs(np.diff(mask, axis=1)).max()) < 0.08


def test_a_mask_does_not_vanish_where_the_frame_ends():
    face = face_at(250, 60, 60)  # hair beyond the top
    mask = blend_mask(face, (500, 500), planned(np.zeros((500, 500, 3), np.uint8), face))
    assert mask[0].max() > 0.9


def test_two_faces_side_by_side_leave_no_seam():
    image = np.full((300, 400, 3), 255, np.uint8)
    result = image
    for face in (face_at(170, 150, 50), face_at(230, 150, 50)):
        box = planned(image, face)
        mask = blend_mask(face, (300, 400), box)
        result, _ = paste_back(result, np.zeros((*box.size, 3), np.uint8), box, mask)
    assert result[150, 150:251].max() == 0  # from one face to the other


@pytest.mark.parametrize("shoulders", [False, True])
def test_the_background_around_a_drawn_head_keeps_the_tone_of_the_photo(shoulders):
    """Also beside the jaw, where the rim of the mask lies on the shoulders more than on the wall."""
    y, x = np.mgrid[:512, :512]
    cx, cy = FACE.points.mean(0)
    head = np.hypot((x - cx) / 50, (y - cy) / 70) < 1
    jacket = (y > cy + 40) & shoulders
    image = np.where(jacket[..., None], (20, 20, 25), (90, 110, 130))
    image = np.where(head[..., None], (190, 140, 120), image).astype(np.uint8)
    box = planned(image)
    toon = crop_face(np.clip(image.astype(int) + 60, 0, 255).astype(np.uint8), box)
    mask, core = (blend_mask(FACE, (512, 512), box, reach) for reach in (1.0, CORE))
    halo, _ = paste_back(image, toon, box, mask)
    result, _ = paste_back(image, toon, box, mask, core)
    wall = ~cv2.dilate(head.astype(np.uint8), np.ones((9, 9))).astype(bool) & (mask > 0.5) & (core < 0.01)
    wall &= ~cv2.dilate(jacket.astype(np.uint8), np.ones((9, 9))).astype(bool)
    change = np.abs(result.astype(int) - image).mean(2)
    assert np.abs(halo.astype(int) - image).mean(2)[wall].mean() > 40 and change[wall].mean() < 6
    beside = wall & (y > cy + 15) & (y < cy + 40)
    assert change[beside].mean() < 15
    assert change[head & (core > 0.99) & ~jacket].min() > 55  # the face is drawn as before
