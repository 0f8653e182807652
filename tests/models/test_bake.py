"""A baked network gives the numbers of the network it was made from, and shares its weights."""

import dataclasses

import pytest
import torch
from tiny import TINY

from vtoon.models.bake import bake
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.vtoonify import VToonify, VToonifyConfig

PUBLISHED = VToonifyConfig(in_size=64, out_size=256, in_channels=22, style_dim=16, mapping_layers=2, stem_channels=4,
                           channels=dict.fromkeys((4, 8, 16, 32, 64, 128, 256), 8))  # fmt: skip


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return float((a - b).abs().max()) < 1e-3 * float(b.abs().mean())


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


def test_the_built_in_model_bakes_itself_where_one_style_is_drawn():
    torch.manual_seed(0)
    model = BuiltinVToonify(["a", "b"], ["own", "p"], TINY).eval()
    x, look, palette = torch.rand(1, 3, 64, 72), torch.tensor([1]), torch.tensor([1])
    degree, eyes = torch.full((1, 1), 0.7), torch.full((1, 1), 110.0)
    expected = model(x, look, palette, degree, eyes)  # gradients wanted: nothing is baked
    with torch.no_grad():
        assert close(model(x, look, palette, degree, eyes), expected.detach())
