"""Layer swapping takes each tensor from where the published rules say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.models.stylegan2 import Generator
from vtoon.weights.blend import RULES, blend, layer_of, resolution_of, shares_by_block, shares_by_layer

PARITY = Path(__file__).parents[1] / "data" / "parity" / "train" / "vtoonify_t_blend.npz"
CHANNELS = dict.fromkeys((4, 8, 16, 32), 4)
SIZES = tuple(CHANNELS)


def pair():
    torch.manual_seed(0)
    return [Generator(32, 8, 2, CHANNELS).state_dict() for _ in range(2)]


def test_vtoonifys_rule_to_the_number():
    published = np.load(PARITY)
    with torch.device("meta"):
        names = Generator(1024).state_dict().keys()
    shares = shares_by_layer(names, published["weight"])
    assert shares == dict(zip(published["names"].tolist(), published["share_of_low"].tolist(), strict=True))


@pytest.mark.parametrize("number", RULES)
@pytest.mark.parametrize("resolution", SIZES)
def test_whole_blocks_come_from_one_side_bit_for_bit(resolution, number):
    (low, high), rule = pair(), RULES[number]
    mixed = blend(low, high, shares_by_block(high, resolution, rule))
    for name, tensor in mixed.items():
        of = resolution_of(name)
        from_low = rule.low_maps if of is None else of < resolution or (of == resolution and rule.inclusive)
        assert torch.equal(tensor, (low if from_low else high)[name]), name


def test_resolutions_and_layers_are_those_of_the_network():
    low, _ = pair()
    for name, tensor in low.items():
        if name.startswith("noises"):
            assert resolution_of(name) == tensor.shape[-1]
    layers = {layer_of(name) for name in low} - {None}
    assert layers == set(range(2 * 3 + 2))  # every row of a style code, the last one read by the last RGB layer
    assert layer_of("to_rgbs.2.bias") == 7 and layer_of("convs.5.activate.bias") == 6
    assert layer_of("style.1.weight") is layer_of("input.input") is layer_of("noises.noise_0") is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_each_layer_lies_between_its_parents_by_its_weight(weight):
    low, high = pair()
    mixed = blend(low, high, shares_by_layer(high, weight))
    for name, tensor in mixed.items():
        share = 0.0 if layer_of(name) is None else weight[layer_of(name)]
        assert torch.allclose(tensor, high[name] * (1 - share) + low[name] * share, atol=1e-4), name


@given(st.sampled_from(SIZES), st.floats(0.05, 4), st.sampled_from(sorted(RULES)))
def test_a_smooth_change_falls_from_low_to_high_about_the_border(resolution, smooth, number):
    names = pair()[0].keys()
    shares = shares_by_block(names, resolution, RULES[number], smooth)
    by_size = [shares[f"convs.{2 * k}.conv.weight"] for k in range(3)]
    assert by_size == sorted(by_size, reverse=True) and all(0 <= share <= 1 for share in shares.values())
    hard = shares_by_block(names, resolution, RULES[number])
    assert all(abs(shares[name] - hard[name]) <= 0.5 for name in names)


def test_what_does_not_fit_is_said_in_one_line():
    low, high = pair()
    other = Generator(16, 8, 2, CHANNELS).state_dict()
    with pytest.raises(VtoonError, match=r"do not fit: convs\.4.* missing in LOW"):
        blend(other, high, {})
    with pytest.raises(VtoonError, match="3 layer weights for a generator of 8 layers"):
        shares_by_layer(high, [1, 1, 0])
    del low
