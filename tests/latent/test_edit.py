"""Directions: one standard deviation long, from weights, files, folders and measured faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vtoon.errors import VtoonError
from vtoon.latent import attributes
from vtoon.latent.attributes import ATTRIBUTES, independent, measured, ridge
from vtoon.latent.direction import Direction, load_direction, save_direction, scaled
from vtoon.latent.edit import between, direction, logistic, moved, parse_edit, parse_edits, slider_sheet
from vtoon.latent.likeness import find_landmarks
from vtoon.latent.sefa import directions_of, save_directions, save_factor
from vtoon.types import Landmarks


@pytest.fixture(scope="module")
def face(portrait):
    from vtoon.image import to_tensor

    return find_landmarks(to_tensor(portrait))[0]


def changed(face, points, by):
    """Landmarks with some points moved, in eye distances along the axes of the picture."""
    moved_points = face.points.copy()
    moved_points[points] += np.asarray(by) * face.eye_distance
    return Landmarks(moved_points)


def turned(face, degrees):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Landmarks(face.points @ turn.T * 2.5 + 40)


def test_attributes_say_what_they_are_named_after(face):
    plain = measured(face)
    assert measured(changed(face, [30], (0.2, 0)))["yaw"] == pytest.approx(plain["yaw"] + 0.2, abs=0.02)
    wide = measured(changed(changed(face, [54], (0.2, -0.1)), [48], (-0.2, -0.1)))
    assert wide["smile"] > plain["smile"] + 0.3 and wide["eyes"] == plain["eyes"]
    lids = [37, 38, 43, 44]
    assert measured(changed(face, lids, (0, -0.05)))["eyes"] > plain["eyes"] + 0.1
    again = measured(turned(face, 30))  # neither roll nor size nor place count
    assert all(again[name] == pytest.approx(plain[name], abs=1e-6) for name in ATTRIBUTES)


def test_a_step_is_one_standard_deviation_of_the_latents(low):
    step = scaled(low, torch.randn(low.dim), [1, 3])
    assert step[[0, 2, 4, 5]].abs().sum() == 0 and torch.equal(step[1], step[3])
    w = low.latents(range(3000))[:, 0]
    along = ((w - low.mean) @ F.normalize(step[1], dim=0)).std()
    assert float(step[1].norm()) == pytest.approx(float(along), rel=0.1)
    codes = low.latents([1])
    there = moved(codes, [(Direction("a", step), 2.0), (Direction("b", step), -2.0)])
    assert torch.allclose(there, codes, atol=1e-5)
    assert torch.equal(moved(codes, []), codes)


def test_directions_of_weights_and_files_are_the_same(low, tmp_path):
    own = direction(low, "2")
    assert own.name == "sefa 2"
    found = directions_of(low, range(low.rows))
    save_factor(tmp_path / "factor.pt", found, low.path)
    save_directions(tmp_path / "directions.npy", found * 7, low.rows)
    save_direction(tmp_path / "mine.npz", own)
    for name in ("factor.pt#2", "directions.npy#2", "mine.npz"):
        assert torch.allclose(direction(low, str(tmp_path / name)).step, own.step, atol=1e-5)
    again = load_direction(tmp_path / "mine.npz", low)
    assert (again.name, again.told) == (own.name, own.told)
    few = direction(low, "2", [0])
    assert few.step[1:].abs().sum() == 0


def test_a_plane_between_two_sets_is_found_although_they_differ_elsewhere(low):
    dice = torch.Generator().manual_seed(0)
    sets = torch.randn(2, 60, low.dim, generator=dice)
    sets[:, :, 3] *= 5  # varies much, tells nothing
    sets[0, :, 0] += 3
    for method in ("logistic", "means"):
        step = between(low, *sets, [0, 1], method).step
        assert step[0].argmax() == 0 and step[2:].abs().sum() == 0
    assert logistic(sets.flatten(0, 1), 60)[3].abs() < 0.1 * logistic(sets.flatten(0, 1), 60)[0]


def test_an_attribute_is_told_apart_from_those_that_come_with_it():
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    y = torch.stack([x[:, 0], x[:, 0] + x[:, 1], x[:, 2]], 1)
    models = ridge(x - x.mean(0), y - y.mean(0))
    assert models[1].topk(2).indices.sort().values.tolist() == [0, 1]
    alone = independent(models, 1)
    assert alone.argmax() == 1 and abs(float(alone @ models[0])) < 1e-5


def test_an_attribute_is_measured_on_generated_faces(low, face, monkeypatch):
    """Faces stand in whose nose follows one number of the latent."""

    def drawn(sampler, code, detector):
        return changed(face, [30], (0.2 * float(code[4] - sampler.mean[4]), 0)) if code[0] > -1e9 else None

    monkeypatch.setattr(attributes, "_face", drawn)
    seen = []
    found = direction(low, "yaw", watch=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (attributes.FACES, attributes.FACES) and "400 generated faces, r " in found.told
    w = attributes.latents(low, 400)
    assert torch.corrcoef(torch.stack([w @ found.step[0], w[:, 4]]))[0, 1] > 0.8
    monkeypatch.setattr(attributes, "_face", lambda *_: None)
    assert direction(low, "yaw").told == found.told  # it is not measured twice
    attributes._known.clear()
    with pytest.raises(VtoonError, match="faces were found in 0 of 400 pictures"):
        direction(low, "smile")


def test_the_slider_has_a_row_for_each_direction_and_generator(low, high):
    sheet = slider_sheet([low, high], low.latents([1]), [(direction(low, "0"), 1.0), (direction(low, "1"), 2.0)])
    assert sheet.shape[0] > 4 * 128 and sheet.shape[1] > 8 * 128


@pytest.mark.parametrize(
    ("text", "words"),
    [("smile", "write DIRECTION:AMOUNT"), ("smile:much", "write DIRECTION"), (":1", "write DIRECTION"),
     ("smile:4", "it must be -3 to 3"), ("smile:nan", "amount is nan"), ("hat:1", "give a number"),
     ("99:1", "direction 99: there are 0 to 11")],
)  # fmt: skip
def test_edits_that_cannot_be(low, text, words):
    with pytest.raises(VtoonError, match=words):
        parse_edits(low, [text])


def test_files_that_are_none(low, tmp_path, generators):
    (tmp_path / "x.npz").write_text("no")
    np.savez(tmp_path / "y.npz", step=np.zeros((3, 2), np.float32), name="y", told="")
    np.save(tmp_path / "z.npy", np.zeros((2, 3, 12), np.float32))
    for name, words in (
        ("x.npz", "no direction"),
        ("y.npz", r"a direction of \[3, 2\]"),
        ("z.npy", r"takes \[6, 12\]"),
        ("x.npz#a", "after # comes a number"),
    ):
        with pytest.raises(VtoonError, match=words):
            direction(low, str(tmp_path / name))
    assert parse_edit("a/b:c.npz:-1.5") == ("a/b:c.npz", -1.5)
