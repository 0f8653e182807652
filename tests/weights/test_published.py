import os
import pickle
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import publish, published_keys, small_config, trap
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.weights.facts import facts
from vtoon.weights.published import Kind, load, load_directions, load_style_codes, load_vtoonify, recognise
from vtoon.weights.sizes import Specialty, misfit, specialty, vtoonify_config

KINDS = {
    "vtoonify_s026_d0.5.pt": (Kind.VTOONIFY_D, "vtoonify_d"),
    "vtoonify.pt": (Kind.VTOONIFY_T, "vtoonify_t"),
    "pretrain.pt": (Kind.PRETRAIN, None),
    "generator.pt": (Kind.DUALSTYLEGAN, "dualstylegan_256"),
    "finetune-000600.pt": (Kind.STYLEGAN2, "stylegan2_generator_64"),
    "encoder.pt": (Kind.STYLE_ENCODER, "psp_encoder"),
    "faceparsing.pth": (Kind.PARSING, "bisenet"),
    "raft-things.pth": (Kind.RAFT, None),
    "exstyle_code.npy": (Kind.STYLE_CODES, None),
    "directions.npy": (Kind.DIRECTIONS, None),
    "network-snapshot-000600.pkl": (Kind.NETWORKS, None),
}
SAYS = {
    "vtoonify_s026_d0.5.pt": {
        "backbone": "dualstylegan",
        "drawing": "256 px to 1024 px, 4 times the input",
        "style": "26 only",
    },
    "vtoonify.pt": {"backbone": "toonify"},
    "pretrain.pt": {"input": "256 px, 2 channels"},
    "generator.pt": {"image": "256 px", "mapping": "8 layers"},
    "finetune-000600.pt": {"image": "64 px", "mapping": "8 layers"},
    "encoder.pt": {"style code": "18 rows", "mean code": "in the file"},
    "faceparsing.pth": {"classes": "2"},
    "exstyle_code.npy": {"styles": "3, ids 0 to 2", "style code": "18 rows of 4", "first": "0.jpg, 1.jpg, 2.jpg"},
    "directions.npy": {"directions": "5, 18 rows of 4"},
    "network-snapshot-000600.pkl": {"networks": "G_ema", "img resolution": "64", "w dim": "512"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def refused(tmp_path):
    """refused(content, reason) saves it and checks that the file is refused in one line."""

    def check(content, reason, action=recognise, **how):
        path = tmp_path / "x.pt"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path, **how)
        with pytest.raises(VtoonError, match=reason) as caught:
            action(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value) and len(str(caught.value)) < 500

    return check


@pytest.fixture(scope="module")
def vtoonify_state():
    torch.manual_seed(0)
    return VToonify(small_config("dualstylegan")).state_dict()


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_known_by_its_keys(files, name):
    file = recognise(files[name])
    kind, keys = KINDS[name]
    assert file.kind is kind
    if keys:
        assert file.tensors.keys() == published_keys(keys).keys()
    assert SAYS.get(name, {}).items() <= dict(facts(file)).items()


def test_every_kind_is_published_and_described(files):
    assert {kind for kind, _ in KINDS.values()} == set(Kind) and set(files) == set(KINDS)


def test_what_a_file_holds_beside_weights(files):
    extras = recognise(files["encoder.pt"]).extras
    assert extras["opts"] == {"start_from_latent_avg": True} and extras["latent_avg"].shape == (18, 2)
    extras = recognise(files["finetune-000600.pt"]).extras
    assert extras["args"] == Namespace(size=256) and extras["ada_aug_p"] == 0.5


def test_parts_of_names_are_dropped(files):
    assert "input_layer.0.weight" in recognise(files["encoder.pt"]).tensors
    assert "fnet.conv1.weight" in recognise(files["raft-things.pth"]).tensors


def test_style_codes_and_directions(files):
    codes = load_style_codes(files["exstyle_code.npy"])
    assert list(codes) == ["0.jpg", "1.jpg", "2.jpg"] and (codes["2.jpg"] == 2).all()
    assert codes["2.jpg"].shape == (1, 18, 4) and codes["2.jpg"].dtype == torch.float32
    assert load_directions(files["directions.npy"]).shape == (5, 18, 4)


@pytest.mark.parametrize("backbone", ["dualstylegan", "toonify"])
def test_vtoonify_comes_with_its_configuration(tmp_path, backbone):
    net = VToonify(small_config(backbone))
    torch.save({"g_ema": net.state_dict()}, tmp_path / "v.pt")
    config, file = load_vtoonify(tmp_path / "v.pt")
    assert config == small_config(backbone)
    VToonify(config).load_state_dict(file.tensors)
    torch.testing.assert_close(file.tensors, dict(net.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize("backbone", ["dualstylegan", "toonify"])
def test_the_configuration_of_the_published_sizes(backbone):
    with torch.device("meta"):
        state = VToonify(VToonifyConfig(backbone=backbone)).state_dict()
    assert vtoonify_config(state) == VToonifyConfig(backbone=backbone)
    assert misfit(state, VToonify, VToonifyConfig(backbone=backbone)) is None


def test_a_model_with_other_weights_than_it_should_have(refused, vtoonify_state):
    def with_change(**change):
        return {"g_ema": {k: v for k, v in (vtoonify_state | change).items() if v is not None}}

    refused(with_change(**{"fusion_skip.0.bias": None}), "lacks fusion_skip.0.bias", load_vtoonify)
    refused(with_change(**{"generator.generator.input.input": None}), "without 'generator", load_vtoonify)
    refused(with_change(**{"what.bias": torch.ones(1)}), "also holds what.bias", load_vtoonify)
    refused(with_change(**{"fusion_skip.0.bias": torch.ones(9)}), r"fusion_skip.0.bias is \[9\]", load_vtoonify)


def test_weights_that_are_not_finite(refused, vtoonify_state):
    for value in (float("nan"), float("inf")):
        bad = torch.tensor([0.0, value, 0.0])
        refused(
            {"g_ema": vtoonify_state | {"fusion_skip.0.bias": bad}}, "fusion_skip.0.bias .*not finite", load_vtoonify
        )


def test_a_file_of_another_kind_is_named(files):
    for name, says in {
        "pretrain.pt": "encoder of VToonify alone.*expected VToonify-D model or VToonify-T model",
        "finetune-000600.pt": "--finetunegan_path",
        "exstyle_code.npy": "--exstyle_path",
    }.items():
        with pytest.raises(VtoonError, match=says):
            load_vtoonify(files[name])
    with pytest.raises(VtoonError, match="--ckpt: VToonify-D model; expected face parsing"):
        load(files["vtoonify_s026_d0.5.pt"], Kind.PARSING)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_torch_file_is_never_run(refused, tmp_path, legacy):
    content = {"g_ema": {"a": trap(os.mkdir, str(tmp_path / "ran"))}}
    refused(content, "names .*mkdir.*nothing in the file was run", _use_new_zipfile_serialization=not legacy)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_torch_file_that_would_be_read_for_ever(refused, legacy):
    nested = (1, 1)
    for _ in range(60):
        nested = (nested, nested)  # small here, but to hash it takes 2 ** 60 steps

    class Bomb:  # a dict of it cannot be made here, so the reading makes one
        def __reduce__(self):
            return OrderedDict, ([[nested, 1]],)

    refused({"g_ema": Bomb()}, "in tuples within it", _use_new_zipfile_serialization=not legacy)
    refused({"g_ema": {2**100: 1}}, "more than 64 bits", _use_new_zipfile_serialization=not legacy)


def test_a_bare_pickle_is_never_run(refused, tmp_path):
    refused(pickle.dumps({"g_ema": trap(os.mkdir, str(tmp_path / "ran"))}), "names .*mkdir")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_file_of_weights(refused, tmp_path):
    refused(b"", "empty")
    refused(b"What are weights?\n" * 100, "not a file of weights")
    refused(np.random.default_rng(0).bytes(9999), "not a file of weights")
    for path in (tmp_path, tmp_path / "none.pt"):
        with pytest.raises(VtoonError, match="no such file"):
            recognise(path)


def test_a_torch_file_of_something_else(refused):
    refused({"g_ema": {"some.weight": torch.ones(2)}}, "no known kind .*some.weight")
    refused(torch.ones(2), "no known kind")
    refused({"a": 1}, "no known kind")


def test_an_archive_of_something_else(refused, tmp_path):
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    refused((tmp_path / "a.npz").read_bytes(), "not of PyTorch")


@pytest.mark.parametrize("legacy", [False, True])
@settings(deadline=None, max_examples=30)
@given(share=st.floats(0.02, 0.98))
def test_a_cut_torch_file(tmp_path_factory, legacy, share):
    path = tmp_path_factory.mktemp("cut") / "x.pt"
    state = published_keys("stylegan2_generator_64")
    torch.save({"g_ema": state}, path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(VtoonError, match=r"damaged|refused") as caught:  # a name may be cut, too
        recognise(path)
    assert "\n" not in str(caught.value)


def test_a_small_file_cannot_ask_for_much_memory(refused, tmp_path):
    bomb = published_keys("stylegan2_generator_64") | {"input.input": torch.ones(1).expand(1, 1 << 30, 4, 4)}
    refused({"g_ema": bomb}, "more numbers than the file holds")
    torch.save({"g_ema": published_keys("stylegan2_generator_64")}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "packed.pt", "w", 8) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    refused((tmp_path / "packed.pt").read_bytes(), "compressed")


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_sparse_weights(refused):
    refused({"g_ema": {"a": torch.ones(2, 2).to_sparse()}}, "weight a is no plain tensor")


@pytest.mark.parametrize(
    "name, expected",
    [
        ("vtoonify_s_d.pt", Specialty()),
        ("vtoonify_s026_d0.5.pt", Specialty(26, 0.5)),
        ("vtoonify_s000_d0.5.pt", Specialty(0, 0.5)),
        ("vtoonify_s054_d_c.pt", Specialty(54, None, True)),
        ("vtoonify_s_d_c.pt", Specialty(None, None, True)),
        ("vtoonify.pt", None),
        ("my_s_doll.pt", None),
    ],
)
def test_what_a_name_tells(tmp_path, name, expected):
    assert specialty(tmp_path / name) == expected


@settings(deadline=None, max_examples=30)
@given(st.none() | st.integers(0, 999), st.none() | st.integers(0, 10), st.booleans())
def test_every_name_that_vtoonify_gives(style, tenths, colours):
    degree = None if tenths is None else tenths / 10
    name = f"_s{'' if style is None else f'{style:03d}'}_d{'' if degree is None else f'{degree:.1f}'}{'_c' * colours}"
    assert specialty(Path(f"vtoonify{name}.pt")) == Specialty(style, degree, colours)
