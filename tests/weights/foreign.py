"""Small files of the published kinds, and hostile ones."""

from __future__ import annotations

import json
import pickle
import sys
import types
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from vtoon.models.vtoonify import VToonifyConfig

PARITY = Path(__file__).parents[1] / "data" / "parity"
SMALL = {
    "in_size": 64,
    "out_size": 256,
    "style_dim": 8,
    "mapping_layers": 2,
    "stem_channels": 2,
    "channels": {4: 4, 8: 4, 16: 4, 32: 8, 64: 6, 128: 4, 256: 2},
}


def small_config(backbone: str) -> VToonifyConfig:
    """A VToonify of the published kind, but small."""
    return VToonifyConfig(backbone=backbone, **SMALL)


def published_keys(name: str) -> dict[str, torch.Tensor]:
    """Every key of a published file, each with a tensor of the right rank, two numbers wide."""
    shapes = {key: value["shape"] for key, value in json.loads((PARITY / f"{name}.json").read_text()).items()}
    return {key: torch.ones([min(size, 2) for size in shape]) for key, shape in shapes.items()}


def prefixed(prefix: str, state: dict) -> dict:
    return {prefix + key: value for key, value in state.items()}


def publish(folder: Path) -> dict[str, Path]:
    """One file of each kind, under its published name, each in the form its project saves."""
    encoder = {
        k.removeprefix("encoder."): v for k, v in published_keys("vtoonify_d").items() if k.startswith("encoder.")
    }
    training = {"args": Namespace(size=256), "g_optim": {"state": {}}, "ada_aug_p": np.float64(0.5)}
    raft = {"fnet.conv1.weight": torch.ones(1), "update_block.gru.convz1.weight": torch.ones(1)}
    psp = prefixed("encoder.", published_keys("psp_encoder")) | {"decoder.input.input": torch.ones(1)}
    contents = {
        "vtoonify_s026_d0.5.pt": {"g_ema": published_keys("vtoonify_d")},
        "vtoonify.pt": {"g_ema": published_keys("vtoonify_t")},
        "pretrain.pt": {"g_ema": encoder},
        "generator.pt": {"g_ema": published_keys("dualstylegan_256")},
        "finetune-000600.pt": {"g": {}, "d": {}, "g_ema": published_keys("stylegan2_generator_64"), **training},
        "encoder.pt": {"state_dict": psp, "opts": {"start_from_latent_avg": True}, "latent_avg": torch.ones(18, 2)},
        "faceparsing.pth": OrderedDict(published_keys("bisenet")),
        "raft-things.pth": OrderedDict(prefixed("module.", raft)),
    }
    for name, content in contents.items():
        torch.save(content, folder / name, _use_new_zipfile_serialization=name != "faceparsing.pth")
    codes = {f"{i}.jpg": np.full((1, 18, 4), i, np.float32) for i in range(3)}
    np.save(folder / "exstyle_code.npy", codes, allow_pickle=True)
    np.save(folder / "directions.npy", np.ones((5, 18, 4), np.float32))
    save_networks(folder / "network-snapshot-000600.pkl", {"G_ema": published_keys("stylegan2_ada_generator_64")})
    return {path.name: path for path in folder.iterdir()}


def trap(call: Callable, *args: object) -> object:
    """An object whose pickle calls `call`."""

    class Trap:
        def __reduce__(self) -> tuple:
            return call, args

    return Trap()


@contextmanager
def foreign_names(*names: str) -> Iterator[list[type[dict]]]:
    """Dicts, which can be called, under the full names that a foreign pickle uses, importable while it is written."""
    before = dict(sys.modules)
    made = []
    for full in names:
        module, _, name = full.rpartition(".")
        made.append(type(name, (dict,), {"__module__": module}))
        for end in (i for i, letter in enumerate(f"{module}.") if letter == "."):
            sys.modules.setdefault(module[:end], types.ModuleType(module[:end]))
        setattr(sys.modules[module], name, made[-1])
    try:
        yield made
    finally:
        for module in sys.modules.keys() - before.keys():
            del sys.modules[module]


class Persistent:
    """A module as NVIDIA's pickles store it: a call of `function` with one dict."""

    def __init__(self, function: Callable, source: str, kind: type[dict] = dict, **state: object) -> None:
        meta = kind(type="class", version=6, module_src=source, class_name="Generator", state=state)
        self.__reduce__ = lambda: (function, (meta,))

    def __reduce_ex__(self, protocol: int) -> tuple:
        return self.__reduce__()


def nested(state: dict[str, torch.Tensor], make: Callable[..., Persistent]) -> Persistent:
    """A flat state dict as a tree of modules; what PyTorch keeps beside the weights is there, too."""
    own = {key: value for key, value in state.items() if "." not in key}
    inner = sorted({key.split(".")[0] for key in state if "." in key})
    children = {n: {k.removeprefix(f"{n}."): v for k, v in state.items() if k.startswith(f"{n}.")} for n in inner}
    return make(
        training=False,
        weight_gain=np.sqrt(2),
        _non_persistent_buffers_set=set(),
        _forward_hooks=OrderedDict(),
        _init_kwargs={"w_dim": 512, "mapping_kwargs": {"num_layers": 8}},
        img_resolution=64,
        _parameters=OrderedDict((k, torch.nn.Parameter(v)) for k, v in own.items()),
        _buffers=OrderedDict(gone=None),
        _modules=OrderedDict((name, nested(child, make)) for name, child in children.items()),
    )


def save_networks(path: Path, states: dict[str, dict], source: str = "", protocol: int = 4) -> None:
    """A network pickle as StyleGAN2-ADA for PyTorch writes them."""
    with foreign_names("torch_utils.persistence._reconstruct_persistent_obj", "dnnlib.util.EasyDict") as (call, kind):
        networks = {
            name: nested(state, lambda **k: Persistent(call, source, kind, **k)) for name, state in states.items()
        }
        content = {"training_set_kwargs": {"path": "faces.zip"}, "augment_pipe": None, **networks}
        path.write_bytes(pickle.dumps(content, protocol))
