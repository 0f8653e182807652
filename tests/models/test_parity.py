"""The networks give the published implementations' numbers when filled with the same weights."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vtoon.models.stylegan2 import Generator
from vtoon.models.vtoonify import VToonify, VToonifyConfig

DATA = Path(__file__).parents[1] / "data" / "parity"
spec = importlib.util.spec_from_file_location("fill", DATA / "fill.py")
fill = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fill)


def filled(module, name):
    """The module with deterministic weights; every published key must be there and no other."""
    keys = json.loads((DATA / f"{name}.json").read_text())
    state = module.state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == {k: v["shape"] for k, v in keys.items()}
    state |= {k: torch.from_numpy(v) for k, v in fill.state(DATA / f"{name}.json").items()}
    module.load_state_dict(state, strict=True)
    return module.eval().requires_grad_(False)


def thinned(x):
    """The kit keeps at most 8 channels and 24 rows and columns of a picture."""
    x = x.numpy()
    if x.ndim == 4:
        rows, columns = (np.linspace(0, n - 1, min(24, n)).round().astype(int) for n in x.shape[2:])
        x = x[:, :8][:, :, rows][:, :, :, columns]
    return x


def same(result, expected):
    result = thinned(result)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() < 1e-3 * np.abs(expected).mean()


def given(name, shape, scale=1.0):
    return torch.from_numpy(fill.array(name, shape, scale))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["dualstylegan", "toonify"])
def test_vtoonify(backbone):
    name = f"vtoonify_{backbone[0]}_64_256"
    net = filled(VToonify(VToonifyConfig(backbone=backbone, in_size=64, out_size=256)), name)
    expected = np.load(DATA / f"{name}.npz")
    x, style = given("xa", [1, 22, 64, 64], 0.5), given("stylea", [1, 14, 512])
    degree = torch.full((1, 1), float(expected["d_s"])) if "d_s" in expected else torch.zeros(1, 1)
    feature, skip, _ = net.encode(x, style, degree)
    image, masks = net(x, style, degree, return_masks=True)
    same(feature, expected["feat"])
    same(skip, expected["skip"])
    same(image, expected["image"])
    same(net.zplus2wplus(style), expected["wplus"])
    if backbone == "dualstylegan":
        same(masks[0], expected["mask0"])
        same(masks[-1], expected["mask_last"])


def test_stylegan2_generator():
    net = filled(Generator(64), "stylegan2_generator_64")
    expected = np.load(DATA / "stylegan2_generator_64.npz")
    w = net.style(given("za", [2, 512]))
    same(w, expected["w"])
    same(net(w[:, None].repeat(1, net.num_latents, 1)), expected["image"])
