"""Conversion of StyleGAN2-ADA generators; that the pictures are theirs is in tests/models/test_parity.py."""

import pytest
import torch

from vtoon.errors import VtoonError
from vtoon.models.stylegan2 import Generator
from vtoon.weights.stylegan2_ada import UPSAMPLE_GAIN, convert_generator, key_table

CHANNELS = {4: 6, 8: 5, 16: 3}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Generator(16, style_dim=7, mapping_layers=2, channels=CHANNELS)


@pytest.fixture
def theirs(net):
    """What StyleGAN2-ADA would have written: its names and shapes, and the buffers that we have no use for."""
    state = {"mapping.w_avg": torch.randn(7), "synthesis.b4.conv1.resample_filter": torch.ones(4, 4)}
    for ours, name in key_table(16, 2).items():
        value = net.state_dict()[ours]
        gain = UPSAMPLE_GAIN if name.endswith("resample_filter") else 1
        state[name] = (value[0] if value.ndim > 2 else value).squeeze() / gain
    return state


def test_the_shapes_tell_the_network(net, theirs):
    info, state = convert_generator(theirs)
    assert (info.size, info.style_dim, info.mapping_layers, info.channels) == (16, 7, 2, CHANNELS)
    assert torch.equal(info.mean_latent, theirs["mapping.w_avg"])
    info.build().load_state_dict(state, strict=True)
    assert state.keys() == net.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


def test_conditional_and_other_generators_are_refused(theirs):
    with pytest.raises(VtoonError, match=r"1 keys are not known \(mapping.embed.weight\)"):
        convert_generator(theirs | {"mapping.embed.weight": torch.zeros(7, 3)})
    with pytest.raises(VtoonError, match="no StyleGAN2-ADA generator"):
        convert_generator({"convs.0.conv.weight": torch.zeros(1)})


def test_a_missing_or_misshapen_weight_is_named(theirs):
    with pytest.raises(VtoonError, match=r"does not fit"):
        convert_generator(theirs | {"mapping.fc0.weight": torch.zeros(7, 9)})
    del theirs["synthesis.b8.torgb.bias"]
    with pytest.raises(VtoonError, match=r"missing \(synthesis.b8.torgb.bias\)"):
        convert_generator(theirs)
