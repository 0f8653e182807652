import pickle

import pytest
import torch
from safetensors.torch import save_file
from tiny import TINY

from vtoon.errors import VtoonError
from vtoon.models.builtin import BuiltinVToonify
from vtoon.weights.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint, save_checkpoint


@pytest.fixture
def model():
    return BuiltinVToonify(["a", "b"], ["own", "p"], TINY)


def test_a_file_holds_everything(model, tmp_path):
    save_checkpoint(tmp_path / "m.safetensors", model, {"steps": 3})
    loaded = load_checkpoint(tmp_path / "m.safetensors")
    assert loaded.config == TINY and loaded.provenance == {"steps": 3}
    assert [s.name for s in loaded.bank.styles] == ["a", "b", "a-p", "b-p"]
    for a, b in zip(loaded.model.state_dict().values(), model.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=5e-3, rtol=1e-3)
    assert not list(tmp_path.glob("*.part"))


def test_missing_file(tmp_path):
    with pytest.raises(VtoonError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02}q\x00."])
def test_not_a_checkpoint(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(VtoonError, match="not a vtoon checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_a_pickle_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(VtoonError, match="not a vtoon checkpoint"):
        load_checkpoint(tmp_path / "bomb.pt")
    assert not (tmp_path / "ran").exists()


def test_a_foreign_safetensors_file(tmp_path):
    save_file({"w": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(VtoonError, match="not a vtoon model file"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_a_truncated_file(model, tmp_path):
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, model, {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(VtoonError, match="not a vtoon checkpoint"):
        load_checkpoint(path)


def test_weights_that_are_not_finite_are_refused(model, tmp_path):
    with torch.no_grad():
        model.codes.zoom[0, 0] = float("nan")
    save_checkpoint(tmp_path / "m.safetensors", model, {})
    with pytest.raises(VtoonError, match="not finite"):
        load_checkpoint(tmp_path / "m.safetensors")


def test_the_built_in_model_is_here_and_small():
    assert DEFAULT_CHECKPOINT.stat().st_size < 15e6
    bank = load_checkpoint().bank
    assert len(bank) >= 30
    assert len({s.look for s in bank.styles}) >= 6 and len({s.palette for s in bank.styles}) >= 5
    assert bank.find(26).look == "cartoon"
