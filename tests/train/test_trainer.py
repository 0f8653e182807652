"""A stopped and resumed run equals an uninterrupted one, bit for bit; lazy phases; failures are said."""

import errno
import json
import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from tiny import TINY
from torch import nn

from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector
from vtoon.image import load_image
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.face_net import PARTS, warp
from vtoon.system.target import append
from vtoon.train import looks
from vtoon.train.pairs import OFFSET_GRID, SHEET, SHEET_EYES, Drawings, FaceSheets, parts_of, sheet_of
from vtoon.train.recipes.distill import FOCUS, LOOSE_ADV, LOOSE_GRAD, LOOSE_REC, Distill, DistillOptions
from vtoon.train.teacher import PairTeacher, look_teacher
from vtoon.train.trainer import Phase, TrainOptions, fit, run_phase
from vtoon.train.views import View
from vtoon.weights.checkpoint import load_checkpoint

SHIFT = (6, -3)


@pytest.fixture(scope="module")
def teacher():
    """Two noise faces; the look inverts them and shifts them by (6, -3) px."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
    photos = small.repeat(SHEET // 16, 1).repeat(SHEET // 16, 2)
    points = rng.uniform(150, 350, (2, 68, 2)).astype(np.float32)
    parts = rng.integers(0, 255, (2, SHEET // 4, SHEET // 4, len(PARTS)), dtype=np.uint8)
    faces = FaceSheets(Path(), photos, points, np.array([128.0, 64.0], np.float32), parts)
    offsets = np.full((2, OFFSET_GRID, OFFSET_GRID, 2), SHIFT, np.float16)
    return PairTeacher(faces, {"invert": Drawings(faces, 255 - photos, offsets)}, size=64)


def recipe(teacher, steps=6, **options):
    torch.manual_seed(0)
    model = BuiltinVToonify(["invert"], ["own", "swap"], TINY)
    defaults = {"batch": 2, "perc_loss": 0.0, "adv_from": 0.5}
    return Distill(model, teacher, DistillOptions(steps=steps, **defaults | options))


def weights(recipe):
    return torch.cat([p.flatten() for p in (*recipe.model.parameters(), *recipe.ema.module.parameters())])


def test_resumed_run_equals_uninterrupted(teacher, tmp_path):
    whole = recipe(teacher)
    fit(whole, TrainOptions(tmp_path / "whole", 6))
    fit(recipe(teacher), TrainOptions(tmp_path / "parts", 4))
    second = recipe(teacher)
    assert fit(second, TrainOptions(tmp_path / "parts", 6)) == 6
    assert torch.equal(weights(whole), weights(second))


def test_another_training_does_not_go_on_from_this_ones_state(teacher, tmp_path):
    fit(recipe(teacher), TrainOptions(tmp_path, 1))
    before = (tmp_path / "state.pt").read_bytes()
    other = recipe(teacher)
    other.about["photos"] = "others"
    with pytest.raises(VtoonError, match=r"a training with photos .*, not others; give yours another --name"):
        fit(other, TrainOptions(tmp_path, 2))
    assert (tmp_path / "state.pt").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_step_is_finished_before_the_run_is_saved(teacher, tmp_path, number):
    whole, stopped = recipe(teacher), recipe(teacher)
    fit(whole, TrainOptions(tmp_path / "whole", 6))
    terms = stopped.discriminator_terms

    def interrupted(batch):
        os.kill(os.getpid(), number)  # G has made its step of this batch, D and F have not
        return terms(batch)

    phase = next(p for p in stopped.phases if p.name == "D")
    phase.loss = interrupted
    assert fit(stopped, TrainOptions(tmp_path / "parts", 6)) == 4  # the discriminator joins at step 3
    resumed = recipe(teacher)
    assert fit(resumed, TrainOptions(tmp_path / "parts", 6)) == 6
    assert torch.equal(weights(whole), weights(resumed))


def test_training_lowers_the_loss(teacher, tmp_path):
    r = recipe(teacher, steps=120, adv_loss=0.0, tmp_loss=0.0, lr=5e-3)
    batch = r.next_batch(0)
    r.close()
    before = float(r.generator_terms(batch)["rec"])
    fit(r, TrainOptions(tmp_path, 120))
    assert float(r.generator_terms(batch)["rec"]) < 0.9 * before


@pytest.mark.parametrize("phase", ["G", "D"])
def test_bf16_gives_the_gradients_of_fp32(teacher, phase):
    """The same direction; the last layers' weights, which see all rounding before them, within a few percent."""
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        r = recipe(teacher, dtype=dtype, adv_from=0.0, tmp_loss=0.0)
        batch = r.next_batch(0)
        r.close()
        r.generator_terms(batch)
        chosen = next(p for p in r.phases if p.name == phase)
        for p in chosen.parameters:
            p.requires_grad_(True)
        sum(chosen.loss(batch).values()).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in chosen.parameters if p.grad is not None]))
    assert gradients[1].dtype == torch.float32
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98


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
    a, b = (teacher.pair(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a.photo, b.photo) and np.array_equal(a.drawing, b.drawing)
    assert (a.look, a.eye_distance) == (b.look, b.eye_distance)
    a, b = (teacher.face_sample(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a.photo, b.photo) and np.array_equal(a.fields, b.fields)


def test_photo_and_drawing_of_a_pair_are_aligned(teacher):
    """Up to the degradation of the photo, which the drawing never has."""
    pairs = [teacher.pair(np.random.default_rng(i)) for i in range(12)]
    assert min(np.corrcoef(p.photo.ravel(), p.drawing.ravel())[0, 1] for p in pairs) < -0.98


@pytest.mark.parametrize("look", ["cartoon", "comic"])
def test_the_drawing_of_a_pair_is_the_stylizers_drawing(look):
    """Training pairs are cut from cached drawings; they must be what `looks.stylize` gives for the whole face."""
    astronaut = data.astronaut()
    sheet, landmarks = sheet_of(astronaut, FaceDetector().detect(astronaut)[0])
    teacher = look_teacher(look)
    offsets = teacher.offsets(landmarks, (SHEET, SHEET))
    coarse = cv2.resize(offsets, (OFFSET_GRID, OFFSET_GRID), interpolation=cv2.INTER_AREA)
    parts = parts_of(sheet, landmarks)
    faces = FaceSheets(Path(), sheet[None], landmarks.points[None], np.array([SHEET_EYES]), parts[None])
    pairs = PairTeacher(faces, {look: Drawings(faces, teacher.paint(sheet, landmarks)[None], coarse[None])})
    middle = (SHEET - 1) / 2
    _, drawing, _ = pairs.render(0, 0, View(SHEET, SHEET_EYES, 0.0, (middle, middle)), degree=1.0)
    expected = looks.stylize(sheet, landmarks, look)
    assert np.abs(looks.finish(look, drawing).astype(int) - expected).mean() < 0.5


def test_fields_are_in_eye_distances_along_the_axes_of_the_view(teacher):
    lengths, mirrored = set(), set()
    for i in range(8):
        sample = teacher.face_sample(np.random.default_rng(i))
        dx, dy = sample.fields[0].reshape(2, -1).mean(1)
        lengths.add(round(float(np.hypot(dx, dy)) * SHEET_EYES, 2))
        mirrored.add(bool(dx < 0))
        assert sample.fields.shape[2] * 2 == sample.photo.shape[0]
    assert lengths == {round(float(np.hypot(*SHIFT)), 2)} and len(mirrored) == 2


def test_warping_by_a_field_is_the_teachers_warp(teacher):
    """What the shape network is taught is what the model then does with it."""
    rows, cols = np.mgrid[:96, :96].astype(np.float32)
    smooth = np.stack([120 + 60 * np.sin(rows / 9), 120 + 60 * np.cos(cols / 11), 60 + cols], -1)
    offsets = np.stack([4 * np.sin(rows / 30), 5 * np.cos(cols / 30)], -1).astype(np.float32)
    expected = cv2.remap(smooth.astype(np.float32), cols + offsets[..., 0], rows + offsets[..., 1], cv2.INTER_LINEAR)
    coarse = cv2.resize(offsets, (12, 12), interpolation=cv2.INTER_AREA)
    result = warp(*(torch.from_numpy(a).movedim(-1, 0)[None].float() for a in (smooth, coarse)))[0].movedim(0, -1)
    assert np.abs(result.numpy() - expected)[16:-16, 16:-16].max() < 3


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
    torch.save(
        {"step": 1, "rng": {"cpu": torch.get_rng_state(), "cuda": []}, "state": {"other": {}}}, tmp_path / "state.pt"
    )
    with pytest.raises(VtoonError, match="other"):
        fit(recipe(teacher), TrainOptions(tmp_path, 6))


def test_eyes_and_mouths_count_more(teacher):
    r = recipe(teacher)
    batch = r.next_batch(0)
    r.close()
    none = replace(batch, parts=torch.zeros_like(batch.parts))
    every = replace(batch, parts=torch.ones_like(batch.parts))
    assert none.focus.shape == (2, 1, 64, 64)
    assert none.focus.unique().tolist() == [1.0] and every.focus.unique().tolist() == [1.0 + FOCUS]


def test_lines_drawn_by_hand_bind_less_and_are_judged_more(teacher):
    r = recipe(teacher, adv_from=0.0, tmp_loss=0.0)
    batch = r.next_batch(0)
    r.close()
    r.disc.eval()  # its spectral norms stand still
    assert batch.exact.flatten().tolist() == [1.0, 1.0]
    exact, loose = (r.generator_terms(b) for b in (batch, replace(batch, exact=torch.zeros_like(batch.exact))))
    for name, share in (("rec", LOOSE_REC), ("grad", LOOSE_GRAD), ("adv", LOOSE_ADV), ("feat", 1.0)):
        assert float(loose[name] / exact[name]) == pytest.approx(share, rel=1e-4)


class OneNumber:
    """The smallest recipe: a number that falls to 0."""

    about: ClassVar[dict] = {}

    def __init__(self):
        self.net = nn.Linear(1, 1)
        self.phases = [Phase("G", self.terms, torch.optim.SGD(self.net.parameters(), 0.1))]
        self.state = {"net": self.net}

    def terms(self, batch):
        return {"rec": self.net(batch).square().mean()}

    def next_batch(self, step):
        return torch.ones(1, 1)

    def preview(self):
        return np.zeros((8, 8, 3), np.uint8)

    def end_step(self, step): ...
    def export(self, folder, step): ...
    def close(self): ...


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_costs_logs_and_previews_but_not_the_run(tmp_path, caplog, monkeypatch):
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    monkeypatch.setattr("PIL.Image.Image.save", full)
    options = TrainOptions(tmp_path, 6, log_every=1, preview_every=2)
    with caplog.at_level("WARNING"):
        assert fit(OneNumber(), options) == 6
    assert sum("No space left on device); the training goes on" in line for line in caplog.messages) == 1
    assert (tmp_path / "state.pt").exists() and not list(tmp_path.glob("*preview*"))


def test_a_state_that_cannot_be_written_is_an_error_and_the_last_one_stays(tmp_path, monkeypatch):
    fit(OneNumber(), TrainOptions(tmp_path, 2))
    before = (tmp_path / "state.pt").read_bytes()
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(VtoonError, match=r"No space left on device.*is kept"):
        fit(OneNumber(), TrainOptions(tmp_path, 4))
    assert (tmp_path / "state.pt").read_bytes() == before and not list(tmp_path.glob("*.part*"))


def test_half_a_line_is_taken_back(tmp_path):
    path = tmp_path / "log.jsonl"
    append(path, b"one\n")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6, limit[1]))
        with pytest.raises(OSError):
            append(path, b"second\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    append(path, b"three\n")
    assert path.read_text() == "one\nthree\n"


def test_tensorboard_reads_the_curves(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(OneNumber(), TrainOptions(tmp_path, 4, log_every=2))
    found = accumulator.EventAccumulator(str(tmp_path)).Reload()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(e.step, pytest.approx(e.value)) for e in found.Scalars("G/rec")] == [
        (e["step"], e["G/rec"]) for e in lines
    ]
