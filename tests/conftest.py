"""Inputs that tests of several packages share: a tiny random model, small clips."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small import SmallEncoder, save_published
from tiny import TINY

import vtoon.pipeline.stylize
from vtoon.cli import launcher, main
from vtoon.models.builtin import BuiltinVToonify
from vtoon.painters.published import PublishedModel
from vtoon.types import Frame
from vtoon.video import VideoWriter
from vtoon.weights.checkpoint import DEFAULT_CHECKPOINT, save_checkpoint

MakeClip = Callable[..., Path]
LOGGER = logging.NOTSET, [], True  # level, handlers, whether it passes on


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr."""
        (line,) = self.err.splitlines()
        return line


def pytest_configure(config: pytest.Config) -> None:
    """Processes that test side by side share the processor, the commands they start too."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    threads = max(1, (os.cpu_count() or 1) // workers)
    torch.set_num_threads(threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of the built-in kind with random weights and four styles."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_checkpoint(path, BuiltinVToonify(["cartoon", "comic"], ["own", "sunset"], TINY), {"steps": 0})
    return path


@pytest.fixture(autouse=True)
def the_model_that_ships(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of tests/web: a page that is served beside a test has a model of its own as long as it runs."""
    if request.path.parent.name != "web":
        monkeypatch.setattr(vtoon.pipeline.stylize, "DEFAULT_CHECKPOINT", DEFAULT_CHECKPOINT)


@pytest.fixture(scope="session")
def published_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small published models in VToonify's layout; see small.save_published. Not to be written to."""
    return save_published(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published models take this style encoder and need no file for it."""
    monkeypatch.setattr(PublishedModel, "encoder", SmallEncoder())


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """The one real face: uint8 [H, W, 3]."""
    return pytest.importorskip("skimage.data").astronaut()[0:320, 60:380]


@pytest.fixture(scope="session")
def pair(portrait: np.ndarray) -> np.ndarray:
    """Twins, uint8 [160, 320, 3]: nothing but their place tells them apart."""
    small = cv2.resize(portrait, (160, 160), interpolation=cv2.INTER_AREA)
    return np.hstack([small, small])


@pytest.fixture(scope="session")
def pair_clip(tmp_path_factory: pytest.TempPathFactory, pair: np.ndarray) -> Path:
    """Six frames of the twins, one px further down each. Not to be written to."""
    path = tmp_path_factory.mktemp("pair") / "pair.mkv"
    with VideoWriter(path, rate=25, preset="ultrafast") as writer:
        for i in range(6):
            writer.write(Frame(np.roll(pair, i, 0), i))
    return path


@pytest.fixture
def make_clip() -> MakeClip:
    """make_clip(path, frames=6, image=None): a short video of `image`, or of moving stripes without a face."""

    def make(path: Path, frames: int = 6, image: np.ndarray | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        stripes = np.tile((np.arange(64) * 4).astype(np.uint8)[None, :, None], (48, 1, 3))
        with VideoWriter(path, rate=25, preset="ultrafast" if path.suffix != ".webm" else None) as writer:
            for i in range(frames):
                writer.write(Frame(np.roll(stripes, 2 * i, 1) if image is None else image, i))
        return path

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Nets this small only wait for one another in two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def keep_logger() -> Iterator[None]:
    """Commands set up the logger of the process, those of a module's fixtures too; every test finds it as it was."""
    log = logging.getLogger("vtoon")
    log.level, log.handlers, log.propagate = LOGGER
    yield
    log.level, log.handlers, log.propagate = LOGGER


@pytest.fixture
def command(capsys: pytest.CaptureFixture) -> Callable[..., Ended]:
    """command("stylize", ...) runs `vtoon stylize ...`; command("style_transfer.py", ...) runs the launcher."""

    def run(*args: object) -> Ended:
        capsys.readouterr()
        words = [str(arg) for arg in args]
        program = main.main
        if words and words[0] == "style_transfer.py":
            program, words = launcher.main, words[1:]
        try:
            program(words)
            code = 0
        except SystemExit as stop:
            code = stop.code
        return Ended(code, *capsys.readouterr())

    return run
