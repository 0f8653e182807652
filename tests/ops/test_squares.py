"""Squares of pixels, by convolutions or not."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from vtoon.ops.squares import enlarged, folded, means, unfolded

sides = st.integers(1, 6)


def picture(channels, height, width, last, dtype=torch.float32):
    x = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(height * width)).to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if last else x


@given(st.integers(1, 12), sides, sides, st.sampled_from([1, 2, 4]), st.booleans())
def test_the_same_as_pytorchs_own(channels, rows, columns, side, last):
    x = picture(channels, rows * side, columns * side, last)
    with torch.no_grad():
        torch.testing.assert_close(means(x, side), F.avg_pool2d(x, side))
        assert torch.equal(folded(x, side), F.pixel_unshuffle(x, side))
        assert torch.equal(unfolded(folded(x, side), side), x)


@given(st.integers(1, 4), sides, sides, st.sampled_from([2, 4, 8]), st.booleans())
def test_enlarged_is_bilinear(channels, rows, columns, times, last):
    x = picture(channels, rows, columns, last)
    with torch.no_grad():
        torch.testing.assert_close(enlarged(x, times), F.interpolate(x, scale_factor=times, mode="bilinear"))


def test_what_does_not_fill_a_square_is_left_out():
    with torch.no_grad():
        assert means(torch.ones(1, 3, 9, 11), 4).shape == (1, 3, 2, 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_numbers(dtype):
    x = picture(3, 8, 8, True, dtype)
    with torch.no_grad():
        assert torch.equal(folded(x, 2), F.pixel_unshuffle(x, 2))
        assert torch.equal(unfolded(folded(x, 2), 2), x)


def test_gradients_pass():
    x = picture(3, 8, 8, True).requires_grad_()
    (means(x, 4).sum() + unfolded(folded(x, 2), 2).sum() + enlarged(x, 2).sum()).backward()
    assert x.grad.isfinite().all() and x.grad.min() > 1
