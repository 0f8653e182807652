"""A baked network gives the numbers of the network it was made from, and shares its weights."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import close
from tiny import TINY

from vtoon.models.bake import bake
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.ops import Upsample, doubled, fir_kernel

PUBLISHED = VToonifyConfig(in_size=64, out_size=256, in_channels=22, style_dim=16, mapping_layers=2, stem_channels=4,
                           channels=dict.fromkeys((4, 8, 16, 32, 64, 128, 256), 8))  # fmt: skip


@pytest.mark.parametrize("backbone", ["dualstylegan", "toonify"])
@pytest.mark.parametrize("degree", [0.0, 0.5, 1.0])
def test_published_configurations(backbone, degree):
    torch.manual_seed(0)
    net = VToonify(dataclasses.replace(PUBLISHED, backbone=backbone)).eval().requires_grad_(False)
    for p in net.parameters():
        p += 0.05 * torch.randn_like(p)
    style, d = torch.randn(1, net.config.num_latents, 16), torch.full((1, 1), degree)
    x = torch.randn(2, 22, 40, 48)
    expected = net(x, style.expand(2, -1, -1), d.expand(2, 1))
    baked = bake(net, style, d)
    assert close(baked(x, torch.zeros(2, net.config.num_latents, 16), d.expand(2, 1)), expected)
    assert baked.encoder[0][0].weight is net.encoder[0][0].weight


def test_kernels_that_the_style_chooses():
    torch.manual_seed(0)
    model = BuiltinVToonify(["a", "b"], ["own"], dataclasses.replace(TINY, kernel_bank=3)).eval().requires_grad_(False)
    banks = [p for name, p in model.net.named_parameters() if name.endswith(".bank")]
    x, look, degree, eyes = torch.rand(2, 3, 64, 72), torch.tensor([0, 1]), torch.ones(2, 1), torch.full((2, 1), 96.0)
    plain = model(x, look, None, degree, eyes)
    for bank in banks:
        bank += torch.randn_like(bank)
    together = model(x, look, None, degree, eyes)
    alone = [model(x[i : i + 1], look[i : i + 1], None, degree[:1], eyes[:1]) for i in range(2)]  # these are baked
    assert close(torch.cat(alone), together) and not close(together, plain)


@settings(deadline=None, max_examples=20)
@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_doubled_is_the_fir_upsampling(height, width):
    x = torch.randn(1, 2, height, width)
    assert torch.allclose(doubled(x), Upsample()(x), atol=1e-5)


def test_the_built_in_model_bakes_itself_where_one_style_is_drawn():
    torch.manual_seed(0)
    model = BuiltinVToonify(["a", "b"], ["own", "p"], TINY).eval()
    x, look, palette = torch.rand(1, 3, 64, 72), torch.tensor([1]), torch.tensor([1])
    degree, eyes = torch.full((1, 1), 0.7), torch.full((1, 1), 110.0)
    expected = model(x, look, palette, degree, eyes)  # gradients wanted: nothing is baked
    with torch.no_grad():
        assert close(model(x, look, palette, degree, eyes), expected.detach())


def test_a_file_with_another_upsampling_filter_is_drawn_with_it():
    torch.manual_seed(0)
    net = VToonify(dataclasses.replace(PUBLISHED, backbone="toonify")).eval().requires_grad_(False)
    for layer in net.synthesis.to_rgbs:
        layer.upsample.kernel.copy_(fir_kernel((1.0, 1.0, 1.0, 1.0), gain=4.0))
    style, d, x = torch.randn(1, net.config.num_latents, 16), torch.ones(1, 1), torch.randn(1, 22, 40, 48)
    assert close(bake(net, style, d)(x, style, d), net(x, style, d))
