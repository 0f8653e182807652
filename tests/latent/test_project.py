"""Projection finds what a generator has drawn, and lowers every term that it is given."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.image import to_tensor
from vtoon.latent.likeness import Identity, find_landmarks
from vtoon.latent.project import ProjectOptions, project, psnr
from vtoon.weights.perceptual import load_perceptual

PIXELS = ProjectOptions(steps=120, perceptual=0, identity=0, near=0, lr=0.1)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_generated_picture_is_projected_back(low, space):
    targets = low.draw(low.latents([3, 4]))
    found = project(low, targets, dataclasses.replace(PIXELS, space=space), None)
    assert (psnr(found.images, targets) > {"w": 40, "w+": 24}[space]).all()
    mean = psnr(low.draw(low.mean.expand(2, low.rows, -1)), targets)
    assert (psnr(found.images, targets) > mean + 10).all()
    assert torch.equal(found.images, low.draw(found.w_plus))
    if space == "w":
        assert torch.equal(found.w_plus, found.w_plus[:, :1].expand_as(found.w_plus))


def test_pictures_of_a_batch_do_not_feel_one_another(low):
    targets = low.draw(low.latents([3, 4]))
    short = dataclasses.replace(PIXELS, steps=8, noise=0)
    both = project(low, targets, short, None).w_plus
    alone = torch.cat([project(low, target[None], short, None).w_plus for target in targets])
    assert torch.allclose(both, alone, atol=1e-3)


def test_a_start_near_the_goal_begins_there_and_every_term_is_lowered(low):
    target = low.draw(low.latents([5]))
    options = ProjectOptions(steps=25, identity=0, noise=0, truncation=1)
    seen = []
    found = project(low, target, options, load_perceptual("face", "cpu"), start=low.latents([5]),
                    watch=lambda step, images: seen.append(images.detach()))  # fmt: skip
    assert psnr(seen[0], target) > 50 and len(seen) == 25
    assert set(found.terms) == {"perceptual", "pixel", "near"}
    far = []
    project(low, target, options, load_perceptual("face", "cpu"),
            watch=lambda step, images: far.append(psnr(images.detach(), target)))  # fmt: skip
    assert far[-1] > far[0] + 1


def test_the_stand_in_and_identity_are_0_for_the_same_and_more_for_another(portrait):
    image = to_tensor(portrait)
    likeness = load_perceptual("face", "cpu")
    wanted = likeness.features(image)
    darker, mirrored = (likeness.distance(likeness.features(x), wanted) for x in (image * 0.9, image.flip(3)))
    assert float(likeness.distance(wanted, wanted)) == 0 < float(darker) < float(mirrored)
    identity = Identity(image, find_landmarks(image))
    assert float(identity.distance(image)) < 1e-5 < 0.1 < float(identity.distance(image.flip(2)))
    faceless = Identity(image * 0, find_landmarks(image * 0))
    assert float(faceless.distance(image)) == 0


@settings(deadline=None)
@given(st.sampled_from(["perceptual", "pixel", "identity", "noise", "noise_regularize", "near"]), st.floats(-9, -1e-9))
def test_no_weight_below_0(name, value):
    with pytest.raises(VtoonError, match=f"{name} is "):
        ProjectOptions(**{name: value})


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"lr": 0}, "lr is 0"),
        ({"noise_ramp": 0}, "noise_ramp is 0"),
        ({"perceptual": 0, "pixel": 0, "identity": 0}, "nothing is left to lower"),
        ({"pixel": float("nan")}, "pixel is nan"),
    ],
)
def test_settings_that_cannot_be(flaw, words):
    with pytest.raises(VtoonError, match=words):
        ProjectOptions(**flaw)
