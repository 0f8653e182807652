"""VGG19's features, or those that stand in for them, and which of the two."""

from urllib.error import URLError

import pytest
import torch
import torchvision.models
from torchvision.models.vgg import cfgs, make_layers

from vtoon.errors import VtoonError
from vtoon.weights import vgg19
from vtoon.weights.vgg19 import MEAN, STAND_IN, Vgg19, load_vgg19

pytestmark = pytest.mark.usefixtures("one_thread")


def test_three_levels_from_fine_to_coarse_of_pictures_as_imagenet_has_them():
    net = Vgg19(make_layers(cfgs["E"][:8]))
    large, small = torch.rand(1, 3, 320, 320) * 2 - 1, torch.rand(2, 3, 64, 64, requires_grad=True)
    assert [tuple(x.shape) for x in net(large)] == [(1, 64, 256, 256), (1, 128, 128, 128), (1, 256, 64, 64)]
    found = net(small)
    assert [x.shape[1:3] for x in found] == [(64, 64), (128, 32), (256, 16)] and all((x >= 0).all() for x in found)
    found[2].sum().backward()
    assert small.grad.abs().sum() > 0 and not any(p.requires_grad for p in net.parameters())
    grey = (torch.tensor(MEAN) * 2 - 1).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    first = net.layers[0].bias.relu().view(1, -1, 1, 1)
    assert torch.allclose(net(grey)[0], first.expand(1, -1, 32, 32), atol=1e-5)


def test_where_there_are_no_weights_the_stand_in_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(vgg19, "vgg19_file", lambda: tmp_path / "gone.pth")
    sight = load_vgg19("auto", "cpu")
    assert sight.name == STAND_IN
    found = sight.features(torch.zeros(2, 3, 32, 32))
    assert len(found) == 3 and found[0].shape[0] == 2 and found[0].shape[2] > found[1].shape[2] > found[2].shape[2]


def test_what_cannot_be_had_is_one_line(monkeypatch):
    def offline(**_):
        raise URLError("no network")

    monkeypatch.setattr(torchvision.models, "vgg19", offline)
    with pytest.raises(VtoonError, match=r"could not be fetched.*no network.*--perceptual face"):
        load_vgg19("vgg", "cpu")
    with pytest.raises(VtoonError, match="perceptual is 'x'; choose auto, vgg, face"):
        load_vgg19("x", "cpu")
