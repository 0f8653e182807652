"""A stopped and resumed run equals an uninterrupted one, bit for bit; lazy phases; failures are said."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY
from torch import nn

from vtoon.errors import VtoonError
from vtoon.image import load_image
from vtoon.models.builtin import BuiltinVToonify
from vtoon.train.pairs import OFFSET_GRID, SHEET, Drawings, FaceSheets
from vtoon.train.recipes.distill import DistillOptions, VToonifyDistill
from vtoon.train.teacher import PairTeacher
from vtoon.train.trainer import Phase, TrainOptions, fit, run_phase
from vtoon.weights.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def teacher():
    """Two noise faces; the look inverts them and shifts them by 6 px, the second palette swaps channels."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
    photos = small.repeat(SHEET // 16, 1).repeat(SHEET // 16, 2)
    points = rng.uniform(150, 350, (2, 68, 2)).astype(np.float32)
    faces = FaceSheets(Path(), photos, points, np.array([128.0, 64.0], np.float32))
    offsets = np.full((2, OFFSET_GRID, OFFSET_GRID, 2), 6, np.float16)
    palettes = {"own": lambda x: x, "swap": lambda x: np.ascontiguousarray(x[..., ::-1])}
    return PairTeacher(faces, {"invert": Drawings(255 - photos, offsets)}, palettes, size=64)


def recipe(teacher, steps=6, **options):
    torch.manual_seed(0)
    model = BuiltinVToonify(["invert"], ["own", "swap"], TINY)
    defaults = {"batch": 2, "perc_loss": 0.0, "adv_from": 0.5}
    return VToonifyDistill(model, teacher, DistillOptions(steps=steps, **defaults | options))


def weights(recipe):
    return torch.cat([p.flatten() for p in (*recipe.model.parameters(), *recipe.ema.module.parameters())])


def test_resumed_run_equals_uninterrupted(teacher, tmp_path):
    whole = recipe(teacher)
    fit(whole, TrainOptions(tmp_path / "whole", 6))
    fit(recipe(teacher), TrainOptions(tmp_path / "parts", 4))
    second = recipe(teacher)
    assert fit(second, TrainOptions(tmp_path / "parts", 6)) == 6
    assert torch.equal(weights(whole), weights(second))


def test_training_lowers_the_loss(teacher, tmp_path):
    r = recipe(teacher, steps=120, adv_loss=0.0, tmp_loss=0.0, lr=1e-2)
    batch = r.next_batch(0)
    r.close()
    before = float(r.generator_terms(batch)["rec"])
    fit(r, TrainOptions(tmp_path, 120))
    assert float(r.generator_terms(batch)["rec"]) < 0.9 * before


def test_one_odd_batch_moves_weights_no_further_than_the_clipped_gradient():
    layer = nn.Linear(1, 1, bias=False).requires_grad_(False)
    before = float(layer.weight)
    phase = Phase("G", lambda b: {"w": 1e6 * layer.weight.sum()}, torch.optim.SGD(layer.parameters(), 0.5))
    run_phase(phase, None)
    assert float(layer.weight) == pytest.approx(before - 0.5, rel=1e-3)


def test_export_loads_and_gives_the_average_model(teacher, tmp_path):
    r = recipe(teacher)
    fit(r, TrainOptions(tmp_path, 2))
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert [s.name for s in loaded.bank.styles] == ["invert", "invert-swap"]
    for a, b in zip(loaded.model.parameters(), r.ema.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-2, rtol=1e-2)  # half precision in the file
    assert load_image(next(tmp_path.glob("preview_*.jpg")))[0].shape[2] == 3


def test_samples_depend_on_the_generator_alone(teacher):
    a, b = (teacher.sample(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a.photo, b.photo) and np.array_equal(a.drawing, b.drawing)
    assert (a.look, a.palette, a.degree) == (b.look, b.palette, b.degree)


def test_degree_zero_is_the_photo(teacher):
    """Up to the degradation of the input, which the target never has."""
    clean = [teacher.sample(np.random.default_rng(i), degree=0.0) for i in range(12)]
    closest = min(np.abs(s.photo.astype(int) - s.drawing).mean() for s in clean)
    assert closest < 1.0


def test_lazy_phase_runs_every_nth_step_with_its_weight():
    layer = nn.Linear(1, 1, bias=False).requires_grad_(False)
    before = float(layer.weight)
    phase = Phase("reg", lambda b: {"w": 0.1 * layer.weight.sum()}, torch.optim.SGD(layer.parameters(), 0.5), every=4)
    assert [s for s in range(9) if phase.due(s)] == [0, 4, 8]
    run_phase(phase, None)
    assert float(layer.weight) == pytest.approx(before - 0.5 * 0.1 * 4)
    assert not layer.weight.requires_grad


def test_not_finite_loss_stops_with_one_line(teacher, tmp_path):
    r = recipe(teacher, grad_loss=float("nan"))
    with pytest.raises(VtoonError, match="not finite"):
        fit(r, TrainOptions(tmp_path, 6, log_every=2))


def test_state_of_another_recipe_is_refused(teacher, tmp_path):
    torch.save({"step": 1, "rng": torch.get_rng_state(), "state": {"other": {}}}, tmp_path / "state.pt")
    with pytest.raises(VtoonError, match="other"):
        fit(recipe(teacher), TrainOptions(tmp_path, 6))
