"""A model brought into a layout that sees and draws squares of pixels."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_packed import teacher
from tiny import TINY

from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.face_net import PARTS
from vtoon.ops.squares import folded as squares
from vtoon.ops.squares import unfolded
from vtoon.train.batches import Batches
from vtoon.train.recipes.distill import DistillOptions
from vtoon.train.recipes.fold import Fold, folded, shapes_of
from vtoon.train.teacher import PairTeacher
from vtoon.train.trainer import TrainOptions, fit
from vtoon.types import Landmarks
from vtoon.weights.checkpoint import load_checkpoint

FINE = dataclasses.replace(
    TINY, in_size=128, out_size=128, kernel_bank=2, channels={4: 4, 8: 4, 16: 4, 32: 8, 64: 6, 128: 4}
)
COARSE = dataclasses.replace(FINE, in_size=64, out_size=64, in_channels=4 * 4 + len(PARTS), out_channels=12)


@pytest.fixture(autouse=True)
def small_nets(one_thread):
    """Every test here."""


@pytest.fixture(scope="module")
def start():
    torch.manual_seed(0)
    model = BuiltinVToonify(["poster", "comic"], ["own"], FINE)
    for p in model.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batches(start, tmp_path_factory):
    faces = teacher(tmp_path_factory.mktemp("sheets")).faces
    taught = PairTeacher(faces, shapes_of(start, faces), 64)
    return Batches(taught, 2, "cpu", faces=1, paint=start.draw, shares=[3, 1])


def recipe_of(start, batches, **more):
    options = DistillOptions(8, 2, lr=2e-3, perc_loss=0.0, tmp_loss=0.0, adv_loss=0.0)
    return Fold(start, COARSE, batches, options, **more)


def test_what_lies_below_the_full_size_is_taken_over(start):
    model = folded(start, COARSE)
    old, new = start.net, model.net
    assert torch.equal(new.encoder[1][0].weight, old.encoder[2][0].weight)
    assert torch.equal(new.encoder[2][3].conv2.weight, old.encoder[3][3].conv2.weight)
    assert torch.equal(new.synthesis.convs[6].conv.bank, old.synthesis.convs[6].conv.bank)
    assert torch.equal(new.fusion_out[1].weight, old.fusion_out[1].weight)
    assert torch.equal(model.codes.looks, start.codes.looks[:, : COARSE.num_latents])
    assert torch.equal(model.grounds, start.grounds)
    assert all(map(torch.equal, model.face.state_dict().values(), start.face.state_dict().values()))


def test_each_pixels_colours_come_from_its_own_place(start):
    fine, coarse = start.net.fusion_skip[0], folded(start, COARSE).net.fusion_skip[0]
    for conv in (fine, coarse):  # neighbours are others in squares
        conv.weight.data[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
    colours, features = torch.randn(1, 3, 12, 8), torch.randn(1, 8, 6, 4)
    whole = fine(torch.cat([colours, F.interpolate(features, scale_factor=2)], 1))
    torch.testing.assert_close(unfolded(coarse(torch.cat([squares(colours, 2), features], 1)), 2), whole)


def test_of_fewer_channels_the_first_are_kept(start):
    wide = folded(start, COARSE)
    config = dataclasses.replace(COARSE, channels={4: 4, 8: 4, 16: 4, 32: 5, 64: 4})
    slim = folded(wide, config).net
    assert torch.equal(slim.encoder[0][0].weight, wide.net.encoder[0][0].weight)
    assert torch.equal(slim.encoder[1][0].weight, wide.net.encoder[1][0].weight[:5, :4])
    two = wide.net.fusion_out[0].weight[:5]
    assert torch.equal(slim.fusion_out[0].weight, torch.cat([two[:, :5], two[:, 8:13]], 1))
    assert torch.equal(slim.fusion_skip[0].weight, wide.net.fusion_skip[0].weight[:, :17])


def test_some_looks_draw_what_they_drew(start):
    one = start.of_looks(["comic"])
    x, eyes = torch.rand(1, 3, 64, 48) * 2 - 1, torch.full((1, 1), 20.0)
    drawn = [model(x, torch.tensor([look]), None, torch.ones(1, 1), eyes) for model, look in ((start, 1), (one, 0))]
    torch.testing.assert_close(*drawn, rtol=0, atol=1e-3)


def test_a_student_of_fewer_looks_keeps_its_network(start, batches):
    student = folded(start.of_looks(["comic"]), COARSE)
    model = recipe_of(start, batches, student=student).model
    assert torch.equal(model.net.encoder[0][0].weight, student.net.encoder[0][0].weight)
    assert torch.equal(model.codes.looks[1], student.codes.looks[0])
    assert torch.equal(model.face.fields.weight, start.face.fields.weight)


def test_shapes_are_the_models_own(start, batches):
    drawn = batches.teacher.drawings["comic"]
    x = torch.from_numpy(np.array(drawn.faces.photos[0])).permute(2, 0, 1)[None].float() / 127.5 - 1
    eyes = Landmarks(drawn.faces.landmarks[0].astype(float)).eye_distance
    own = start.shape(x, torch.tensor([1]), torch.tensor([[eyes]]).float())[0].permute(1, 2, 0)
    np.testing.assert_allclose(drawn.offsets[0], own, rtol=2e-3, atol=0.02)


def test_views_are_drawn_by_the_model_itself(start, batches):
    batch = batches.make(0)
    torch.testing.assert_close(batch.target, start.draw(*batch.drawn))
    looks = torch.cat([batches.make(i).look for i in range(40)])
    assert 0.6 < (looks == 0).float().mean() < 0.9  # three of four


def test_it_learns_to_draw_as_before_and_goes_on(start, batches, tmp_path):
    recipe = recipe_of(start, batches)
    batch, face = recipe.next_batch(99), {k: v.clone() for k, v in start.face.state_dict().items()}
    before = float(recipe.generator_terms(batch)["rec"].detach())
    options = TrainOptions(tmp_path / "whole", 8, log_every=4, preview_every=8, save_every=8)
    fit(recipe, options)
    assert float(recipe.generator_terms(batch)["rec"].detach()) < before
    assert all(torch.equal(v, face[k]) for k, v in recipe.model.face.state_dict().items())

    again = recipe_of(start, batches, student=load_checkpoint(tmp_path / "whole" / "model.safetensors").model)
    begun = float(again.generator_terms(batch)["rec"].detach())
    assert begun < before

    for steps in (3, 8):
        part = dataclasses.replace(options, folder=tmp_path / "parts", steps=steps)
        stopped = recipe_of(start, batches)
        fit(stopped, part)
    assert all(map(torch.equal, stopped.model.state_dict().values(), recipe.model.state_dict().values()))
