"""Folders as a user has them, the smallest generator, stages in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut
from small_base import base_in

from vtoon.chain.costs import Costs
from vtoon.chain.process import Ended
from vtoon.image import save_image

DRAWINGS = 3  # one more than a style of single pictures has, here


@pytest.fixture(autouse=True)
def small_nets(one_thread):
    """Every test here."""


def portraits(folder: Path, count: int) -> Path:
    """One face, in another light each."""
    face = astronaut()[0:256, 92:348]
    for i in range(count):
        save_image(folder / f"{i}.png", (face * (0.6 + 0.4 * i / count)).astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """drawings/, faces/, base.pt. Not to be written to."""
    root = tmp_path_factory.mktemp("style")
    portraits(root / "drawings", DRAWINGS)
    portraits(root / "faces", 2)
    base_in(root)
    return root


class InProcess:
    """Runs stages here, and keeps which."""

    def __init__(self, command) -> None:
        self.command, self.names = command, []

    def __call__(self, stage, log) -> Ended:
        self.names.append(stage.name)
        more = ("--processes", 1) if stage.name == "drawings" else ()
        ended = self.command(*stage.command, *more)
        lines = (ended.out + ended.err).splitlines()
        return Ended(ended.code, None, lines[-1] if lines else "")


@pytest.fixture
def in_process(command, monkeypatch) -> InProcess:
    """Stages of `vtoon style make` run in this process."""
    runner = InProcess(command)
    monkeypatch.setattr("vtoon.chain.process.run", runner)
    return runner


@pytest.fixture
def costs(monkeypatch) -> None:
    """Every unit of work takes a second; nothing is measured."""
    units = "face gan base one pretrain vtoonify painted student".split()
    monkeypatch.setattr("vtoon.chain.costs.measure", lambda *_: Costs(dict.fromkeys(units, 1.0)))
