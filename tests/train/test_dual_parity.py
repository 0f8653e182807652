"""DualStyleGAN's published terms, to the number, and what they say of pictures."""

import numpy as np
import pytest
import torch
from parity import DATA, TOLERANCE, given

from vtoon.ops.appearance import channel_mean_loss, contextual_loss
from vtoon.ops.inversion import latent_spread, noise_regularize
from vtoon.train.recipes.dual_finetune import weight_norms
from vtoon.train.recipes.dual_pretrain import inject_at, perceptual_l1

EXPECTED = dict(np.load(DATA / "train" / "dual_terms.npz"))
A, B = given("cxaa", [2, 32, 16, 16]), given("cxba", [2, 32, 16, 16])
FOUND = {
    "contextual_cosine": lambda: contextual_loss(A, B),
    "style": lambda: channel_mean_loss(A, B),
    "noise_regularize": lambda: noise_regularize([given(f"nz{k}a", [1, 1, 2**k, 2**k]) for k in range(2, 6)]),
    "latent_spread": lambda: latent_spread(given("cla", [2, 18, 512])),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_terms_as_published(name):
    assert float(FOUND[name]()) == pytest.approx(float(EXPECTED[name]), rel=TOLERANCE / 100)


def test_the_contextual_loss_does_not_ask_where_things_lie():
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    moved = B.flatten(2)[:, :, order].unflatten(2, (16, 16))
    assert float(contextual_loss(A, moved)) == pytest.approx(float(contextual_loss(A, B)), rel=1e-5)
    assert float(contextual_loss(moved, B)) < 0.1 < float(contextual_loss(A, B))
    assert contextual_loss(A[:, :, :8], B).isfinite()  # another number of places
    mirrored = A.flip(3)
    assert float(channel_mean_loss(A, mirrored)) < 1e-10


def test_levels_that_weigh_nothing_are_left_out_and_the_second_is_not_taught():
    a, b = (torch.ones(1, 2, 4, 4, requires_grad=True) for _ in range(2))
    loss = perceptual_l1([a, a * 3], [b, b], (0.0, 0.5))
    loss.backward()
    assert loss.item() == 1.0 and a.grad is not None and b.grad is None
    part = torch.nn.Linear(3, 2)
    sizes = part.weight.square().sum().sqrt() + part.bias.square().sum().sqrt()
    assert weight_norms(part).item() == pytest.approx(sizes.item())


def test_the_row_of_the_second_face_falls_in_equal_parts():
    rows = [inject_at(step, 300, 7, 5) for step in range(300)]
    assert [rows.count(row) for row in (7, 6, 5)] == [100, 100, 100] and rows == sorted(rows, reverse=True)
    assert {inject_at(step, 3, 5, 5) for step in range(3)} == {5} and inject_at(999, 300, 7, 5) == 5
