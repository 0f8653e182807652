"""Closed-form factorization: what comes out are the eigenvectors that the paper asks for."""

from __future__ import annotations

import pytest
import torch

from vtoon.models.directions import closed_form_factorization, eigenvectors, factorize, modulation_weights
from vtoon.models.stylegan2 import Generator


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return Generator(16, 12, 1, {4: 6, 8: 5, 16: 4})


def test_directions_are_eigenvectors_of_the_modulation(generator):
    weight = torch.cat(modulation_weights(generator)).double()
    found = factorize(generator).double()
    gram = weight.T @ weight
    values = torch.einsum("kd,de,ke->k", found, gram, found)
    assert torch.allclose(found @ gram, values[:, None] * found, atol=1e-5)
    assert torch.allclose(found @ found.T, torch.eye(12).double(), atol=1e-5)
    assert (values.diff() <= 1e-6).all()  # the strongest comes first


def test_each_row_has_the_weights_of_the_layer_that_reads_it(generator):
    weights = modulation_weights(generator)
    assert [w.shape for w in weights] == [(n, 12) for n in (6, 6, 5, 5, 4, 4)] and len(weights) == generator.num_latents
    torch.manual_seed(1)
    w = torch.randn(1, generator.num_latents, 12)
    for row in (0, 2, 4, 5):  # read by one layer only: what its weights do not see changes nothing
        silent, loud = w.clone(), w.clone()
        silent[0, row] += 3 * torch.linalg.svd(weights[row])[2][-1]
        loud[0, row] += 3 * eigenvectors(weights[row])[0]
        assert torch.allclose(generator(silent), generator(w), atol=1e-4), row
        assert not torch.allclose(generator(loud), generator(w), atol=1e-3), row


def test_directions_as_the_published_file_has_them(generator):
    found = closed_form_factorization(generator, rows=(0, 1), count=3, length=2.0)
    assert found.shape == (3, generator.num_latents, 12)
    assert torch.equal(found[:, 0], found[:, -1])
    assert torch.allclose(found[:, 0].norm(dim=1), torch.full((3,), 2.0))
    assert torch.equal(found, closed_form_factorization(generator, rows=(0, 1), count=3, length=2.0))
