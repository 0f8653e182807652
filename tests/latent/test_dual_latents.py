"""Style codes read off pictures, destylized, refined, sampled; and DualStyleGAN drawing by degrees."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vtoon.errors import VtoonError
from vtoon.latent.dual import Artist, artworks_codes, sampled_codes, with_colours
from vtoon.latent.refine import Refinement, refine
from vtoon.latent.sampler import sampler_of
from vtoon.latent.z_plus import FIRST_COLOUR, CodeSearch, Reader, destylize, search_code
from vtoon.models.stylegan2 import Generator
from vtoon.train.imle import begun, jittered, teach
from vtoon.weights.duals import grown, load_style_sampler, save_sampler
from vtoon.weights.generators import mean_latent
from vtoon.weights.perceptual import Likeness
from vtoon.weights.vgg19 import Sight

SIZE, DIM, ROWS = 32, 12, 8
CHANNELS = dict.fromkeys((4, 8, 16, 32), 6)
QUICK = CodeSearch(steps=40, identity=0.0, spread=0.01)
LIKENESS = Likeness("pixels", lambda x: [F.pad(F.avg_pool2d(x, 2), (0, 0, 0, 0, 0, 1), value=1.0)])
SIGHT = Sight("pixels", lambda x: [x, F.avg_pool2d(x, 2), F.avg_pool2d(x, 4)])


def generator(seed):
    torch.manual_seed(seed)
    net = Generator(SIZE, DIM, 2, CHANNELS).eval().requires_grad_(False)
    return sampler_of(net, mean_latent(net), "tiny.pt")


@pytest.fixture(scope="module")
def artist():
    torch.manual_seed(0)
    net = grown(generator(0).net, "tiny.pt")
    for p in net.res.parameters():
        p.data += 0.1 * torch.randn_like(p)
    net.eval().requires_grad_(False)
    return Artist(net, sampler_of(net.generator, mean_latent(net.generator), "tiny.pt"))


def codes(count, seed=0):
    return torch.randn(count, ROWS, DIM, generator=torch.Generator().manual_seed(seed))


class SmallEncoder(nn.Module):
    """Stands in for pSp: rows of the picture's mean colour."""

    styles = range(ROWS)

    def forward(self, x):
        assert x.shape[2:] == (256, 256)
        return x.mean((1, 2, 3))[:, None, None] + torch.linspace(-1, 1, ROWS)[:, None] * torch.ones(DIM)


class Averaged(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = SmallEncoder()

    def forward(self, x):
        return self.encoder(x)


def test_a_search_in_z_plus_comes_near_to_what_the_generator_drew():
    faces = generator(0)
    target = faces.draw(faces.net.zplus2wplus(codes(2)))
    read = Reader(faces, None, None, QUICK)
    start = read.likest(target)
    found = search_code(faces, target, start, QUICK, None)

    def off(code):
        return F.mse_loss(faces.draw(faces.net.zplus2wplus(code)), target)

    assert off(found) < 0.7 * off(start) and off(start) < off(start.flip(0))
    even = search_code(faces, target, start, dataclasses.replace(QUICK, spread=10.0), None)
    assert even.std(1).mean() < found.std(1).mean()


def test_destylizing_keeps_the_encoders_colours_and_reads_the_face_again():
    faces, drawer = generator(0), generator(1)
    drawings = drawer.draw(drawer.net.zplus2wplus(codes(1)))
    read = Reader(faces, Averaged(), LIKENESS, QUICK)
    seen = []
    found = destylize(faces, drawer, read, drawings, dataclasses.replace(QUICK, steps=3), LIKENESS, seen.append)
    assert seen == [0, 1, 2]
    assert torch.equal(found.extrinsic, read(drawings)) and torch.equal(found.intrinsic, read(found.face.clamp(-1, 1)))
    assert FIRST_COLOUR == 8 and found.intrinsic.shape == found.extrinsic.shape == (1, ROWS, DIM)
    with pytest.raises(VtoonError, match="the encoder tells 8 rows of a style code"):
        small = Generator(16, DIM, 2, CHANNELS)
        Reader(sampler_of(small, torch.zeros(DIM), "tiny.pt"), Averaged(), None, QUICK)


def test_refining_brings_the_drawing_nearer_to_the_artwork(artist):
    art = artist.draw(artist.w_of(codes(2, 5)), artist.w_of(codes(2, 6)), artist.weights(structure=1.0))
    extrinsic, intrinsic = codes(2, 7), codes(2, 8)

    def off(code):
        drawn = artist.draw(artist.w_of(intrinsic), artist.w_of(code), artist.weights(structure=1.0))
        return LIKENESS.distance(LIKENESS.features(drawn), LIKENESS.features(art))

    refined = refine(artist, art, extrinsic, intrinsic, Refinement(12, 0.1, 0.1), LIKENESS, SIGHT)
    assert (off(refined) < off(extrinsic)).all()
    colours = refine(artist, art, extrinsic, intrinsic, Refinement(2, 0.1, 0.0), LIKENESS, SIGHT)
    assert torch.equal(colours[:, :7], extrinsic[:, :7]) and not torch.equal(colours[:, 7:], extrinsic[:, 7:])
    alone = refine(artist, art[:1], extrinsic[:1], intrinsic[:1], Refinement(2, 0.1, 0.0), LIKENESS, SIGHT)
    assert torch.allclose(alone, colours[:1], atol=1e-4)  # none feels the others


def test_degrees_are_from_the_face_to_the_artwork(artist):
    face, style = artist.w_of(codes(1)), artist.w_of(codes(1, 1))
    plain = artist.draw(face, style, artist.weights(structure=0.0, colour=0.0))
    assert torch.allclose(plain, artist.faces.draw(face), atol=1e-5)
    assert artist.weights().tolist() == [0.75] * 7 + [1.0]
    assert not torch.equal(plain, artist.draw(face, style, artist.weights(structure=1.0, colour=0.0)))
    own = with_colours(style, face)
    assert torch.equal(own[:, 7:], face[:, 7:]) and torch.equal(own[:, :7], style[:, :7])
    for bad in ({"given": [1.0] * 18}, {"given": [2.0] * 8}, {"structure": 1.5}, {"given": [1.0] * 8, "colour": 1.0}):
        with pytest.raises(VtoonError, match=r"weight|degrees"):
            artist.weights(**bad)


def test_the_sampler_leaves_no_artwork_out_and_goes_on_as_unbroken(tmp_path):
    known = torch.randn(3, ROWS, DIM, generator=torch.Generator().manual_seed(2))
    many = jittered(known, 0)
    assert 1000 <= len(many) < 1000 + len(known)
    device = torch.device("cpu")
    whole = teach(begun(ROWS, DIM, 0, device), many, 150, 0)
    first = teach(begun(ROWS, DIM, 0, device), many, 70, 0)
    second = teach(first, many, 150, 0)
    same = zip(whole.net.parameters(), second.net.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    save_sampler(tmp_path / "sampler.pt", whole.net, whole.content())
    net, rest = load_style_sampler(tmp_path / "sampler.pt", generator(0).net)
    assert rest["step"] == 150
    drawn = sampled_codes(net, 200, torch.Generator().manual_seed(3))[:, :7].flatten(1)
    near = torch.cdist(drawn, known[:, :7].flatten(1))
    assert (
        set(near.argmin(1).tolist()) == {0, 1, 2} and near.amin(1).median() < 0.5 * torch.pdist(known.flatten(1)).min()
    )
    torch.save({"color": {}}, tmp_path / "other.pt")
    with pytest.raises(VtoonError, match="no sampler of styles for this generator"):
        load_style_sampler(tmp_path / "other.pt", generator(0).net)


@pytest.mark.parametrize(("fixed", "rows"), [((True, False), slice(0, 7)), ((False, True), slice(7, 8))])
def test_what_is_fixed_is_the_same_for_all(fixed, rows):
    drawn = artworks_codes(list(codes(4).split(1)), 5, torch.Generator().manual_seed(0), *fixed)
    assert drawn.shape == (5, ROWS, DIM) and torch.equal(drawn[:, rows], drawn[:1, rows].expand(5, -1, -1))
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("flaw", [{"steps": 0}, {"truncation": 2.0}])
def test_searches_that_cannot_be(flaw):
    with pytest.raises(VtoonError, match="it must be"):
        CodeSearch(**flaw)
    with pytest.raises(VtoonError, match="iter is 0"):
        Refinement(0)
