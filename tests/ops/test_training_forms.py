"""What trainings compute in another form than drawing does: the same numbers."""

import pytest
import torch

from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator
from vtoon.ops import Blur, Upsample, limit_activations_
from vtoon.ops.fir import blurred

CHANNELS = {4: 6, 8: 6}


@pytest.mark.parametrize("pad", [0, 1, 2, 3])
@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_three_means_of_two_are_the_filter(pad, gain):
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    blur = Blur((pad, pad), gain).double()
    assert torch.allclose(blurred(x, pad, gain), blur(x), atol=1e-6)


def test_they_have_second_derivatives():
    x = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: blurred(x, 1, 4.0).square(), x)


def nets():
    torch.manual_seed(0)
    return Generator(8, 5, 1, CHANNELS), Discriminator(8, CHANNELS)


def test_limits_change_nothing_below_and_hold_above():
    net, disc = nets()
    w_plus, image = torch.randn(2, net.num_latents, 5), torch.randn(4, 3, 8, 8)
    before = net(w_plus), disc(image)
    for part in (net, disc):
        limit_activations_(part)
    for a, b in zip((net(w_plus), disc(image)), before, strict=True):
        torch.testing.assert_close(a, b)
    features = []
    limit_activations_(net, 0.5)
    list(net.grow(w_plus, after=lambda i, x: features.append(x) or x))
    assert max(float(x.detach().abs().max()) for x in features) == 0.5


def test_features_stay_in_half_precision_and_colours_and_the_end_do_not():
    net, disc = (limit_activations_(part) for part in nets())
    features = []
    with torch.autocast("cpu", torch.bfloat16):
        grown = list(net.grow(torch.randn(2, net.num_latents, 5), after=lambda i, x: features.append(x) or x))
        answer = disc(grown[-1][1])
    assert {x.dtype for x in features[1:]} == {torch.bfloat16}
    assert grown[-1][1].dtype == answer.dtype == torch.float32


def test_colours_are_not_rounded_at_every_size():
    x = torch.rand(1, 3, 8, 8)
    exact = Upsample()(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Upsample()(x), exact)
