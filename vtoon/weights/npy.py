"""`.npy` files: an array of numbers, or a pickled dict of such arrays, read without running the pickle; and arrays
written row by row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import DTypeLike

from vtoon.errors import VtoonError, describe
from vtoon.weights.safe_pickle import NUMPY_NAMES, Array, load_pickle, shown

WHAT = "a .npy file of numbers"


class NpyWriter:
    """Appends rows to a .npy file. Their number, which its header tells, is known only at the end."""

    def __init__(self, file: BinaryIO, row: tuple[int, ...], dtype: DTypeLike) -> None:
        """`file`: open for writing, empty. `row`: the shape of each row."""
        self.file, self.row, self.dtype, self.rows = file, row, np.dtype(dtype), 0
        self._write_header()

    def append(self, row: np.ndarray) -> None:
        """The next row; it is turned into the file's type."""
        if row.shape != self.row:
            raise ValueError(f"a row of {row.shape} among rows of {self.row}")
        self.file.write(np.ascontiguousarray(row, self.dtype).data)
        self.rows += 1

    def finish(self) -> None:
        """After this the file is complete."""
        self.file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        # NumPy leaves room for the first number of the shape to grow: the header keeps its length.
        about = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.rows, *self.row)}
        npy_format.write_array_header_1_0(self.file, about)


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
        except Exception as error:  # NumPy reads a header with Python's parser, which a forged one makes fail anyhow
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
