"""Changes before the discriminator: each does what it says, none at p = 0, p follows the discriminator."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.train.augment import (
    OPERATIONS,
    PIPES,
    AdaptiveAugment,
    Changes,
    augmented,
    band_filters,
    draw_changes,
    operations,
)
from vtoon.train.draws import Draws

ALL = sorted(op for group in OPERATIONS.values() for op in group)


def changed(images, pipe, p=1.0, seed=0):
    draws = [Draws(seed, 0, len(images), "cpu", stream) for stream in (1, 2)]
    return augmented(images, draw_changes(*draws, images.shape[-1], p, operations(pipe)))


def smooth(n=4, size=32):
    x = torch.linspace(0, 3, size)
    return (x.sin()[:, None] * (2 * x).cos()).expand(n, 3, size, size) * torch.tensor([0.5, 0.3, -0.4])[:, None, None]


@pytest.mark.parametrize("op", [*ALL, *PIPES])
def test_each_operation_changes_pictures_and_keeps_their_form(op):
    x = smooth()
    y = changed(x, op)
    assert y.shape == x.shape and torch.isfinite(y).all() and (y - x).abs().max() > 1e-3
    assert changed(x, op, p=0.0) is x


def test_pipes_are_lists_of_operations():
    assert operations("bgc") == operations("blit, geom,color")
    assert operations("bgcfnc") == frozenset(ALL) and operations("scale,xflip,noise") == {"scale", "xflip", "noise"}
    with pytest.raises(VtoonError, match=r"augpipe 'turn' does not exist; a list of xflip, "):
        operations("scale,turn")


def test_whole_moves_only_move_pixels():
    x = torch.nn.functional.interpolate(torch.rand(16, 3, 4, 4), size=32, mode="bicubic")
    y = changed(x, "xflip,rotate90")
    for before, after in zip(x, y, strict=True):
        ways = [turned.flip(2) if flip else turned for k in range(4) for flip in (0, 1)
                for turned in [before.rot90(k, (1, 2))]]  # fmt: skip
        assert min((after - way).abs().max() for way in ways) < 0.02  # the filters are nearly symmetric


def test_grey_stays_grey_under_hue_and_saturation_and_is_inverted_by_lumaflip():
    x = torch.rand(8, 1, 8, 8).expand(-1, 3, -1, -1) * 2 - 1
    assert (changed(x, "hue,saturation") - x).abs().max() < 1e-5
    y = changed(x, "lumaflip")
    assert all(min((b - a).abs().max(), (b + a).abs().max()) < 1e-5 for a, b in zip(x, y, strict=True))
    assert (y + x).flatten(1).abs().amax(1).min() < 1e-5


def test_octaves_sum_to_the_picture_and_lie_where_they_should():
    bands = band_filters(torch.device("cpu"))
    whole = bands.sum(0)
    assert whole[len(whole) // 2] == pytest.approx(1, abs=1e-6) and whole.abs().sum() == pytest.approx(1, abs=1e-5)
    spectrum = torch.fft.rfft(bands, n=512).abs()  # 256 is half the sampling rate
    assert spectrum[:, 4].argmax() == 0 and spectrum[:, 250].argmax() == 3
    assert [int(spectrum[:, f].argmax()) for f in (48, 96)] == [1, 2]


def test_a_hole_is_half_the_side_and_the_rest_untouched():
    x = torch.ones(1, 3, 32, 32)
    y = augmented(x, Changes(hole=torch.tensor([[0.5, 0.25, 0.5]])))
    assert (y[0, 0, :16, 8:24] == 0).all() and y.sum() == x.sum() - 3 * 16 * 16


@settings(deadline=None, max_examples=15)
@given(st.floats(0.05, 1), st.sampled_from(["bgc", "bgcfnc", "xflip,color", "noise"]), st.integers(0, 99))
def test_changes_depend_on_the_seed_alone_and_let_gradients_through(p, pipe, seed):
    x = smooth(3, 16).clone().requires_grad_(True)
    y = changed(x, pipe, p, seed)
    assert torch.equal(y, changed(x.detach(), pipe, p, seed))
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_about_p_of_the_pictures_are_changed():
    x = smooth(400, 8)
    for p in (0.2, 0.7):
        share = ((changed(x, "brightness", p) - x).abs().amax((1, 2, 3)) > 0).float().mean()
        assert abs(float(share) - p) < 4 * math.sqrt(p * (1 - p) / 400)


def test_p_rises_when_the_discriminator_is_sure_and_falls_when_it_is_not():
    ada = AdaptiveAugment(0.6, length=1000)
    seen = []
    for answer in (*[3.0] * 40, *[-3.0] * 20):
        ada.see(torch.full((10, 1), answer))
        ada.step()
        seen.append(ada.p)
    assert seen[39] == pytest.approx(0.4) and seen[-1] == pytest.approx(0.2) and np.all(np.diff(seen[:40]) >= 0)


def test_a_fixed_p_stays():
    ada = AdaptiveAugment(None, p=0.3)
    for _ in range(8):
        ada.see(torch.ones(4, 1))
        ada.step()
    assert ada.p == 0.3 and ada.r_t == 1.0
