"""StyleGAN2's published training, to the number: losses, penalties, their gradients, p, the triplet as meant."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parity import DATA, TOLERANCE, difference, filled, given

from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator
from vtoon.train.augment import AdaptiveAugment
from vtoon.train.lazy import PathMean
from vtoon.train.losses import discriminator_loss, generator_loss, path_lengths, r1_penalty, triplet_loss


def numbers(name):
    return dict(np.load(DATA / "train" / f"{name}.npz"))


def close(found, expected):
    return float(torch.as_tensor(found).detach()) == pytest.approx(float(expected), rel=TOLERANCE)


def norm(net):
    return torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm()


@pytest.mark.slow
def test_losses_penalties_and_their_gradients():
    expected = numbers("stylegan2_losses")
    net = filled(Generator(64), "stylegan2_generator_64").requires_grad_(True)
    disc = filled(Discriminator(64), "train/stylegan2_discriminator_64").requires_grad_(True)
    w_plus = net.to_w_plus(net.style(given("gza", [4, 512])))
    image = net(w_plus)
    assert difference(image.detach(), expected["image"]) < TOLERANCE
    mean = PathMean(torch.device("cpu"))
    mean.value += 0.4
    lengths = path_lengths(image, w_plus, given("gnoisea", [4, 3, 64, 64]))
    penalty = (lengths - mean.moved(lengths)).square().mean()
    assert difference(lengths.detach(), expected["path_lengths"]) < TOLERANCE
    assert close(mean.value, expected["path_mean"]) and close(penalty, expected["path_penalty"])
    (2 * 4 * penalty).backward()
    assert close(norm(net), expected["grad_norm_path"])
    real = given("greala", [4, 3, 64, 64], 0.5).requires_grad_(True)
    answers, fakes = disc(real), disc(image.detach())
    assert close(discriminator_loss(answers, fakes), expected["d_logistic"])
    assert close(generator_loss(fakes), expected["g_nonsaturating"])
    r1 = r1_penalty(answers, real)
    (10 / 2 * r1 * 16).backward()
    assert close(r1, expected["r1"]) and close(norm(disc), expected["grad_norm_r1"])


def test_p_after_each_batch():
    expected = numbers("ada_rule")
    ada = AdaptiveAugment(float(expected["target"]), int(expected["length"]), int(expected["every"]))
    found = []
    for logits in given("asigna", [60, 8]) + torch.linspace(-0.2, 2, 60)[:, None]:
        ada.see(logits)
        ada.step()
        found.append(ada.p)
    assert np.abs(np.array(found) - expected["p"]).max() < 1e-9 and max(found) > 0


def test_the_triplet_has_the_sign_that_was_meant():
    expected = numbers("triplet")
    embeddings = [F.normalize(given(f"e{i}a", [6, 128]), dim=1) for i in range(3)]
    assert close(triplet_loss(*embeddings), expected["meant"])
    assert not close(triplet_loss(*embeddings), expected["published"])
