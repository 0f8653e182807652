"""notebooks/inference_playground.ipynb runs, with the built-in kind of model and with a published one."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

import vtoon.pipeline.stylize
from vtoon.cli import common
from vtoon.compat import demo_model

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "inference_playground.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def run(tmp_path, monkeypatch, tiny_model, make_clip, portrait):
    """run(cells) executes cells in one namespace, in an empty folder, with the smallest model; gives the namespace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vtoon.pipeline.stylize, "DEFAULT_CHECKPOINT", tiny_model)
    monkeypatch.setattr(common, "DEMO_CLIP", make_clip(tmp_path / "demo.mp4", 3, portrait))
    monkeypatch.setattr("skimage.data.astronaut", lambda: portrait)
    shown = types.ModuleType("IPython.display")
    shown.Video = str
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", shown)

    def execute(cells: list[dict], **names: object) -> dict:
        for cell in cells:
            exec(compile("".join(cell["source"]).replace("200", "60"), cell["id"], "exec"), names)
        return names

    return execute


def test_it_is_kept_without_outputs():
    assert CELLS and not any(cell["outputs"] or cell["execution_count"] for cell in CELLS)


def test_it_runs_with_the_built_in_kind_of_model(run, tmp_path):
    names = run(CELLS)
    assert names["faces"] == 1 and names["summary"].frames == 3 and (tmp_path / "playground.mp4").is_file()
    assert names["pasted"].shape == names["photo"].shape and len(names["degrees"]) == 5 and len(names["looks"]) == 2
    assert names["published"] is None and "download_checkpoints.py" in names["message"]


def test_it_runs_with_published_files(run, portrait, published_folder, small_encoder, monkeypatch):
    path = published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt"
    monkeypatch.setattr(demo_model, "find_type", lambda name: (path, 1))
    monkeypatch.setitem(demo_model.STYLE_TYPES, "cartoon1-d", (path.name, 1))
    names = run([CELLS[0], *CELLS[-2:]], photo=portrait)
    assert names["published"].shape[:2] == tuple(4 * side for side in names["face"].shape[:2])
