"""A generator's first lessons: it draws the pictures it was shown, from the components that tell them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vtoon.image import save_image
from vtoon.models.stylegan2 import Generator
from vtoon.train.dataset import Dataset
from vtoon.train.lessons import FinetuneOptions
from vtoon.train.recipes.warm_up import WarmUp, components, let_through_, pyramid
from vtoon.train.trainer import TrainOptions, fit
from vtoon.weights.generators import load_generator

pytestmark = pytest.mark.usefixtures("one_thread")
CHANNELS = {4: 16, 8: 16, 16: 12, 32: 12, 64: 8}
DIM, COUNT = 16, 12


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Discs of their own colour, place and size, 64 px."""
    path = tmp_path_factory.mktemp("data") / "set.npy"
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:64, :64]
    pictures = np.zeros((COUNT, 64, 64, 3), np.uint8)
    for picture in pictures:
        centre, radius = rng.uniform(20, 44, 2), rng.uniform(8, 20)
        inside = np.hypot(x - centre[0], y - centre[1]) < radius
        picture[:], picture[inside] = rng.integers(0, 255, 3), rng.integers(0, 255, 3)
    np.save(path, pictures)
    return path


def recipe(packed, steps, size=64, **options):
    torch.manual_seed(0)
    net = Generator(size, DIM, 3, {r: c for r, c in CHANNELS.items() if r <= size})
    return WarmUp(net, Dataset(packed, size), FinetuneOptions(batch=6, mirror=True, **options), steps)


def apart(made, packed):
    """How far pictures drawn from their components are from the pictures, mean of [-1, 1]."""
    real = torch.from_numpy(np.load(packed)).permute(0, 3, 1, 2).float() / 127.5 - 1
    z = torch.cat([made.codes[0], torch.zeros(COUNT, DIM - made.codes.shape[2])], 1)
    return float((made.draw(made.net, z, 64) - real).abs().mean())


def test_pictures_are_drawn_from_their_components(packed, tmp_path):
    made = recipe(packed, 150)
    before = apart(made, packed)
    assert fit(made, TrainOptions(tmp_path, 150, log_every=50, preview_every=150, save_begin=150)) == 150
    assert apart(made, packed) < 0.6 * before
    assert load_generator(tmp_path / "warm-up.pt").size == 64
    assert (tmp_path / "preview_000150.jpg").is_file()


def test_each_size_has_its_share_of_the_steps(packed):
    made = recipe(packed, 10)
    assert [made.side(step) for step in range(10)] == [32] * 5 + [64] * 5
    assert made.next_batch(0).real.shape[2:] == (32, 32) and made.next_batch(9).real.shape[2:] == (64, 64)
    assert recipe(packed, 4, size=16).side(0) == 16


def test_a_stopped_warm_up_equals_an_unbroken_one(packed, tmp_path):
    whole, parts = recipe(packed, 6), recipe(packed, 6)
    fit(whole, TrainOptions(tmp_path / "whole", 6, save_begin=6))
    fit(recipe(packed, 6), TrainOptions(tmp_path / "parts", 4, save_begin=6))
    assert fit(parts, TrainOptions(tmp_path / "parts", 6, save_begin=6)) == 6
    a, b = (torch.cat([p.flatten() for p in r.ema.module.parameters()]) for r in (whole, parts))
    assert torch.equal(a, b)


@pytest.mark.parametrize("layers", [1, 2, 8])
def test_a_mapping_network_lets_some_coordinates_through(layers):
    style = Generator(8, DIM, layers, {4: 4, 8: 4}).style
    let_through_(style, 5, seed=0)
    z = torch.randn(4000, DIM)
    other = z.clone()
    other[:, 5:] *= -1  # of the same length, which the first layer divides by
    w = style(z)
    assert torch.allclose(w, style(other), atol=1e-4)
    assert 0.5 < w.std() < 1.5 and torch.linalg.matrix_rank(w - w.mean(0)) >= 5


def test_components_are_uncorrelated_and_of_unit_variance():
    pictures = torch.randn(40, 3, 8, 8) * torch.linspace(0.1, 2, 8)
    codes = components([pictures[:25], pictures[25:]], True, 6)
    assert codes.shape == (2, 40, 6)
    flat = codes.flatten(0, 1)
    assert torch.allclose(flat.T @ flat / 80, torch.eye(6), atol=1e-3)
    twice = components([torch.cat([pictures, pictures.flip(3)])], False, 6)
    assert torch.allclose(twice[0].abs(), flat.abs(), atol=1e-3)


def test_a_pyramid_adds_up_to_the_picture():
    x = torch.randn(2, 3, 32, 32)
    levels = list(pyramid(x))
    assert [level.shape[-1] for level in levels] == [32, 16, 8]
    total = levels[-1]
    for level in levels[-2::-1]:
        total = level + torch.nn.functional.interpolate(total, scale_factor=2.0, mode="bilinear")
    assert torch.allclose(total, x, atol=1e-5)


def test_finetune_from_nothing_begins_with_it_and_goes_on(packed, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    for i, picture in enumerate(np.load(packed)):
        save_image(tmp_path / "set" / f"{i}.png", picture)
    words = ["finetune", "--data", "set", "--size", 16, "--most_channels", 8, "--batch", 4, "--warm_up", 0.012,
             "--kimg", 0.008, "--metrics", "none", "--device", "cpu", "-o", "run"]  # fmt: skip
    stopped = command(*words, "--minutes", 0)
    assert stopped.code == 0 and "run: not yet warm; the same command goes on, after 0.0 of 0.012 kimg" in stopped.out
    ended = command(*words)
    assert "run/warm-up.pt: warm, after 0.0 of 0.012 kimg" in ended.out, ended.err
    assert "model: run/warm-up.pt, 16 px, without a discriminator" in ended.out
    assert ended.code == 0 and (tmp_path / "run" / "network-snapshot-000000.pt").is_file()
    again = command(*words)
    assert again.code == 0 and ": warm" not in again.out
    assert command("finetune", "--data", "set", "--warm_up", -1).line.startswith("error: warm_up is -1; it must be 0")
