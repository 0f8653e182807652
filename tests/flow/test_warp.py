from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.flow import backward_warp, backward_warp_tensor, follow, occlusion_mask
from vtoon.flow.warp import inverse


def shifted(image: np.ndarray, x: int, y: int) -> np.ndarray:
    """The picture moved right and down; what enters is a repeated border."""
    height, width = image.shape[:2]
    return cv2.warpAffine(image, np.float32([[1, 0, x], [0, 1, y]]), (width, height), borderMode=cv2.BORDER_REPLICATE)


def constant_flow(x: float, y: float, height: int = 40, width: int = 60) -> np.ndarray:
    return np.broadcast_to(np.float32([x, y]).reshape(2, 1, 1), (2, height, width)).copy()


@settings(deadline=None, max_examples=20)
@given(st.integers(-6, 6), st.integers(-6, 6))
def test_warping_back_undoes_a_shift(x, y):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    back = backward_warp(shifted(image, x, y), constant_flow(x, y))
    inner = slice(6, -6), slice(6, -6)
    np.testing.assert_array_equal(back[inner], image[inner])


@pytest.mark.parametrize("shape, dtype", [((40, 60), np.float32), ((40, 60, 3), np.uint8), ((40, 60, 4), np.float32)])
def test_no_motion_changes_nothing(shape, dtype):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    warped = backward_warp(image, constant_flow(0, 0))
    assert warped.dtype == dtype
    np.testing.assert_array_equal(warped, image)


def test_a_part_is_warped_from_the_whole_picture():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    flow = constant_flow(3, -2)
    whole = backward_warp(image, flow)
    part = backward_warp(image, flow[:, 10:30, 20:50], origin=(20, 10))
    np.testing.assert_array_equal(part, whole[10:30, 20:50])


def test_the_tensor_version_agrees_and_has_gradients():
    rng = np.random.default_rng(0)
    image = rng.random((40, 60, 3), np.float32)
    flow = rng.uniform(-5, 5, (2, 40, 60)).astype(np.float32)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].requires_grad_()
    warped = backward_warp_tensor(tensor, torch.from_numpy(flow)[None])
    expected = backward_warp(image, flow)
    assert np.abs(warped[0].permute(1, 2, 0).detach().numpy() - expected).max() < 0.03  # OpenCV rounds to 1/32 px
    warped.sum().backward()
    assert tensor.grad.abs().max() > 0


def test_a_closed_way_is_visible_and_an_open_one_is_not():
    forward = constant_flow(4, 0)
    visible = occlusion_mask(forward, -forward)
    assert not visible[:, :-4].any()
    assert visible[:, -4:].all()  # leaves the picture
    assert occlusion_mask(forward, constant_flow(0, 0)).all()


def test_motion_boundaries_are_marked_unless_told_otherwise():
    forward = constant_flow(0, 0)
    forward[0, :, 30:] = 3
    mask = occlusion_mask(forward, -forward)
    assert mask[:, 29:31].all()
    assert not mask[:, :28].any()
    assert not occlusion_mask(constant_flow(0, 0), constant_flow(0, 0), boundaries=False).any()


def test_follow_brings_the_drawing_along_and_says_where_not():
    rng = np.random.default_rng(0)
    source = cv2.resize(rng.integers(0, 256, (20, 30, 3), np.uint8), (240, 160), interpolation=cv2.INTER_CUBIC)
    target = shifted(source, 5, 3)
    warped, occluded = follow(source, target, 255 - target)
    seen = ~occluded
    assert seen.mean() > 0.7
    assert np.abs(warped[seen].astype(float) - (255 - source[seen])).mean() < 4


def test_a_smooth_flow_is_inverted():
    rng = np.random.default_rng(0)
    flow = np.stack([cv2.resize(rng.normal(0, 2, (3, 3)).astype(np.float32), (60, 40), interpolation=cv2.INTER_CUBIC)
                     for _ in range(2)])  # fmt: skip
    pairs = lambda flow: np.ascontiguousarray(np.moveaxis(flow, 0, 2))  # noqa: E731
    back = inverse(flow, rounds=6)
    gap = back + np.moveaxis(backward_warp(pairs(flow), back), 2, 0)  # there after back
    assert np.abs(gap[:, 8:-8, 8:-8]).max() < 0.1
    assert np.abs(flow).max() > 2


def test_a_constant_flow_is_inverted_at_once():
    np.testing.assert_array_equal(inverse(constant_flow(2, -3), rounds=1), constant_flow(-2, 3))
