"""PyTorch files (`.pt`, `.pth`): loaded with weights_only, so that nothing in them is run."""

from __future__ import annotations

import re
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from vtoon.errors import VtoonError, describe
from vtoon.weights.safe_pickle import DType, refusal, scalar, shown

ZIP_HEAD = b"PK\x03\x04"
LEGACY_HEAD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickled number that files before PyTorch 1.6 start with
# What published training checkpoints hold beside weights: their command line, numbers computed with NumPy.
DATA_NAMES = [
    Namespace,
    (DType, "numpy.dtype"),
    (scalar, "numpy.core.multiarray.scalar"),
    (scalar, "numpy._core.multiarray.scalar"),
]


def is_torch_file(head: bytes) -> bool:
    """By the first bytes of a file."""
    return head.startswith((ZIP_HEAD, LEGACY_HEAD))


def load_torch(path: Path) -> object:
    """What `torch.save` wrote. Tensors of today's format stay on disk until used.

    Raises VtoonError where the file is damaged, cut off or holds more than data.
    """
    with path.open("rb") as file:
        zipped = file.read(4) == ZIP_HEAD
    if zipped:
        _check_archive(path)
    try:
        with torch.serialization.safe_globals(DATA_NAMES):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UnpicklingError as error:
        if named := re.search(r"GLOBAL (\S+)", str(error)):
            raise refusal(path, f"it names {named[1]}") from None
        raise _damaged(path, error) from None
    except Exception as error:  # PyTorch lets whatever a damaged file causes through
        raise _damaged(path, error) from None


def tensors_in(state: object, path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict. Raises VtoonError where one claims to be larger than its data."""
    items = state.items() if isinstance(state, Mapping) else ()
    tensors = {key: value for key, value in items if isinstance(key, str) and isinstance(value, Tensor)}
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
            raise VtoonError(f"{path}: weight {shown(key)} is no plain tensor of real numbers; get the file again")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise refusal(path, f"weight {key} claims more numbers than the file holds")
    return tensors


def _check_archive(path: Path) -> None:
    """Today's format is a zip archive whose entries are not compressed: anything that would unfold is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError) as error:
        raise _damaged(path, error) from None
    if not any(entry.filename.endswith("/data.pkl") for entry in entries):
        raise VtoonError(f"{path}: an archive, but not of PyTorch; expected a .pt or .pth file")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise refusal(path, "it is compressed")


def _damaged(path: Path, error: BaseException) -> VtoonError:
    return VtoonError(f"{path}: damaged, cut off, or not a PyTorch file ({shown(describe(error))}); get the file again")
