import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY
from torch.utils.flop_counter import FlopCounterMode

from vtoon.models.builtin import SMALL, BuiltinVToonify
from vtoon.models.style_codes import StyleCodes
from vtoon.models.vtoonify import VToonify, VToonifyConfig


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return BuiltinVToonify(["a", "b"], ["own", "p"], TINY).eval().requires_grad_(False)


def test_builtin_is_within_its_budget():
    net = VToonify(SMALL).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, 256, 256), torch.zeros(1, SMALL.num_latents, SMALL.style_dim))
    assert counter.get_total_flops() <= 10e9
    half_precision = 2 * sum(p.numel() for p in net.parameters())
    assert half_precision < 15e6


@given(rows=st.integers(4, 9), columns=st.integers(4, 9))
@settings(max_examples=8, deadline=None)
def test_any_multiple_of_the_stride_works(rows, columns):
    net = VToonify(TINY).eval()
    x = torch.zeros(1, 3, rows * 8, columns * 8)
    assert net(x, torch.zeros(1, TINY.num_latents, 8)).shape == x.shape


def test_batch_of_styles_equals_one_by_one(tiny):
    x = torch.randn(2, 3, 32, 40)
    look, palette = torch.tensor([0, 1]), torch.tensor([1, 0])
    degree, eyes = torch.tensor([[1.0], [0.3]]), torch.tensor([[64.0], [120.0]])
    together = tiny(x, look, palette, degree, eyes)
    for i in range(2):
        part = [t[i : i + 1] for t in (x, look, palette, degree, eyes)]
        torch.testing.assert_close(tiny(*part), together[i : i + 1], atol=1e-5, rtol=1e-4)


def test_translation_by_the_stride_moves_the_drawing(tiny):
    """Without normalisation a crop is drawn as it is in the whole picture: boxes may move by multiples of 8."""
    x = torch.randn(1, 3, 192, 192)
    style = [torch.tensor([0]), torch.tensor([0]), torch.ones(1, 1), torch.full((1, 1), 96.0)]
    whole, part = tiny(x, *style), tiny(x[:, :, 8:, 16:], *style)
    inner = slice(112, 144)  # deeper inside than the network sees
    expected = whole[:, :, 8:, 16:][:, :, 64:80, 64:80]
    assert part[:, :, 64:80, 64:80].shape == expected.shape
    assert (part[:, :, inner, inner] - whole[:, :, 8:, 16:][:, :, inner, inner]).abs().max() < 0.05


def test_degree_zero_forgets_the_style():
    codes = StyleCodes(["a", "b"], ["own", "p"], rows=4, dim=3)
    zero, eyes = torch.zeros(1, 1), torch.full((1, 1), 96.0)
    first = codes(torch.tensor([0]), torch.tensor([0]), zero, eyes)
    second = codes(torch.tensor([1]), torch.tensor([1]), zero, eyes)
    torch.testing.assert_close(first, second)


def test_codes_grow_and_keep_what_they_know():
    codes = StyleCodes(["a", "b"], ["own", "p"], rows=4, dim=3)
    grown = codes.grow(["b", "c"], ["own", "q", "p"])
    torch.testing.assert_close(grown.looks[0], codes.looks[1])
    torch.testing.assert_close(grown.palettes[2], codes.palettes[1])
    assert not torch.equal(grown.looks[1], codes.looks[0])


def test_a_wrong_backbone_is_named():
    with pytest.raises(ValueError, match="backbone is 'vgg'"):
        VToonifyConfig(backbone="vgg")
