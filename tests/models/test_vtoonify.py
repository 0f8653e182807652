import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY
from torch.utils.flop_counter import FlopCounterMode

from vtoon.image import to_tensor, to_uint8
from vtoon.models.builtin import BuiltinVToonify, hold_tone
from vtoon.models.face_net import PARTS, TONES, face_tones
from vtoon.models.palettes import Palettes
from vtoon.models.style_codes import StyleCodes
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.train.looks import PALETTES, RAMPS


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return BuiltinVToonify(["a", "b"], ["own", "p"], TINY).eval().requires_grad_(False)


def test_builtin_is_within_its_budget():
    model = BuiltinVToonify(list("abcdefg"), ["own", "p"]).eval()
    one, eyes = torch.tensor([1]), torch.full((1, 1), 96.0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 256, 256), one, one, torch.ones(1, 1), eyes)
    assert counter.get_total_flops() <= 10e9
    half_precision = 2 * sum(p.numel() for p in model.state_dict().values())
    assert half_precision < 15e6


def test_skin_that_is_drawn_too_light_is_brought_back():
    drawing, skin, hold = torch.zeros(2, 3, 16, 16), torch.ones(2, 4, 4), torch.tensor([1.0, 0.0])
    drawing[:, :, 0] = 1  # white paper
    dark, light = torch.full((2, 3), -0.6), torch.full((2, 3), 0.8)
    held = hold_tone(drawing, skin, dark, hold)
    assert -0.6 < held[0, 0, 8, 8] < -0.3 and torch.allclose(held[:, :, 0], torch.ones(()))
    assert torch.allclose(held[1], drawing[1], atol=1e-6)
    assert torch.allclose(hold_tone(drawing, skin, light, hold), drawing, atol=1e-6)
    assert torch.allclose(hold_tone(drawing, torch.zeros(2, 4, 4), torch.zeros(2, 3), hold), drawing, atol=1e-6)


@given(rows=st.integers(4, 9), columns=st.integers(4, 9))
@settings(max_examples=8, deadline=None)
def test_any_multiple_of_the_stride_works(rows, columns):
    net = VToonify(TINY).eval()
    x = torch.zeros(1, TINY.in_channels, rows * 8, columns * 8)
    assert net(x, torch.zeros(1, TINY.num_latents, 8)).shape[2:] == x.shape[2:]


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
    x, parts = torch.randn(1, 3, 192, 192), torch.rand(1, len(PARTS), 48, 48)
    rest = [torch.tensor([0]), torch.full((1, 1), 96.0), torch.zeros(1, TONES)]
    whole, part = tiny.draw(x, parts, *rest), tiny.draw(x[:, :, 8:, 16:], parts[:, :, 2:, 4:], *rest)
    inner = slice(112, 144)  # deeper inside than the network sees
    assert (part[:, :, inner, inner] - whole[:, :, 8:, 16:][:, :, inner, inner]).abs().max() < 1e-3


def test_tones_are_those_of_skin_and_head():
    x = torch.full((1, 3, 8, 8), -1.0)
    x[:, :, :4] = torch.tensor([0.5, 0.2, 0.1])[:, None, None]
    parts = torch.zeros(1, len(PARTS), 8, 8)
    parts[:, PARTS.index("skin"), :4] = 1.0
    parts[:, PARTS.index("near")] = 1.0
    light = 0.299 * 0.5 + 0.587 * 0.2 + 0.114 * 0.1
    tones = face_tones(x, parts)[0]
    torch.testing.assert_close(tones[:3], torch.tensor([0.5, 0.2, 0.1]), atol=1e-3, rtol=0)
    expected = [(light - 1) / 2, (light + 1) / 2, -1 + math.log(2) / 12, light - math.log(2) / 12]
    torch.testing.assert_close(tones[3:], torch.tensor(expected), atol=2e-3, rtol=0)


def test_tones_beyond_those_of_the_training_are_taken_for_the_last(tiny):
    tiny = copy.deepcopy(tiny)
    low, high = tiny.codes.tone_range.copy_(torch.tensor([[-0.5], [0.5]]).expand(2, TONES))
    one, look, x = torch.ones(1, 1), torch.zeros(1, dtype=torch.long), torch.rand(1, 3, 64, 64)

    def drawn(tones):
        return tiny(x, look, None, one, 96 * one, tones=tones[None])

    assert torch.equal(drawn(high + 0.3), drawn(high)) and torch.equal(drawn(low - 0.3), drawn(low))
    assert not torch.equal(drawn(high), drawn(low))
    assert torch.equal(drawn(tiny.tones(x, 96 * one)[0]), tiny(x, look, None, one, 96 * one))


def test_degree_zero_is_the_photo_and_the_way_to_one_is_straight(tiny):
    """In appearance; the shape grows with the degree too, so that it is held still here."""
    x, eyes = torch.rand(1, 3, 64, 64) * 2 - 1, torch.full((1, 1), 96.0)
    look, palette = torch.tensor([1]), torch.tensor([1])
    none, half, full = (tiny(x, look, palette, torch.full((1, 1), d), eyes) for d in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, x, atol=1e-5, rtol=0)
    torch.testing.assert_close(half, (none + full) / 2, atol=1e-5, rtol=1e-4)  # its shape network is untrained: no warp


def test_shape_grows_with_the_degree(tiny):
    model = copy.deepcopy(tiny)
    torch.nn.init.constant_(model.face.fields.bias, 1 / 16)  # every pixel comes from 1/16 eye distance right and below
    seen = []
    model.draw = lambda reshaped, *rest: seen.append(reshaped) or reshaped
    x, look, eyes = torch.rand(1, 3, 64, 64), torch.tensor([0]), torch.full((1, 1), 64.0)
    for degree in (1.0, 0.5):
        model(x, look, None, torch.full((1, 1), degree), eyes)
    torch.testing.assert_close(seen[0][:, :, :-4, :-4], x[:, :, 4:, 4:], atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[1][:, :, :-2, :-2], x[:, :, 2:, 2:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", RAMPS)
def test_a_palette_inside_the_model_is_the_artists_palette(name):
    own, table = RAMPS[name]
    palettes = Palettes(["own", name])
    palettes.put(name, torch.from_numpy(table) / 127.5 - 1, own)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    result = to_uint8(palettes(to_tensor(image[None], torch.device("cpu")).repeat(2, 1, 1, 1), torch.tensor([0, 1])))
    assert np.array_equal(result[0], image)
    assert np.abs(result[1].astype(int) - PALETTES[name](image)).max() <= 2  # the artist's luminance is rounded


def test_codes_grow_and_keep_what_they_know():
    codes = StyleCodes(["a", "b"], rows=4, dim=3)
    grown = codes.grow(["b", "c"])
    torch.testing.assert_close(grown.tone, codes.tone)
    torch.testing.assert_close(grown.looks[0], codes.looks[1])
    assert not torch.equal(grown.looks[1], codes.looks[0])


def test_a_wrong_backbone_is_named():
    with pytest.raises(ValueError, match="backbone is 'vgg'"):
        VToonifyConfig(backbone="vgg")
