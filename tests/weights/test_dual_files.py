"""DualStyleGAN's published files: each has its place, and what lies there is looked at."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vtoon.models.stylegan2 import Generator
from vtoon.weights.dual_files import STYLES, files_of
from vtoon.weights.duals import grown
from vtoon.weights.lockfile import NAME

SCRIPT = Path(__file__).parents[2] / "scripts" / "download_checkpoints.py"
CHANNELS = dict.fromkeys((4, 8, 16, 32), 4)


@pytest.fixture
def show(capsys, monkeypatch, tmp_path):
    """show(STYLE, ...) runs the script with --dual on an empty folder; returns its exit code, lines, errors."""
    spec = importlib.util.spec_from_file_location("download_checkpoints", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)

    def run(*names):
        with pytest.raises(SystemExit) as ended:
            script.main([*names, "--dual", "--folder", str(tmp_path)])
        out, err = capsys.readouterr()
        return ended.value.code, out.splitlines(), err

    return run


def test_every_file_has_a_place():
    names = [file.name for file in files_of()]
    assert len(names) == len(set(names)) == 4 + 6 * len(STYLES) and "cartoon/refined_exstyle_code.npy" in names
    assert {file.codes for file in files_of(["pixar"])} == {None, 122}


def test_what_lies_there_is_looked_at_and_recorded(show, tmp_path):
    code, lines, _ = show("cartoon")
    assert code == 0 and len(lines) == 11 and all(line.endswith(("missing", "here:")) for line in lines)
    (tmp_path / "cartoon").mkdir()
    net = grown(Generator(32, 8, 1, CHANNELS), tmp_path)
    torch.save({"g_ema": net.state_dict()}, tmp_path / "cartoon" / "generator.pt")
    few = {f"{i}.jpg": np.zeros((1, 8, 8), np.float32) for i in range(3)}
    np.save(tmp_path / "cartoon" / "exstyle_code.npy", few, allow_pickle=True)
    code, lines, _ = show("cartoon")
    found = {line.split()[0].rpartition("/")[2]: line for line in lines}
    assert code == 0 and found["generator.pt"].endswith("there")
    assert "3 styles instead of the published 317" in found["exstyle_code.npy"]
    assert list(json.loads((tmp_path / NAME).read_text())["files"]) == ["cartoon/generator.pt"]
    torch.save({"g_ema": net.generator.state_dict()}, tmp_path / "cartoon" / "generator.pt")
    code, lines, _ = show("cartoon")
    assert code == 1 and any("WRONG: " in line and "StyleGAN2 generator" in line for line in lines)


def test_another_style_is_one_line(show):
    code, _, err = show("carton")
    assert code == 1 and err.startswith("error: 'carton': no published style; did you mean cartoon?")
