"""Terms of inversion, against the published ones' numbers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vtoon.ops.inversion import latent_spread, noise_regularize, normalize_noise_, ramped

PARITY = Path(__file__).parents[1] / "data" / "parity"
_spec = importlib.util.spec_from_file_location("fill", PARITY / "fill.py")
fill = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fill)
PUBLISHED = np.load(PARITY / "train" / "dual_terms.npz")


def drawn(name, shape):
    return torch.from_numpy(fill.array(name, shape))


def test_the_published_numbers():
    maps = [drawn(f"nz{i}a", [1, 1, 2**i, 2**i]) for i in range(2, 6)]
    assert float(noise_regularize(maps)) == pytest.approx(float(PUBLISHED["noise_regularize"]), rel=1e-4)
    spread = latent_spread(drawn("cla", [2, 18, 512]))
    assert float(spread) == pytest.approx(float(PUBLISHED["latent_spread"]), rel=1e-5)


def test_of_several_samples_each_counts_for_itself():
    one, two = (torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(i)) for i in range(2))
    both = noise_regularize([torch.cat([one, two])])
    assert torch.allclose(both, noise_regularize([one]) + noise_regularize([two]))


def test_stripes_are_worse_than_noise_and_normalized_noise_has_unit_variance():
    dice = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 1, 32, 32, generator=dice) * 3 + 1
    stripes = torch.sin(torch.arange(32) / 4).expand(2, 1, 32, 32).clone()
    for maps in ([noise], [stripes]):
        normalize_noise_(maps)
        assert torch.allclose(maps[0].mean((1, 2, 3)), torch.zeros(2), atol=1e-5)
        assert torch.allclose(maps[0].square().mean((1, 2, 3)), torch.ones(2), atol=1e-5)
    assert noise_regularize([stripes]) > 20 * noise_regularize([noise])


@given(st.floats(0, 1), st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_the_learning_rate_stays_between_nothing_and_its_peak(share, up, down):
    assert 0 <= ramped(share, up, down) <= 1
    assert ramped(0, up, down) == 0 and ramped(up, up, min(down, 1 - up)) == pytest.approx(1)
