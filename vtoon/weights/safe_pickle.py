"""Pickles read as data: tensors, arrays, plain containers and inert records are built, nothing else is ever called.

A pickle is a program for a small machine whose one dangerous instruction is "call what this name stands for". Here
a name stands for what a table says it does, which is never the real thing, and a name outside the table ends the
reading.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vtoon.errors import VtoonError, describe

MAX_OPERATIONS = 1_000_000  # of one pickle; the published ones need less than a tenth
MAX_TUPLE = 1000  # things in a tuple, and in those within it
MAX_RANK, MAX_SIDE = 32, 1 << 40  # of an array: within them, sizes are quick to multiply
MAX_BITS = 64  # of a whole number: among larger ones there are many of the same hash, and a dict of them takes for ever
NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
# They reach outside of the file (copyreg's registry, persistent objects, out-of-band buffers), or build what takes for
# ever to hash or compare.
REFUSED_OPERATIONS = {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"}
REFUSED_OPERATIONS |= {"FROZENSET", "LONG4"}
STORES = {"PUT", "BINPUT", "LONG_BINPUT"}


class Refused(pickle.UnpicklingError):
    """The pickle asks for something that data does not need."""


class Call:
    """A function that a pickle may call, and to which it can do nothing else.

    A bare function or class would not do: a pickle's BUILD can set attributes on any object it holds.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable) -> None:
        self._function = function

    def __call__(self, *args: object) -> object:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise Refused("it changes a function")


class PlainDict(dict):
    """For OrderedDict and for dicts that are also attributes: only the items are kept."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Attributes are dropped. Defined so that a pickle cannot set them on the class either."""


class DType:
    """A NumPy dtype as pickled. Only numbers are read: a forged dtype can break NumPy itself."""

    def __init__(self, name: str, *_: object) -> None:
        if not isinstance(name, str):
            raise Refused("it makes up a type of numbers")
        self.name, self._order = name, "="

    def __setstate__(self, state: tuple) -> None:
        self._order = state[1]

    def read(self, data: bytes, shape: tuple[int, ...], fortran: bool = False) -> np.ndarray:
        """The array with these bytes. Raises Refused where they are not numbers, ValueError where the size differs."""
        if self.name not in NUMBERS or self._order not in ("<", ">", "|", "="):
            raise Refused(f"it holds values of type {self.name}, not numbers")
        if volume(shape) * np.dtype(self.name).itemsize != len(data):
            raise ValueError(f"{len(data)} bytes do not fill an array of shape {tuple(shape)}")
        return np.frombuffer(data, np.dtype(self._order + self.name)).reshape(shape, order="F" if fortran else "C")


class Array:
    """A NumPy array as pickled. `value`: the array; of an array of objects the list of them."""

    value: np.ndarray | list | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.value = data if dtype.name.startswith("O") else dtype.read(data, shape, fortran)


def volume(shape: tuple[int, ...]) -> int:
    """How many numbers an array has. Raises ValueError where the shape is none."""
    if len(shape) > MAX_RANK or not all(0 <= n < MAX_SIDE for n in shape):
        raise ValueError("not the shape of an array")
    return math.prod(shape)


def scalar(dtype: DType, data: bytes) -> float | int | bool:
    """For NumPy's function that rebuilds one number."""
    return dtype.read(data, ()).item()


def torch_size(sides: tuple[int, ...] = ()) -> tuple[int, ...]:
    """For torch.Size, which a pickle makes out of a list of any length."""
    if len(sides) > MAX_RANK or not all(isinstance(side, int) for side in sides):
        raise Refused("torch.Size is made of something else than the sides of a tensor")
    return tuple(sides)


def _encode(text: str, encoding: str) -> bytes:
    """For `_codecs.encode`, which is how Python's oldest protocols write bytes."""
    if encoding != "latin1":
        raise Refused("it encodes text in an unusual way")
    return text.encode("latin1")


def _not_to_be_called(*_: object) -> None:
    raise Refused("it calls a class that it should only name")


NUMPY_NAMES: Mapping[str, object] = {
    "numpy.ndarray": Call(_not_to_be_called),  # an argument of _reconstruct
    "numpy.dtype": Call(DType),
    "_codecs.encode": Call(_encode),
    **{f"numpy.{core}.multiarray._reconstruct": Call(lambda *_: Array()) for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": Call(scalar) for core in ("core", "_core")},
}


class _Unpickler(pickle._Unpickler):  # Python's own, for the C one cannot be asked what it builds
    def __init__(self, file: BinaryIO, names: Mapping[str, object]) -> None:
        super().__init__(file)
        self._names = names
        self._tuples: dict[int, tuple[int, tuple]] = {}  # id -> numbers in it and in those within it; the tuple itself

    def _weigh(self, load: Callable) -> None:
        """Build a tuple, unless it is one within another over and over: to hash it would take for ever."""
        load(self)
        made = self.stack[-1]
        weight = 1 + sum(self._tuples[id(item)][0] if id(item) in self._tuples else 1 for item in made)
        if weight > MAX_TUPLE:
            raise Refused(f"it builds a tuple of more than {MAX_TUPLE:,} things, those in tuples within it counted")
        self._tuples[id(made)] = weight, made

    dispatch = pickle._Unpickler.dispatch | {
        code[0]: lambda self, load=pickle._Unpickler.dispatch[code[0]]: self._weigh(load)
        for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
    }

    def find_class(self, module: str, name: str) -> object:
        full = f"{module}.{name}"
        if full not in self._names:
            raise Refused(f"it names {full}")
        return self._names[full]


class _Nothing:
    """For whatever a name stands for and whatever it makes: takes everything, keeps nothing."""

    def __init__(self, *_: object) -> None: ...
    def __setstate__(self, _: object) -> None: ...
    def __setitem__(self, *_: object) -> None: ...
    def append(self, _: object) -> None: ...
    def extend(self, _: object) -> None: ...


class _Rehearsal(_Unpickler):
    def find_class(self, module: str, name: str) -> object:
        return self._names.get(f"{module}.{name}", _Nothing)

    def persistent_load(self, _: object) -> _Nothing:
        return _Nothing()


def rehearse(file: BinaryIO, pickles: int = 1) -> None:
    """Go through the pickles that lie one after the other in a file, and build nothing that they name.

    For a reader of its own that calls nothing it should not, as PyTorch's, but does not ask how long that takes.
    Raises Refused where it would take for ever, or whatever a damaged pickle causes.
    """
    for _ in range(pickles):
        start = file.tell()
        _check_operations(file, REFUSED_OPERATIONS - {"BINPERSID"})
        file.seek(start)
        _Rehearsal(file, {"torch.Size": Call(torch_size)}).load()


def load_pickle(data: bytes, names: Mapping[str, object], path: Path, what: str) -> object:
    """What the pickle describes. `names`: full name -> stand-in. `path` and `what` (it should be) are for the errors.

    Raises VtoonError where the pickle is damaged or names anything else; nothing of it is run in either case.
    """
    try:
        _check_operations(io.BytesIO(data))
        return _Unpickler(io.BytesIO(data), names).load()
    except Refused as reason:
        raise refusal(path, str(reason)) from None
    except Exception as error:  # a damaged or forged pickle can make the stand-ins fail in any way
        raise VtoonError(f"{path}: damaged, or not {what} ({shown(describe(error))}); get the file again") from None


def shown(text: str, limit: int = 120) -> str:
    """Text out of a file, fit for one line of a terminal."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * limit])
    return " ".join(line.split())[:limit]


def refusal(path: Path, reason: str) -> VtoonError:
    """The error for a file that is more than data."""
    return VtoonError(
        f"{path}: refused, because {shown(reason)}: weights need no such thing, and nothing in the file was run; "
        "get it from its publisher"
    )


def _check_operations(file: BinaryIO, refused: Set[str] = REFUSED_OPERATIONS) -> None:
    """Walk through a pickle without doing what it says.

    The real unpickler reserves memory by what length and index fields claim; here they are checked against the file.
    Raises ValueError where it is cut off.
    """
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if operation.name in refused:
            raise Refused(f"it uses {operation.name}")
        if isinstance(argument, int) and argument.bit_length() > MAX_BITS:
            raise Refused(f"it holds a number of more than {MAX_BITS} bits")
        if count > MAX_OPERATIONS or (operation.name in STORES and argument > MAX_OPERATIONS):
            raise Refused(f"it needs more than {MAX_OPERATIONS:,} steps")
