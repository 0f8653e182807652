"""Generators are read from every published layout, at any size and width, and written back as published."""

import pytest
import torch

from vtoon.errors import VtoonError
from vtoon.models.dualstylegan import DualStyleGAN
from vtoon.models.stylegan2 import Generator
from vtoon.weights.generators import load_dual, load_generator, mean_latent, save_generator

THIN = {4: 8, 8: 8, 16: 6, 32: 4}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Generator(32, 16, 2, THIN)


def test_what_is_saved_is_read_with_its_mean(net, tmp_path):
    save_generator(tmp_path / "own.pt", net, torch.full((16,), 0.25))
    loaded = load_generator(tmp_path / "own.pt")
    assert loaded.size == 32 and loaded.mean_latent.tolist() == [0.25] * 16
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in loaded.generator.state_dict().items())
    assert not any(p.requires_grad for p in loaded.generator.parameters())


def test_a_training_snapshot_gives_its_average_and_a_mean_of_its_own(net, tmp_path):
    torch.save({"g": {}, "g_ema": net.state_dict(), "g_optim": {"state": {}}, "d": {}}, tmp_path / "000600.pt")
    assert torch.equal(load_generator(tmp_path / "000600.pt").mean_latent, mean_latent(net))


def test_a_dualstylegan_of_any_width(tmp_path):
    dual = DualStyleGAN(32, 16, 2, THIN, structure_channels=4)
    torch.save({"g_ema": dual.state_dict()}, tmp_path / "generator.pt")
    assert load_dual(tmp_path / "generator.pt").generator.num_latents == 8


@pytest.mark.parametrize(
    ("name", "told"),
    [("ffhq1024", "checkpoint/stylegan2-ffhq-config-f.pt: no such file; it is NVIDIA's"), ("my.pt", "my.pt: no such")],
)
def test_what_is_missing_is_one_line(name, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VtoonError, match=told):
        load_generator(name)


def test_another_kind_is_named(tmp_path):
    dual = DualStyleGAN(32, 16, 2, THIN, structure_channels=4)
    torch.save({"g_ema": dual.state_dict()}, tmp_path / "generator.pt")
    with pytest.raises(VtoonError, match="DualStyleGAN generator; expected StyleGAN2 generator"):
        load_generator(tmp_path / "generator.pt")
