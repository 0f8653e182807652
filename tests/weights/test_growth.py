"""A model of small pictures grown to larger ones."""

from pathlib import Path

import pytest
import torch

from vtoon.errors import VtoonError
from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator
from vtoon.weights.growth import grown
from vtoon.weights.snapshots import Start

CHANNELS = {4: 8, 8: 8, 16: 6, 32: 4}


@pytest.fixture
def small() -> Start:
    torch.manual_seed(0)
    net, average = (Generator(16, 8, 2, CHANNELS) for _ in range(2))
    return Start(Path("small.pt"), net, average, Discriminator(16, CHANNELS))


@pytest.mark.parametrize("size", [32, 64])
def test_a_grown_generator_draws_the_small_picture_enlarged(small: Start, size: int) -> None:
    large = grown(small, size)
    assert large.net.channels[size] <= small.net.channels[16]
    for before, after in ((small.net, large.net), (small.average, large.average)):
        w = torch.randn(2, 1, 8).expand(-1, after.num_latents, -1)
        wanted = before(w[:, : before.num_latents])
        for to_rgb in after.to_rgbs[len(before.to_rgbs) :]:
            wanted = to_rgb.upsample(wanted)
        torch.testing.assert_close(after(w), wanted)


def test_the_average_begins_with_the_same_new_layers(small: Start) -> None:
    large = grown(small, 32)
    state, average = large.net.state_dict(), large.average.state_dict()
    new = [key for key in state if key not in small.net.state_dict()]
    assert new
    assert all(torch.equal(state[key], average[key]) for key in new)


def test_the_discriminator_keeps_all_but_the_layer_that_read_rgb(small: Start) -> None:
    disc = grown(small, 64).disc
    assert disc(torch.randn(4, 3, 64, 64)).shape == (4, 1)
    x = torch.randn(2, CHANNELS[16], 16, 16)
    assert torch.equal(disc.convs[3:](x), small.disc.convs[1:](x))


def test_the_new_layers_learn(small: Start) -> None:
    net = grown(small, 32).net
    net(torch.randn(1, net.num_latents, 8)).square().mean().backward()
    assert net.to_rgbs[-1].conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [8, 24, 2048])
def test_sizes_that_cannot_be_grown_to(small: Start, size: int) -> None:
    with pytest.raises(VtoonError, match="draws 16 px"):
        grown(small, size)


@pytest.mark.parametrize("size", [None, 16])
def test_nothing_is_done_without_need(small: Start, size: int | None) -> None:
    assert grown(small, size) is small
