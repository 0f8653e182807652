import json
import pickle
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny import TINY

import vtoon
from vtoon.errors import VtoonError
from vtoon.models.builtin import BuiltinVToonify
from vtoon.weights.checkpoint import DEFAULT_CHECKPOINT, LIVE_CHECKPOINT, load_checkpoint, save_checkpoint


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
    assert len({s.look for s in bank.styles}) >= 6 and len({s.palette for s in bank.styles}) >= 4
    assert bank.find(26).look == "toon3d"


ABSURD = {
    "channels": [3, None, [], "wide", {"4": 4}, {"32": 8192}, {"many": 3}],
    "style_dim": [0, -1, 8192, 10**9, 64.0, "64", True],
    "mapping_layers": [10**6, 2],
    "out_size": [2**30, 100, 0, None],
    "in_size": [2**30, 12],
    "kernel_bank": [10**9, 1000],
    "backbone": [[], "vgg", 3],
    "something_new": [1],
}


@pytest.mark.parametrize("name", ABSURD)
def test_an_absurd_configuration_is_refused_at_once(tmp_path, name):
    """Before anything of its size is built."""
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, BuiltinVToonify(["a"], ["own"], TINY), {})
    with safe_open(path, "pt") as file:
        metadata, state = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    for value in ABSURD[name]:
        config = json.loads(metadata["config"])
        if isinstance(value, dict) and len(value) == 1 and "32" in value:
            value = config["channels"] | value
        save_file(state, path, metadata | {"config": json.dumps(config | {name: value})})
        started = time.monotonic()
        with pytest.raises(VtoonError, match="damaged") as caught:
            load_checkpoint(path)
        assert time.monotonic() - started < 3 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["looks", "palettes", "provenance", "config"])
@pytest.mark.parametrize("value", [7, None, ["a", 3], {"a": 1}, ["a"] * 5, "a", [[]]])
def test_what_a_model_tells_is_checked_by_kind(tmp_path, name, value):
    if (name, type(value)) == ("provenance", dict):
        return
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, BuiltinVToonify(["a"], ["own"], TINY), {})
    with safe_open(path, "pt") as file:
        metadata, state = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    save_file(state, path, metadata | {name: json.dumps(value)})
    with pytest.raises(VtoonError, match="damaged"):
        load_checkpoint(path)


def test_the_quick_built_in_model_is_here_and_loads_by_name():
    assert LIVE_CHECKPOINT.stat().st_size < 2e6
    quick = vtoon.load("live", "cpu")
    assert quick.styles[0].name == load_checkpoint().bank.find(None).name == "toon3d"
