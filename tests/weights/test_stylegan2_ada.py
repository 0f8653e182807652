"""Conversion of StyleGAN2-ADA generators; that the pictures are theirs is in tests/models/test_parity.py."""

import pytest
import torch
from foreign import save_networks

from vtoon.errors import VtoonError
from vtoon.image import load_image
from vtoon.models.stylegan2 import Generator
from vtoon.weights.published import Kind, load
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


def test_a_pickle_becomes_a_file_that_other_tools_read(net, theirs, tmp_path, command):
    save_networks(tmp_path / "ffhq.pkl", {"G_ema": theirs, "D": {"b4.out.bias": torch.zeros(1)}})
    ended = command("convert", tmp_path / "ffhq.pkl", tmp_path / "ffhq.pt")
    assert ended.code == 0 and "16 px" in ended.out
    file = load(tmp_path / "ffhq.pt", Kind.STYLEGAN2)
    built = Generator(16, style_dim=7, mapping_layers=2, channels=CHANNELS)
    built.load_state_dict(file.tensors, strict=True)
    w_plus = torch.randn(1, net.num_latents, 7)
    assert torch.equal(built(w_plus), net(w_plus))
    assert "StyleGAN2" in command("inspect", tmp_path / "ffhq.pt").out


def test_a_pickle_draws_and_blends_as_its_conversion_does(theirs, tmp_path, command):
    save_networks(tmp_path / "a.pkl", {"G_ema": theirs})
    command("convert", tmp_path / "a.pkl", tmp_path / "a.pt")
    for kind in ("pkl", "pt"):
        ended = command("generate", tmp_path / f"a.{kind}", "--seeds", 7, "-o", tmp_path / kind)
        assert ended.code == 0, ended.err
    one, other = (load_image(tmp_path / kind / "seed0007.png")[0] for kind in ("pkl", "pt"))
    assert (one == other).all()
    assert command("blend", tmp_path / "a.pkl", tmp_path / "a.pt", "-o", tmp_path / "x.pt", "--res", 8).code == 0


def test_a_pickle_without_the_averaged_generator_writes_nothing(tmp_path, command):
    save_networks(tmp_path / "d.network", {"D": {"b4.out.bias": torch.zeros(1)}})
    assert "G_ema" in command("convert", tmp_path / "d.network", tmp_path / "d.pt").line
    assert [path.name for path in tmp_path.iterdir()] == ["d.network"]
