"""Moved by texts, taught by one picture, photos drawn: each lowers what it says and leaves alone what it must."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.faces.detect import FaceDetector
from vtoon.latent.one_shot import OneShotOptions, find_features, learn_style, swapped_rows
from vtoon.latent.sampler import load_sampler
from vtoon.latent.text import Chorus, NadaOptions, OpenClip, move_generator, move_latent, strengthened
from vtoon.latent.toonify import check_pair, put_back
from vtoon.weights.perceptual import STAND_IN


def redness(images):
    return images[:, 0].mean() - images[:, 1:].mean()


def changed(before, after):
    a, b = before.net.state_dict(), after.net.state_dict()
    return {name for name in a if not torch.equal(a[name], b[name])}


def test_a_text_moves_a_latent_and_strength_goes_on(low, scorer):
    codes = low.latents([1, 2])
    moved = move_latent(low, codes, "red", scorer, steps=20, lr=0.1, l2_lambda=0.0)
    plain, red, more = (redness(low.draw(strengthened(codes, moved, s))) for s in (0.0, 1.0, 1.5))
    assert plain < red < more and torch.equal(codes, low.latents([1, 2]))
    near = move_latent(low, codes, "red", scorer, steps=20, lr=0.1, l2_lambda=1.0)
    assert (near - codes).norm() < 0.6 * (moved - codes).norm()


def test_two_texts_teach_the_generator_and_leave_mapping_and_colours_layers(low, scorer):
    options = NadaOptions("photo", "red", steps=40, batch=4, lr=0.05)
    losses = []
    made = move_generator(low, scorer, options, lambda step, loss: losses.append(loss))
    codes = low.latents(range(8))
    assert redness(made.draw(codes)) > redness(low.draw(codes)) + 0.05
    assert np.mean(losses[-5:]) < losses[0]
    touched = changed(low, made)
    assert touched and all(name.startswith(("conv1.", "convs.")) for name in touched)
    one_layer = move_generator(low, scorer, NadaOptions("photo", "red", steps=1, layers=1))
    assert len({name.split(".conv.")[0] for name in changed(low, one_layer)}) == 1
    with pytest.raises(VtoonError, match="mean the same"):
        move_generator(low, scorer, NadaOptions("red", "red", steps=1))


def test_two_scorers_have_the_same_say(low, scorer):
    class Louder:
        embed_images = staticmethod(lambda images: 100 * scorer.embed_images(images))
        embed_texts = staticmethod(lambda texts: 100 * scorer.embed_texts(texts))

    both = Chorus([scorer, Louder()])
    codes = low.latents([1])
    one, two = (move_latent(low, codes, "red", s, steps=5, lr=0.1, l2_lambda=0.0) for s in (scorer, both))
    assert both.embed_texts(["red"]).shape[1] == 2 * scorer.embed_texts(["red"]).shape[1]
    assert redness(low.draw(two)) > redness(low.draw(codes)) and (one - two).norm() < 0.2 * (one - codes).norm()


def test_clip_that_is_not_here_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(VtoonError, match=r'pip install "vtoon\[text\]"'):
        OpenClip()


class OfflineClip:
    """As open_clip is without a network."""

    @staticmethod
    def create_model(*_: object, **__: object) -> None:
        raise OSError("no route\nto the hub")


def test_clip_without_a_network_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", OfflineClip)
    with pytest.raises(VtoonError, match="--clip_weights PATH") as error:
        OpenClip("ViT-B-32", "openai")
    assert "\n" not in str(error.value)
    with pytest.raises(VtoonError, match="no such file of CLIP weights"):
        OpenClip("ViT-B-32", "somewhere/clip.pt")


class SmallClip:
    """open_clip's functions around a network of one layer."""

    class Net(torch.nn.Module):
        visual = type("Visual", (), {"image_size": (8, 8)})

        def encode_image(self, x):
            assert x.shape[1:] == (3, 8, 8)
            return x.mean((2, 3))

        def encode_text(self, words):
            return words.float()

    create_model = staticmethod(lambda model, pretrained: SmallClip.Net())
    get_tokenizer = staticmethod(lambda model: lambda texts: torch.ones(len(texts), 3))


def test_clip_sees_pictures_in_its_own_size_and_range(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", SmallClip)
    clip = OpenClip()
    for size in (4, 8, 32):
        seen = clip.embed_images(torch.full((2, 3, size, size), 2 * 0.48145466 - 1))
        assert seen.shape == (2, 3) and torch.allclose(seen[:, 0], torch.zeros(2), atol=1e-5)
    assert clip.embed_texts(["a", "b"]).shape == (2, 3)


@given(st.integers(2, 9))
def test_swapped_rows_are_the_published_ones_in_proportion(levels):
    rows = 2 * levels
    for keep in (True, False):
        chosen = swapped_rows(rows, keep)
        assert chosen == sorted(set(chosen)) and 0 <= chosen[0] and chosen[-1] < rows
    assert swapped_rows(18) == list(range(7, 18)) and swapped_rows(18, True) == [9, 11, 15, 16, 17]


@pytest.mark.parametrize("kind", ["low", "bare"])
def test_one_picture_teaches_its_style(generators, kind, high):
    sampler = load_sampler(generators[kind], "cpu")
    target, code = high.draw(high.latents([9])), sampler.latents([9])
    features, name = find_features(sampler)
    assert name == ("its discriminator" if kind == "low" else STAND_IN)
    losses = []
    made = learn_style(
        sampler, target, code, features, OneShotOptions(steps=40, lr=0.01), lambda _, loss: losses.append(loss)
    )
    assert np.mean(losses[-5:]) < 0.8 * losses[0]
    names = changed(sampler, made)
    assert names and not any(name.startswith("style.") for name in names)
    after, before = ((s.draw(code) - target).square().mean() for s in (made, sampler))
    assert after < before


@pytest.mark.parametrize("flaw", [{"steps": 0}, {"batch": 0}, {"lr": 0.0}, {"alpha": 1.5}])
def test_one_shot_settings_that_cannot_be(flaw):
    with pytest.raises(VtoonError, match="must be"):
        OneShotOptions(**flaw)


def test_a_drawing_is_put_back_where_the_face_is_and_nowhere_else(portrait):
    (face,) = FaceDetector().detect(portrait)
    blue = np.zeros((64, 64, 3), np.uint8)
    blue[..., 2] = 255
    image = put_back(portrait, face, blue)
    x, y = np.rint(face.points[30]).astype(int)  # the tip of the nose
    assert image[y, x].tolist() == [0, 0, 255]
    assert (image[:8, :8] == portrait[:8, :8]).all() and (image[-4:, :4] == portrait[-4:, :4]).all()
    share = (image != portrait).any(2).mean()
    assert 0.1 < share < 0.8


def test_generators_of_other_latents_are_no_pair(low, generators):
    with pytest.raises(VtoonError, match=r"takes latents \[8, 10\], .* gives \[6, 12\]"):
        check_pair(low, load_sampler(generators["other"], "cpu"))
