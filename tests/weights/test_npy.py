import os

import numpy as np
import pytest
from foreign import trap
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.weights.npy import load_npy


@pytest.fixture
def saved(tmp_path):
    def save(content):
        np.save(tmp_path / "a.npy", content, allow_pickle=True)
        return tmp_path / "a.npy"

    return save


def refused(path, reason):
    with pytest.raises(VtoonError, match=reason) as caught:
        load_npy(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_numbers(saved):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(load_npy(saved(array)), array)
    np.testing.assert_array_equal(load_npy(saved(np.asfortranarray(array))), array)


def test_a_pickled_dict(saved):
    codes = {f"{i}.jpg": np.full((1, 18, 4), i, np.float32) for i in range(40)}
    loaded = load_npy(saved(codes))
    assert list(loaded) == list(codes)
    np.testing.assert_array_equal(loaded["7.jpg"], codes["7.jpg"])


@pytest.mark.parametrize(
    "content",
    [{}, {"a": 3}, {"a": "text"}, {1: np.zeros(2)}, {"a": {"b": np.zeros(2)}}, {"a": np.array([None])}],
    ids=["empty", "number", "text", "key", "nested", "objects"],
)
def test_a_dict_of_other_things(saved, content):
    refused(saved(content), "expected a dict of named arrays|all that is read")


def test_an_array_of_objects(saved):
    refused(saved(np.array([{"a": 1}, None], object)), "all that is read")


def test_text_is_no_array_of_numbers(saved):
    refused(saved(np.array(["a", "b"])), "numbers")


def test_a_pickle_inside_is_never_run(saved, tmp_path):
    refused(saved(np.array(trap(os.mkdir, str(tmp_path / "ran")), object)), "names .*mkdir")
    refused(saved({"a": trap(os.mkdir, str(tmp_path / "ran"))}), "names .*mkdir")
    assert not (tmp_path / "ran").exists()


def test_a_header_that_claims_more_than_there_is(saved):
    path = saved(np.zeros((3, 4), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(3, 4)", b"(9, 9)"))
    refused(path, "damaged")


@settings(deadline=None, max_examples=30)
@given(share=st.floats(0.01, 0.99), pickled=st.booleans())
def test_a_cut_file(tmp_path_factory, share, pickled):
    path = tmp_path_factory.mktemp("cut") / "a.npy"
    codes = {"a": np.ones((1, 18, 4), np.float32)}
    np.save(path, codes if pickled else codes["a"], allow_pickle=True)
    data = path.read_bytes()
    path.write_bytes(data[: 8 + int(share * (len(data) - 8))])
    refused(path, "damaged")


@pytest.mark.parametrize("header", ["{'descr': ('<f4', ", "-" * 9000 + "1", "{[]: 1}"])
def test_a_forged_header_is_one_line(tmp_path, header):
    text = (header + "\n").encode()
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(VtoonError, match=r"x\.npy: damaged, or not a \.npy file of numbers"):
        load_npy(tmp_path / "x.npy")
