"""Winograd's form of a convolution gives the convolution's numbers, whatever the sizes."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small import close
from torch import nn

from vtoon.models import bake as bake_module
from vtoon.models.bake import bake, for_drawing
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.ops import EqualConv2d, FixedConv2d, winograd
from vtoon.ops.winograd import WIDE, WinogradConv2d, gains, winograd_conv2d, winograd_weight

CPU = torch.device("cpu")
WIDE_NET = VToonifyConfig(in_size=64, out_size=64, in_channels=3, style_dim=16, mapping_layers=2, stem_channels=4,
                          channels=dict.fromkeys((4, 8, 16, 32, 64), WIDE))  # fmt: skip


@pytest.mark.parametrize("at_once", [1, 3000, winograd.AT_ONCE])  # a row of tiles, some, all pictures
@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 3),
    size=st.tuples(st.integers(1, 23), st.integers(1, 23)),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    dilation=st.integers(1, 4),
    bias=st.booleans(),
)
def test_any_size(at_once, count, size, channels, dilation, bias):
    torch.manual_seed(0)
    x, weight = torch.randn(count, channels[0], *size), torch.randn(channels[1], channels[0], 3, 3)
    bias = torch.randn(channels[1]) if bias else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "AT_ONCE", at_once)
        result = winograd_conv2d(x, winograd_weight(weight), bias, dilation)
    expected = F.conv2d(x, weight, bias, padding=dilation, dilation=dilation)
    assert result.shape == expected.shape and result.is_contiguous(memory_format=torch.channels_last)
    assert (result - expected).abs().max() < 1e-3  # values of about 3 to 9


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(WIDE, 130, 3, padding=2, dilation=2),
        EqualConv2d(WIDE, WIDE, 3),
        EqualConv2d(WIDE, WIDE, 3, dilation=4),
        FixedConv2d(torch.randn(130, WIDE, 3, 3), torch.randn(130)),
    ],
)
def test_wide_convolutions_gain(conv):
    conv.requires_grad_(False)
    x = torch.randn(2, WIDE, 9, 14)
    assert gains(conv) and close(WinogradConv2d(conv)(x), conv(x))


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(WIDE, WIDE - 1, 3, padding=1),
        nn.Conv2d(WIDE, WIDE, 3),
        nn.Conv2d(WIDE, WIDE, 3, padding=1, stride=2),
        nn.Conv2d(WIDE, WIDE, 1),
        nn.Conv2d(WIDE, WIDE, 5, padding=2),
        nn.Conv2d(WIDE, WIDE, 3, padding=1, groups=2),
        nn.Conv2d(WIDE, WIDE, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(WIDE, WIDE, 3, padding=1),
        EqualConv2d(WIDE, WIDE, 3, stride=2),
        nn.Linear(WIDE, WIDE),
    ],
    ids=lambda module: type(module).__name__,
)
def test_other_modules_stay(other):
    assert not gains(other)


@pytest.mark.parametrize("backbone", ["dualstylegan", "toonify"])
def test_a_network_draws_the_same(backbone, monkeypatch):
    torch.manual_seed(0)
    net = VToonify(dataclasses.replace(WIDE_NET, backbone=backbone)).eval().requires_grad_(False)
    style, degree = torch.randn(1, net.config.num_latents, 16), torch.full((1, 1), 0.7)
    x, before = torch.randn(2, 3, 40, 48), copy.deepcopy(net.state_dict())
    plain = net(x, style.expand(2, -1, -1), degree.expand(2, 1))
    fast = for_drawing(net, CPU)
    baked = for_drawing(bake(fast, style, degree), CPU)
    made = [sum(isinstance(m, WinogradConv2d) for m in n.modules()) for n in (net, fast, baked)]
    assert made[0] == 0 and made[1] > 12 and made[2] > made[1]
    assert close(baked(x, style, degree), plain)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    with monkeypatch.context() as patch:
        patch.setattr(bake_module, "free_bytes", lambda device: 1_000_000)
        assert not any(isinstance(m, WinogradConv2d) for m in for_drawing(net, CPU).modules())
    half = for_drawing(net, CPU, torch.bfloat16)
    assert not any(isinstance(m, WinogradConv2d) for m in half.modules())
