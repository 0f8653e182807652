"""A look's shape is made stronger in a model's file: its own map alone, in proportion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import TINY

from vtoon.models.builtin import BuiltinVToonify
from vtoon.weights.checkpoint import load_checkpoint, save_checkpoint

SCRIPT = Path(__file__).parents[2] / "scripts" / "reshape_look.py"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = BuiltinVToonify(["one", "two"], ["own"], TINY)
    torch.nn.init.normal_(net.face.fields.weight, std=0.01)
    save_checkpoint(tmp_path / "model.safetensors", net, {})
    return tmp_path / "model.safetensors"


def reshaped(path: Path, *rest: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, path, *rest], capture_output=True, text=True, timeout=120)


def test_one_look_is_reshaped_by_the_factor(model: Path) -> None:
    def shapes() -> list[torch.Tensor]:
        x = torch.linspace(-1, 1, 64 * 64).reshape(1, 1, 64, 64).expand(1, 3, -1, -1)
        net = load_checkpoint(model).model
        with torch.no_grad():
            return [net.shape(x, torch.tensor([look]), torch.tensor([[64.0]])) for look in (0, 1)]

    before = shapes()
    assert reshaped(model, "two", "1.5").returncode == 0
    after = shapes()
    assert torch.equal(before[0], after[0]) and before[1].abs().max() > 0.1
    assert torch.allclose(after[1], 1.5 * before[1], rtol=5e-3, atol=1e-3)  # half precision
    assert load_checkpoint(model).provenance["reshaped"] == {"two": 1.5}


@pytest.mark.parametrize(("rest", "said"), [(("three", "1.5"), "one, two"), (("two", "9"), "from 0")])
def test_what_cannot_be_is_one_line(model: Path, rest: tuple[str, str], said: str) -> None:
    before, done = model.read_bytes(), reshaped(model, *rest)
    assert done.returncode and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert model.read_bytes() == before
