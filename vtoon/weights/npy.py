"""`.npy` files: an array of numbers, or a pickled dict of such arrays, read without running the pickle."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from vtoon.errors import VtoonError, describe
from vtoon.weights.safe_pickle import NUMPY_NAMES, Array, load_pickle, shown

WHAT = "a .npy file of numbers"


def load_npy(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """One array, or the dict of arrays that `np.save` pickles.

    Raises VtoonError where the file is damaged or holds anything else.
    """
    with path.open("rb") as file:
        try:
            shape, fortran, dtype = _read_header(file)
            data = file.read()
            if not dtype.hasobject:
                return _numbers(data, shape, fortran, dtype)
        except ValueError as error:
            raise VtoonError(f"{path}: damaged, or not {WHAT} ({shown(describe(error))}); get the file again") from None
    return _arrays(load_pickle(data, NUMPY_NAMES, path, WHAT), path)


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    version = npy_format.read_magic(file)
    if version not in readers:
        raise ValueError(f"version {version} of the format")
    return readers[version](file)


def _numbers(data: bytes, shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> np.ndarray:
    if dtype.kind not in "biuf":
        raise ValueError(f"values of type {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes do not fill {dtype} {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _arrays(content: object, path: Path) -> dict[str, np.ndarray]:
    """The dict inside an array of one object."""
    items = content.value if isinstance(content, Array) else None
    codes = items[0] if isinstance(items, list) and len(items) == 1 else None
    if not isinstance(codes, dict) or not codes or not all(isinstance(key, str) for key in codes):
        raise VtoonError(f"{path}: pickled objects other than a dict of named arrays; that is all that is read of .npy")
    values = {key: getattr(code, "value", None) for key, code in codes.items()}
    for key, value in values.items():
        if not isinstance(value, np.ndarray):
            raise VtoonError(
                f"{path}: entry {shown(key, 40)!r} is no array of numbers; expected a dict of named arrays"
            )
    return values
