"""Network pickles of StyleGAN2-ADA for PyTorch, read as data.

Such a pickle stores each module as a call of one function with a dict: `type`, `version`, `module_src` (the source
that NVIDIA's loader executes), `class_name`, `state`. Here the call makes a record, and the source stays text.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.weights.safe_pickle import NUMPY_NAMES, Call, PlainDict, Refused, load_pickle, shown, torch_size, volume
from vtoon.weights.torch_file import LEGACY_HEAD, rehearse_legacy

NETWORKS = ("G", "D", "G_ema")
WHAT = "a StyleGAN2-ADA network pickle"
MAX_NAME = 200  # letters
TENSORFLOW_NAME = 1000  # bytes within which a pickle of TensorFlow's StyleGAN2 names its class


@dataclass(frozen=True)
class Network:
    """One network of a pickle."""

    class_name: str
    kwargs: dict[str, object]  # plain settings (z_dim, w_dim, img_resolution, ...) and what the constructor was given
    state: dict[str, Tensor]  # parameters and buffers under NVIDIA's names: synthesis.b4.const, mapping.fc0.weight, ...


class Held:
    """A tensor, out of the reach of the pickle: PyTorch lets a pickle change one that it has made."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __setstate__(self, state: object) -> None:
        raise Refused("it changes a tensor after making it")


class Record:
    """A module that is not built: its class name and its attributes."""

    def __init__(self, description: object) -> None:
        if not isinstance(description, dict) or not isinstance(description.get("state"), dict):
            raise Refused("it stores a module in an unknown way")
        name = description.get("class_name")
        self.class_name = name if isinstance(name, str) else "unknown"
        self.state = description["state"]

    def __setstate__(self, state: object) -> None:
        raise Refused("it changes a module after making it")


def load_networks(path: Path) -> dict[str, Network]:
    """The networks of a pickle: some of "G", "D", "G_ema".

    Raises VtoonError where the file is damaged, of another kind, or names anything that data does not need.
    """
    data = path.read_bytes()
    if b"dnnlib.tflib" in data[:TENSORFLOW_NAME]:
        raise VtoonError(f"{path}: a network pickle of TensorFlow; convert it with StyleGAN2-ADA's legacy.py first")
    content = load_pickle(data, NAMES, path, WHAT)
    content = content if isinstance(content, dict) else {}
    records = {name: content[name] for name in NETWORKS if isinstance(content.get(name), Record)}
    if not records:
        raise VtoonError(f"{path}: a pickle without a network; expected {WHAT} with G, D and G_ema")
    try:
        return {name: _network(record) for name, record in records.items()}
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise VtoonError(f"{path}: damaged, or not {WHAT} ({shown(str(error))}); get the file again") from None


def _network(record: Record) -> Network:
    given = record.state.get("_init_kwargs")
    settings = {k: v for k, v in record.state.items() if isinstance(v, bool | int | float | str) and k[:1] != "_"}
    return Network(record.class_name, settings | dict(given or {}), dict(_flatten(record, "", set())))


def _flatten(record: Record, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer with its full name. No module may come twice: nested sharing would never end."""
    if not isinstance(record, Record) or id(record) in seen:
        raise ValueError(f"stored twice, or no module: {prefix[:-1] or 'the whole'}")
    seen.add(id(record))
    for group in ("_parameters", "_buffers"):
        for name, held in record.state.get(group, {}).items():
            if isinstance(held, Held):
                yield prefix + _plain(name), held.tensor
    for name, module in record.state.get("_modules", {}).items():
        if module is not None:
            yield from _flatten(module, f"{prefix}{_plain(name)}.", seen)


def _plain(name: object) -> str:
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise ValueError("a module or weight without a proper name")
    return name


def _load_storage(data: bytes) -> Held:
    """The numbers of one storage, flat: PyTorch writes it as a file of its own inside the pickle."""
    if not data.startswith(LEGACY_HEAD):
        raise Refused("it stores numbers in an unknown way")
    rehearse_legacy(io.BytesIO(data))
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(storage, torch.storage.TypedStorage):
        raise Refused("it stores numbers in an unknown way")
    return Held(torch.empty(0, dtype=storage.dtype).set_(storage))


def _tensor(storage: Held, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Held:
    """A view of a storage. Strides may not repeat numbers, or a small file could ask for any amount of memory."""
    if volume(size) > storage.tensor.numel():
        raise Refused("a tensor claims more numbers than the file holds")
    return Held(storage.tensor.as_strided(size, stride, offset))  # raises where it would leave the storage


def _parameter(held: Held, *_: object) -> Held:
    return held


NAMES: Mapping[str, object] = {
    **NUMPY_NAMES,
    "collections.OrderedDict": PlainDict,
    "dnnlib.util.EasyDict": PlainDict,
    "builtins.set": Call(set),
    "__builtin__.set": Call(set),
    "torch.Size": Call(torch_size),
    "torch._utils._rebuild_tensor_v2": Call(_tensor),
    "torch._utils._rebuild_parameter": Call(_parameter),
    "torch.storage._load_from_bytes": Call(_load_storage),
    "torch_utils.persistence._reconstruct_persistent_obj": Call(Record),
}
