"""PyTorch files (`.pt`, `.pth`): loaded with weights_only, so that nothing in them is run."""

from __future__ import annotations

import io
import re
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import BinaryIO

import torch
from torch import Tensor

from vtoon.errors import VtoonError, describe
from vtoon.system.target import Target
from vtoon.weights.safe_pickle import DType, Refused, refusal, rehearse, scalar, shown

ZIP_HEAD = b"PK\x03\x04"
LEGACY_HEAD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickled number that files before PyTorch 1.6 start with
LEGACY_PICKLES = 4  # after it: version, machine, content, names of what follows
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
    try:
        with path.open("rb") as file:
            zipped = file.read(len(ZIP_HEAD)) == ZIP_HEAD
            file.seek(0)
            if zipped:
                _rehearse_archive(file, path)
            else:
                rehearse_legacy(file)
        with torch.serialization.safe_globals(DATA_NAMES):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except VtoonError:
        raise
    except Refused as reason:
        raise refusal(path, str(reason)) from None
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


def rehearse_legacy(file: BinaryIO) -> None:
    """See that a file as PyTorch wrote it before 1.6 can be read in a moment; raises as `rehearse` does."""
    file.seek(len(LEGACY_HEAD))
    rehearse(file, LEGACY_PICKLES)


def _rehearse_archive(file: BinaryIO, path: Path) -> None:
    """Today's format is a zip archive whose entries are not compressed: anything that would unfold is refused."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        content = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if not content:
            raise VtoonError(f"{path}: an archive, but not of PyTorch; expected a .pt or .pth file")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise refusal(path, "it is compressed")
        for entry in content:
            rehearse(io.BytesIO(archive.read(entry)))


def _damaged(path: Path, error: BaseException) -> VtoonError:
    return VtoonError(f"{path}: damaged, cut off, or not a PyTorch file ({shown(describe(error))}); get the file again")


def save_complete(content: object, path: Path) -> None:
    """torch.save beside the name, then rename: a full disk or a kill leaves the file that was there before.

    Raises VtoonError where it cannot be written.
    """
    target = Target(path, overwrite=True)
    try:
        target.create()
        torch.save(content, target.part)
        target.commit()
    except (OSError, RuntimeError) as error:  # torch's own writer turns a full disk into a RuntimeError
        reason = shown(str(error)) if isinstance(error, OSError) else "is the disk full?"
        raise VtoonError(f"{path}: cannot be written ({reason}); the file as it was before is kept") from None
    finally:
        target.discard()
