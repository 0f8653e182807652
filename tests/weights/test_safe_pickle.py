import copyreg
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from foreign import foreign_names, trap
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.weights.nvidia import NAMES
from vtoon.weights.safe_pickle import Array, PlainDict, load_pickle

PATH = Path("x.pkl")
GOOD = pickle.dumps({"a": [1, "b", None], "n": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.float64(2.5)}, 4)


def load(data):
    return load_pickle(data, NAMES, PATH, "a pickle of numbers")


def refused(data, reason):
    with pytest.raises(VtoonError, match=reason) as caught:
        load(data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_numbers_and_containers_come_back(protocol):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = {"a": [1, -2.5, "b", None, True, (1, 2)], "n": array, "f": np.asfortranarray(array), "s": np.int64(3)}
    loaded = load(pickle.dumps(content, protocol))
    assert loaded["a"] == content["a"] and loaded["s"] == 3
    assert isinstance(loaded["n"], Array)
    for name in ("n", "f"):
        np.testing.assert_array_equal(loaded[name].value, array)


@pytest.mark.parametrize("dtype", ["?", "<i8", ">i4", "u1", "<f2", "<f4", ">f8"])
def test_every_type_of_number(dtype):
    array = np.array([0, 1, 7], dtype)
    np.testing.assert_array_equal(load(pickle.dumps(array, 4)).value, array)


@pytest.mark.parametrize("call", [os.mkdir, eval, exec, __import__, getattr, open, os.system], ids=lambda c: c.__name__)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_calls_something_is_refused(call, protocol, tmp_path):
    data = pickle.dumps({"a": trap(call, str(tmp_path / "ran"))}, protocol)
    refused(data, f"names .*{call.__name__}.*nothing in the file was run")
    assert not (tmp_path / "ran").exists()


def test_no_way_through_the_attributes_of_an_allowed_name():
    refused(pickle.PROTO + b"\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "names numpy.ndarray.tofile")


def test_a_class_that_is_only_named_cannot_be_called():
    refused(b"cnumpy\nndarray\n(I3\ntR.", "only name")


def test_a_pickle_cannot_change_what_it_calls():
    # BUILD with a pair of states would set attributes on the stand-ins, for every later file, too
    for name in (b"collections\nOrderedDict", b"numpy\ndtype", b"torch._utils\n_rebuild_tensor_v2"):
        refused(b"c" + name + b"\n(N}X\x04\x00\x00\x00evilI1\nstb.", "refused|damaged")
    assert not hasattr(PlainDict, "evil")


def test_attributes_of_a_dict_are_dropped():
    loaded = load(b"ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsI1\nsb.")
    assert loaded == {} and list(loaded.items()) == []


def test_names_registered_in_the_process_are_not_reached():
    copyreg.add_extension("os", "system", 240)
    try:
        refused(b"\x80\x02\x82\xf0.", "EXT1")
    finally:
        copyreg.remove_extension("os", "system", 240)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",  # BINBYTES8 of a terabyte
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",  # a frame of a terabyte
        b"\x80\x04Nr\xff\xff\xff\x7f.",  # memo entry two thousand million
        b"\x80\x04" + b"N" * 1_100_000 + b".",
    ],
    ids=["bytes", "frame", "memo", "steps"],
)
def test_a_small_file_cannot_ask_for_much(data):
    try:
        assert load(data) is None  # a frame's length is only a hint
    except VtoonError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "dtype, shape, data",
    [("f4", (1 << 40,), b"1234"), ("f4", (-1, -1), b"1234"), ("V4", (1,), b"1234"), ("O8", (), b"")],
)
def test_an_array_that_lies_about_itself(dtype, shape, data):
    class Lie:
        def __reduce__(self):
            reconstruct, (_, *rest), _ = np.zeros(1).__reduce__()
            return reconstruct, (np.ndarray, *rest), (1, shape, trap(np.dtype, dtype, False, True), False, data)

    content = pickle.dumps(Lie(), 4)
    if dtype == "O8":
        assert load(content).value == b""  # not an array of numbers; whoever wants one refuses it
    else:
        refused(content, "refused|damaged")


def test_what_a_file_says_cannot_fill_the_terminal():
    refused(b"c" + b"a\x1b[2Jb" * 10_000 + b"\nname\n.", "refused")
    nested = [1]
    for _ in range(60):
        nested = [nested, nested]  # small here, but 2 ** 60 numbers when printed
    for call in (np.dtype, np.core.multiarray.scalar if hasattr(np, "core") else np.dtype):
        refused(pickle.dumps(trap(call, nested), 4), "refused|damaged")


def test_an_unknown_class_is_refused():
    with foreign_names("somewhere.Thing") as (function,):
        data = pickle.dumps(trap(function), 4)
    refused(data, "names somewhere.Thing")


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1))
def test_a_cut_pickle_is_one_clear_error(length):
    refused(GOOD[:length], "x.pkl")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_pickle_is_data_or_one_clear_error(changes):
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    try:
        load(bytes(data))
    except VtoonError as error:
        assert "\n" not in str(error)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_data_or_one_clear_error(data):
    try:
        load(b"\x80\x04" + data)
    except VtoonError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "nested",
    [
        b")" + b"2\x86" * 60,  # each tuple holds the one before twice: to hash it takes 2**60 steps
        b")q\x00" + b"h\x00h\x00\x86q\x00" * 60,
        b")" + b"2\x87"[:1] * 2 + b"\x87" + b"22\x87" * 40,
        b"(" + b"K\x01" * 1001 + b"t",
    ],
)
def test_tuples_that_would_be_hashed_for_ever(nested):
    refused(b"\x80\x02}" + nested + b"K\x01s.", "in tuples within it")


def test_sizes_and_sets_that_would_be_hashed_for_ever():
    size = b"ctorch\nSize\n](h\x00h\x00e\x85Rq\x00"
    refused(b"\x80\x02})q\x00" + size * 40 + b"K\x01s.", "torch.Size")
    refused(b"\x80\x04}(K\x01\x91K\x01s.", "FROZENSET")
    refused(b"\x80\x02\x8b\x04\x00\x00\x00\x01\x02\x03\x04.", "LONG4")
    refused(b"\x80\x02ctorch\nSize\n](" + b"K\x01" * 40 + b"e\x85R.", "torch.Size")


def test_numbers_that_all_hash_alike():
    large = [n * (2**61 - 1) for n in range(1, 99)]
    assert len({hash(n) for n in large}) == 1
    refused(pickle.dumps(dict.fromkeys(large)), "more than 64 bits")
    assert load(pickle.dumps([2**64 - 1, -(2**63)])) == [2**64 - 1, -(2**63)]
