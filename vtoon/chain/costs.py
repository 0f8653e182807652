"""What each kind of work takes on this machine: measured by a step or two of the trainings themselves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from vtoon.chain.plan import STUDENT_BATCH, VTOONIFY_BATCH
from vtoon.chain.stage import Stage, Work
from vtoon.errors import VtoonError
from vtoon.image import load_image
from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator
from vtoon.painters.engine import pick_dtype
from vtoon.system.measure import seconds_of
from vtoon.train.dataset import Dataset
from vtoon.train.lessons import FinetuneOptions
from vtoon.train.memory import kept_bytes
from vtoon.train.pairs import OFFSET_GRID, SHEET, SHEET_CENTRE, SHEET_EYES, Drawings, FaceSheets, find_face
from vtoon.train.recipes.distill import Distill, DistillOptions
from vtoon.train.recipes.encoder_pretrain import EncoderPretrain
from vtoon.train.recipes.finetune import StyleGANFinetune
from vtoon.train.recipes.vtoonify import VToonifyDistill, Weights
from vtoon.train.settings import Settings
from vtoon.train.students import PRESETS, build_student
from vtoon.train.teacher import PairTeacher
from vtoon.train.teachers.faces import FaceCodes
from vtoon.train.teachers.toonify import ToonifyTeacher
from vtoon.train.trainer import run_phase
from vtoon.weights.dlib_embedding import load_face_embedding

START = 5.0  # seconds of a command that does little: Python, PyTorch, a file or two
IDLE = 600 * 2**20  # bytes of a process that holds PyTorch
SOME = 2  # pictures of a measured step, at least
FACE = 0.4  # seconds to find one, where none could be measured
ADAM = 5  # weight, gradient, two moments, the average


@dataclass(frozen=True)
class Costs:
    """Seconds for one unit of each kind of work, and bytes that its command needs."""

    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def time(self, work: Work) -> float:
        """Seconds of a part of a stage."""
        return START * work.amount if work.unit == "start" else self.seconds[work.unit] * work.amount

    def of(self, stage: Stage) -> float:
        """Seconds of a stage."""
        return START + sum(map(self.time, stage.work))

    def held(self, stage: Stage) -> int:
        """Bytes of a stage's command."""
        return IDLE + max((self.memory.get(work.unit, 0) for work in stage.work), default=0)

    def content(self) -> dict:
        return asdict(self)


def measure(
    net: Generator, preset: str, batch: int, device: torch.device, pictures: list[Path], new: bool, road: str
) -> Costs:
    """`net`: the generator, or one of its shape; `pictures`: some, to find faces in; `new`: whether it is taught from
    nothing; `road`: see plan.Facts."""
    alone, dual = road == "one", road == "dual"
    seconds, memory = {"face": _face(pictures)}, {"face": 300 * 2**20}
    if new or not alone:
        seconds["gan"], memory["gan"] = _generator(net, batch, device)
        seconds["base"], memory["base"] = 1.4 * seconds["gan"], memory["gan"]  # with path lengths, and the warm-up
    if alone:
        seconds["one"], memory["one"] = _single(net, device), 10 * _bytes(net)
    if dual:
        seconds["dual"], memory["dual"] = 2.5 * seconds["gan"], 2 * memory["gan"]  # two paths, and what compares
        seconds["code"], memory["code"] = _single(net, device), 10 * _bytes(net)
    seconds["pretrain"], seconds["vtoonify"], seconds["painted"], held = _vtoonify(net, device)
    memory |= {"pretrain": held, "vtoonify": held}
    seconds["student"], memory["student"] = _student(preset, device)
    return Costs(seconds, memory)


def _face(pictures: list[Path]) -> float:
    """Seconds to find the face of a picture, in the mean of a few."""
    from vtoon.faces import FaceDetector

    detector, times = FaceDetector(), []
    for path in pictures[:4]:
        try:
            image = load_image(path)[0]
        except VtoonError:
            continue
        times.append(seconds_of(lambda image=image: find_face(detector, image), torch.device("cpu")))
    return max(1.3 * float(np.mean(times[1:] or times)), 0.05) if times else FACE  # and to cut it out and write it


def _generator(net: Generator, batch: int, device: torch.device) -> tuple[float, int]:
    """Seconds for a picture, bytes for a batch, of a fine-tuning."""
    net, disc = _like(net), Discriminator(net.size, net.channels)
    some = min(batch, SOME)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.npy"
        rng = np.random.default_rng(0)
        np.save(path, rng.integers(0, 255, (4, net.size, net.size, 3), np.uint8))
        data = Dataset(path, net.size, device)
        dtype = pick_dtype("auto", device, half=torch.bfloat16)
        recipe = StyleGANFinetune(net, disc, data, FinetuneOptions(batch=some, device=device, dtype=dtype))
        lesson = recipe.next_batch(0)
        shares = [(phase, 1 / phase.every) for phase in recipe.phases]
        taken = [_second(lambda p=phase: run_phase(p, lesson), device) * share for phase, share in shares]
        for p in recipe.taught_g.values():
            p.requires_grad_(True)
        kept = kept_bytes(lambda: recipe.generator_terms(lesson), net)
        recipe.close()
    return sum(taken) / some, ADAM * (_bytes(net) + _bytes(disc)) + kept * batch // some


def _single(net: Generator, device: torch.device) -> float:
    """Seconds for a step that learns a single picture."""
    net = _like(net).to(device).requires_grad_(True)

    def step() -> None:
        net(net.to_w_plus(net.style(torch.randn(1, net.style[1].weight.shape[1], device=device)))).sum().backward()

    return 2 * _second(step, device)  # and the perceptual network's


def _vtoonify(net: Generator, device: torch.device) -> tuple[float, float, float, int]:
    """Seconds for a picture of stage one, of stage two, of a face drawn; and bytes for a batch."""
    from vtoon.train.memory import need

    net = _like(net).to(device).eval().requires_grad_(False)
    faces = FaceCodes(net, None, None, torch.zeros(net.style_dim, device=device))
    teacher = ToonifyTeacher(faces, net)
    settings, times = Settings(10, SOME, device=device), []
    for pretrain in (True, False):
        student = teacher.build(3)
        if pretrain:
            recipe = EncoderPretrain(student, teacher, settings, None, {})
        else:
            recipe = VToonifyDistill(student, teacher, settings, Weights(), None, None, lambda *_: None, {})
        lesson = recipe.next_batch(9)
        times.append(sum(_second(lambda p=p, b=lesson: run_phase(p, b), device) for p in recipe.phases) / SOME)
        times[-1] += _second(lambda r=recipe: r.next_batch(9), device) / SOME
    held = need(student.config, 0, False, False, False, False).of(VTOONIFY_BATCH)
    return times[0], times[1], 0.5 * times[1] + 2 * FACE, held  # and found again in the drawing


def _student(preset: str, device: torch.device) -> tuple[float, int]:
    """Seconds for a pair, bytes for a batch."""
    teacher = _sheets()
    model = build_student(PRESETS[preset], teacher, 0)
    dtype = pick_dtype("auto", device, half=torch.bfloat16)
    options = DistillOptions(10, batch=SOME, dtype=dtype)
    recipe = Distill(model, teacher, options, load_face_embedding(), device)
    try:
        lesson = recipe.next_batch(8)
        taken = sum(_second(lambda p=p: run_phase(p, lesson), device) for p in recipe.phases)
        kept = kept_bytes(lambda: recipe.generator_terms(lesson), model)
        rng = np.random.default_rng(0)
        taken += SOME * seconds_of(lambda: (teacher.pair(rng), teacher.face_sample(rng)), torch.device("cpu"))
    finally:
        recipe.close()
    return taken / SOME, ADAM * _bytes(model) + kept * STUDENT_BATCH // SOME


def _sheets() -> PairTeacher:
    """Two faces of noise, whose eyes are where they are on every sheet."""
    rng = np.random.default_rng(0)
    points = np.array(SHEET_CENTRE) + rng.normal(0, SHEET_EYES / 2, (68, 2))
    for first, side in ((36, -1), (42, 1)):
        points[first : first + 6] = SHEET_CENTRE[0] + side * SHEET_EYES / 2, SHEET_CENTRE[1]
    photos = rng.integers(0, 255, (2, SHEET, SHEET, 3), np.uint8)
    parts = rng.integers(0, 255, (2, SHEET // 4, SHEET // 4, 8), np.uint8)
    landmarks = np.stack([points] * 2).astype(np.float32)
    faces = FaceSheets(Path("noise"), photos, landmarks, np.full(2, 64, np.float32), parts)
    offsets = np.zeros((2, OFFSET_GRID, OFFSET_GRID, 2), np.float16)
    return PairTeacher(faces, {"noise": Drawings(faces, photos, offsets)})


def _second(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the second time: the first warms up."""
    work()
    return seconds_of(work, device)


def _like(net: Generator) -> Generator:
    """Random weights of the same shape."""
    with torch.random.fork_rng(devices=[]):
        return Generator(net.size, net.style_dim, net.mapping_layers, net.channels)


def _bytes(net: torch.nn.Module) -> int:
    return sum(p.numel() * 4 for p in net.parameters())
