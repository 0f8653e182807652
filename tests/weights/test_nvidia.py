import os
import pickle
import sys

import pytest
import torch
from foreign import Persistent, foreign_names, published_keys, save_networks, trap

from vtoon.errors import VtoonError
from vtoon.weights.nvidia import load_networks

FUNCTION = "torch_utils.persistence._reconstruct_persistent_obj"


def refused(path, reason):
    with pytest.raises(VtoonError, match=reason) as caught:
        load_networks(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_networks_come_out_as_flat_state_dicts(tmp_path, protocol):
    state = published_keys("stylegan2_ada_generator_64")
    state = {key: torch.randn_like(value) for key, value in state.items()}
    state["synthesis.b4.const"] = torch.randn(4, 6).half().t()  # not contiguous, half precision
    critic = {"b4.out.weight": torch.randn(1, 3)}
    save_networks(tmp_path / "n.pkl", {"G": state, "D": critic, "G_ema": state}, protocol=protocol)
    networks = load_networks(tmp_path / "n.pkl")
    assert list(networks) == ["G", "D", "G_ema"]
    assert networks["G_ema"].state.keys() == state.keys() and networks["D"].state.keys() == critic.keys()
    for key, value in networks["G_ema"].state.items():
        assert value.dtype == state[key].dtype
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)


def test_settings_are_kept(tmp_path):
    save_networks(tmp_path / "n.pkl", {"G_ema": {"a": torch.ones(1)}})
    network = load_networks(tmp_path / "n.pkl")["G_ema"]
    assert network.class_name == "Generator"
    assert network.kwargs["img_resolution"] == 64 and network.kwargs["w_dim"] == 512
    assert network.kwargs["mapping_kwargs"] == {"num_layers": 8}
    assert network.kwargs["weight_gain"] == pytest.approx(2**0.5)


def test_the_source_inside_is_never_run(tmp_path):
    source = f"open({str(tmp_path / 'ran')!r}, 'w')"
    save_networks(tmp_path / "n.pkl", {"G_ema": {"a": torch.ones(1)}}, source)
    assert load_networks(tmp_path / "n.pkl")["G_ema"].state["a"] == 1
    assert not (tmp_path / "ran").exists()


def test_a_hostile_pickle_is_refused(tmp_path):
    (tmp_path / "n.pkl").write_bytes(pickle.dumps({"G_ema": trap(os.mkdir, str(tmp_path / "ran"))}))
    refused(tmp_path / "n.pkl", "names .*mkdir")
    assert not (tmp_path / "ran").exists()


def test_numbers_that_are_a_hostile_pickle_are_refused(tmp_path):
    for inner in (pickle.dumps(trap(os.mkdir, str(tmp_path / "ran"))), b"PK\x03\x04"):
        (tmp_path / "n.pkl").write_bytes(pickle.dumps({"G_ema": trap(torch.storage._load_from_bytes, inner)}))
        refused(tmp_path / "n.pkl", "unknown way")
    torch.save(trap(os.mkdir, str(tmp_path / "ran")), tmp_path / "inner.pt", _use_new_zipfile_serialization=False)
    inner = (tmp_path / "inner.pt").read_bytes()
    (tmp_path / "n.pkl").write_bytes(pickle.dumps({"G_ema": trap(torch.storage._load_from_bytes, inner)}))
    refused(tmp_path / "n.pkl", "n.pkl")
    assert not (tmp_path / "ran").exists()


def test_numbers_that_repeat_one_another_are_refused(tmp_path):
    """A tensor of stride 0 in the place of a storage would let a small file ask for any amount of memory."""
    torch.save(torch.ones(1).expand(1 << 34), tmp_path / "inner.pt", _use_new_zipfile_serialization=False)
    inner = (tmp_path / "inner.pt").read_bytes()
    (tmp_path / "n.pkl").write_bytes(pickle.dumps({"G_ema": trap(torch.storage._load_from_bytes, inner)}))
    refused(tmp_path / "n.pkl", "unknown way")


@pytest.mark.parametrize(
    "size, stride",
    [((1 << 40,), (0,)), ((100,), (1,)), ((2,), (10,)), ((2,), (-1,))],
    ids=["bomb", "more", "far", "back"],
)
def test_a_tensor_that_leaves_its_numbers_is_refused(tmp_path, size, stride):
    tensor = trap(torch._utils._rebuild_tensor_v2, torch.ones(4)._typed_storage(), 0, size, stride, False, {})
    (tmp_path / "n.pkl").write_bytes(pickle.dumps({"G_ema": tensor}))
    refused(tmp_path / "n.pkl", "n.pkl")


def test_a_tensor_cannot_be_changed_after_it_is_made(tmp_path):
    class Changed:
        def __reduce__(self):
            make, args = torch.ones(4).__reduce_ex__(2)[:2]
            return make, args, (torch.ones(4)._typed_storage(), 0, (1 << 40,), (1,))

    (tmp_path / "n.pkl").write_bytes(pickle.dumps({"G_ema": Changed()}))
    refused(tmp_path / "n.pkl", "changes a tensor")


def test_modules_within_modules_without_end_are_refused(tmp_path):
    with foreign_names(FUNCTION) as (function,):
        inner = Persistent(function, "", _parameters={})
        for _ in range(40):
            inner = Persistent(function, "", _modules={"a": inner, "b": inner})
        (tmp_path / "n.pkl").write_bytes(pickle.dumps({"G_ema": inner}))
    refused(tmp_path / "n.pkl", "stored twice")


def test_modules_too_deep_and_names_that_are_none(tmp_path):
    with foreign_names(FUNCTION) as (function,):
        deep = []
        for _ in range(3000):
            deep = trap(function, {"state": {"_modules": {"a": deep}}})
        odd = trap(function, {"state": {"_parameters": {(1, 2): torch.ones(1)}}})
        long = trap(function, {"state": {"_parameters": {"a" * 999: torch.ones(1)}}})
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(100_000)
        try:
            contents = [pickle.dumps({"G": net}) for net in (deep, odd, long)]
        finally:
            sys.setrecursionlimit(limit)
    for content in contents:
        (tmp_path / "n.pkl").write_bytes(content)
        refused(tmp_path / "n.pkl", "n.pkl")


@pytest.mark.parametrize(
    "state", [3, {"_parameters": 3}, {"_modules": {"a": 3}}, {"_modules": {"a": None}, "_buffers": []}]
)
def test_a_module_of_an_unknown_form(tmp_path, state):
    with foreign_names(FUNCTION) as (function,):
        (tmp_path / "n.pkl").write_bytes(pickle.dumps({"G": trap(function, {"state": state})}))
    refused(tmp_path / "n.pkl", "n.pkl")


def test_a_pickle_of_tensorflow_is_explained(tmp_path):
    with foreign_names("dnnlib.tflib.network.Network") as (function,):
        (tmp_path / "n.pkl").write_bytes(pickle.dumps((trap(function), 1, 2)))
    refused(tmp_path / "n.pkl", "TensorFlow")


def test_a_pickle_without_networks(tmp_path):
    (tmp_path / "n.pkl").write_bytes(pickle.dumps({"w": [1, 2]}))
    refused(tmp_path / "n.pkl", "without a network")


def test_a_cut_pickle(tmp_path):
    save_networks(tmp_path / "n.pkl", {"G_ema": {"a": torch.ones(1)}})
    data = (tmp_path / "n.pkl").read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "n.pkl").write_bytes(data[: int(share * len(data))])
        refused(tmp_path / "n.pkl", "damaged")
