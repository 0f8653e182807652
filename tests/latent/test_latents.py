"""Seeds, rows, latent files, walks, mixing, directions, blending: what the small functions promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.latent.blend import blend_sheet, blended, block_shares, parse_layers
from vtoon.latent.mix import mixed
from vtoon.latent.morph import EASINGS, slerp, walk
from vtoon.latent.sampler import load_codes, parse_numbers, parse_rows, parse_seeds, save_codes
from vtoon.latent.sefa import directions_of, load_factor, moved, save_directions, save_factor, swing
from vtoon.latent.sheets import enlarged, near_square, table
from vtoon.models.stylegan2 import truncate
from vtoon.weights.blend import RULES
from vtoon.weights.published import load_directions


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 40)), min_size=1, max_size=6))
def test_seeds_are_numbers_and_ranges(parts):
    text = ",".join(f"{first}-{first + more}" if more else str(first) for first, more in parts)
    assert parse_seeds(text) == [n for first, more in parts for n in range(first, first + more + 1)]


@given(st.text("0123456789-,. x", max_size=12))
def test_other_seeds_are_one_line(text):
    try:
        assert all(0 <= seed < 2**32 for seed in parse_seeds(text))
    except VtoonError as error:
        assert "\n" not in str(error) and "1-8,42" in str(error)


@pytest.mark.parametrize("text", ["", "5-1", "1-99999999", "4294967296", "a", "-3", "1,,2"])
def test_seeds_that_are_none(text):
    with pytest.raises(VtoonError, match="give numbers and ranges"):
        parse_seeds(text)


def test_rows_and_numbers():
    assert parse_rows("all", 6) == list(range(6)) and parse_rows("4,0-2", 6) == [0, 1, 2, 4]
    assert parse_numbers("0.5,-1", "trunc", -2, 2) == [0.5, -1]
    for text in ("0-6", "x", "2-1", ""):
        with pytest.raises(VtoonError):
            parse_rows(text, 6)
    for text in ("3", "x", "", "nan"):
        with pytest.raises(VtoonError, match="trunc is"):
            parse_numbers(text, "trunc", -2, 2)


def test_a_seed_is_the_published_draw_and_truncation_goes_to_the_mean(low):
    z = torch.tensor(np.random.RandomState(42).randn(1, low.dim)).float()
    assert torch.equal(low.noise([42]), z)
    w = low.net.style(z)
    assert torch.allclose(low.latents([42]), low.net.to_w_plus(w))
    assert torch.allclose(low.latents([42], 0.5), low.net.to_w_plus(truncate(w, low.mean, 0.5)))
    assert torch.allclose(low.latents([42], 0.0)[0, 0], low.mean, atol=1e-6)
    picture = low.pictures(low.latents([1, 2]))
    assert len(picture) == 2 and picture[0].shape == (16, 16, 3) and (picture[0] != picture[1]).any()


def test_latent_files_go_round_and_foreign_shapes_are_taken(low, tmp_path):
    codes = low.latents([1, 2])
    save_codes(tmp_path / "w.npz", codes)
    assert np.load(tmp_path / "w.npz")["w"].shape == (2, low.rows, low.dim)
    assert torch.equal(load_codes(tmp_path / "w.npz", low), codes)
    for array, shape in ((codes[0, 0], (1,)), (codes[0], (1,)), (codes[:, 0], (2,)), (codes[:1, :1], None)):
        np.save(tmp_path / "w.npy", array.numpy())
        if shape:
            assert load_codes(tmp_path / "w.npy", low).shape == (*shape, low.rows, low.dim)
        else:
            with pytest.raises(VtoonError, match=r"w is \[1, 1, 12\]; .* takes \[N, 6, 12\]"):
                load_codes(tmp_path / "w.npy", low)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 not a zip"])
def test_latent_files_that_are_none(low, tmp_path, content):
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(VtoonError, match="no latent file"):
        load_codes(tmp_path / "w.npz", low)


def test_latent_files_with_other_things_in_them(low, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    np.savez(tmp_path / "nan.npz", w=np.full((low.rows, low.dim), np.nan))
    np.savez(tmp_path / "object.npz", w=np.array([{}], object), allow_pickle=True)
    for name, words in (("x", "no latent file"), ("nan", "finite"), ("object", "no latent file"), ("gone", "no such")):
        with pytest.raises(VtoonError, match=words):
            load_codes(tmp_path / f"{name}.npz", low)


@settings(deadline=None)
@given(st.integers(2, 5), st.integers(1, 6), st.booleans(), st.sampled_from(sorted(EASINGS)))
def test_a_walk_passes_every_key(keys, frames, loop, easing):
    way = list(walk(torch.eye(keys), frames, loop, easing))
    assert len(way) == (keys * frames if loop else (keys - 1) * frames + 1)
    assert all(torch.allclose(way[i * frames], torch.eye(keys)[i], atol=1e-5) for i in range(keys - loop))


@given(st.floats(0, 1), st.integers(0, 50))
def test_on_the_sphere_lengths_stay(t, seed):
    dice = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 16, generator=dice)
    between = slerp(a, b, t)
    assert torch.allclose(between.norm(), torch.lerp(a.norm(), b.norm(), t), rtol=1e-3)
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-4) and torch.allclose(slerp(a, b, 1.0), b, atol=1e-4)
    assert torch.allclose(slerp(a, a, t), a, atol=1e-4)


def test_walks_that_go_nowhere():
    for keys, frames in ((1, 5), (3, 0)):
        with pytest.raises(VtoonError, match="a walk needs two latents"):
            list(walk(torch.eye(keys), frames))


def test_mixing_takes_the_named_rows_only():
    base, other = torch.zeros(6, 3), torch.ones(6, 3)
    assert mixed(base, other, [1, 4])[:, 0].tolist() == [0, 1, 0, 0, 1, 0] and not base.any()


def test_directions_move_named_rows_and_go_round_in_files(low, tmp_path):
    found = directions_of(low, [0, 1])
    codes = low.latents([1])
    gone = moved(codes, found[0], 2.0, [1, 3]) - codes
    assert torch.allclose(gone[0, [1, 3]].norm(dim=1), torch.full((2,), 2.0), atol=1e-4) and not gone[0, [0, 2]].any()
    save_factor(tmp_path / "factor.pt", found, low.path)
    content = torch.load(tmp_path / "factor.pt", weights_only=True)
    assert set(content) == {"ckpt", "eigvec"} and torch.equal(content["eigvec"][:, 3], found[3])
    assert torch.equal(load_factor(tmp_path / "factor.pt", low), found)
    save_directions(tmp_path / "directions.npy", found[:4], low.rows)
    kept = load_directions(tmp_path / "directions.npy")
    assert kept.shape == (4, low.rows, low.dim) and torch.equal(kept[2, 5], found[2])
    there_and_back = list(swing(codes, found[0], 3.0, [0], 8))
    assert torch.allclose(there_and_back[4], codes, atol=1e-5) and len(there_and_back) == 8
    torch.save({"x": 1}, tmp_path / "none.pt")
    torch.save({"eigvec": torch.zeros(3, 3)}, tmp_path / "small.pt")
    for name, words in (("none", "no factor file"), ("small", "directions of 3 numbers"), ("gone", "no such file")):
        with pytest.raises(VtoonError, match=words):
            load_factor(tmp_path / f"{name}.pt", low)


def test_a_blended_generator_draws_with_both(low, high):
    codes = low.latents([1])
    all_low, all_high = (blended(low, high, block_shares(low, r, RULES[n]), low.path) for r, n in ((16, 1), (4, 2)))
    assert torch.equal(all_low.draw(codes), low.draw(codes))
    assert torch.equal(all_high.draw(codes), high.draw(codes))
    half = blended(low, high, block_shares(low, 8, RULES[1]), low.path)
    features = list(half.net.grow(codes))[:2], list(low.net.grow(codes))[:2]
    assert all(torch.equal(a[0], b[0]) for a, b in zip(*features, strict=True))
    assert not torch.equal(half.draw(codes), low.draw(codes))
    sheet = blend_sheet(low, high, [1, 2], 0.7)
    assert sheet.shape[1] > 5 * 128 and sheet.shape[0] > 2 * 128
    with pytest.raises(VtoonError, match="it must be one of 4, 8, 16"):
        block_shares(low, 12)


@given(st.dictionaries(st.integers(0, 5), st.floats(0, 1).map(lambda x: round(x, 3)), min_size=1))
def test_layer_shares_are_steps(pairs):
    shares = parse_layers(",".join(f"{k}:{v}" for k, v in pairs.items()), 6)
    for layer, share in enumerate(shares):
        before = [k for k in pairs if k <= layer]
        assert share == (pairs[max(before)] if before else 0.0)


@pytest.mark.parametrize("text", ["", "1", "6:1", "0:2", "0:1,x", "0:.", "a:b"])
def test_layer_shares_that_are_none(text):
    with pytest.raises(VtoonError, match="write LAYER:SHARE"):
        parse_layers(text, 6)


@given(st.integers(1, 12), st.sampled_from([8, 64, 128, 150]))
def test_sheets_hold_every_picture(count, side):
    images = [np.full((side, side, 3), i, np.uint8) for i in range(count)]
    shown = enlarged(images[0]).shape[0]
    sheet = near_square(images)
    assert all((sheet == i).all(2).sum() >= shown**2 for i in range(count))
    assert table([images], [str(i) for i in range(count)], ["a"]).shape[0] == shown + 22
