"""notebooks/own_style.ipynb runs top to bottom, at its smallest."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from vtoon.image import save_image
from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator

pytestmark = pytest.mark.usefixtures("one_thread")
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "own_style.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
CHANNELS = {4: 4, 8: 4, 16: 4}


@pytest.fixture
def here(tmp_path, monkeypatch, portrait):
    """An empty folder with two pictures, and a generator of 16 px."""
    monkeypatch.chdir(tmp_path)
    save_image("pictures/a.png", portrait)
    save_image("pictures/deeper/b.png", np.ascontiguousarray(portrait[:, ::-1]))
    torch.manual_seed(0)
    parts = {"g_ema": Generator(16, 12, 2, CHANNELS).state_dict(), "d": Discriminator(16, CHANNELS).state_dict()}
    torch.save(parts, "faces16.pt")
    shown = types.ModuleType("IPython.display")
    shown.Image = str
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return tmp_path


def run(**settings: object) -> dict:
    """The cells in one namespace; the first one's settings are replaced."""
    names: dict = {}
    for number, cell in enumerate(CELLS):
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
        if number == 0:
            assert settings.keys() <= names.keys()
            names.update(settings)
    return names


def test_it_is_kept_without_outputs():
    assert CELLS and not any(cell["outputs"] or cell["execution_count"] for cell in CELLS)


def test_it_runs_top_to_bottom(here):
    names = run(SIZE=16, RESUME="faces16.pt", KIMG=0.008, BATCH=4)
    assert len(names["faces"]) == 2 and names["snapshot"].name == "network-snapshot-000000.pt"
    assert names["sheet"].ndim == 3 and any(key.startswith("KID by") for key in names["measured"][-1])
    assert names["drawings"] == [Path("toon.png")] and Path("directions/direction_01.png").is_file()
