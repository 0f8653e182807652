"""Data sets: every kind gives the same pictures, what cannot be read is named, what does not fit is one line."""

import json
import zipfile

import numpy as np
import pytest
import torch

from vtoon.errors import VtoonError
from vtoon.image import save_image
from vtoon.train.dataset import Dataset
from vtoon.train.dataset_files import write_dataset
from vtoon.train.sources import open_source

COUNT, SIZE = 6, 16


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        save_image(tmp_path / "in" / f"{i}.png", rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8))
    return tmp_path / "in"


def all_of(data):
    return data.batch(torch.arange(len(data)))


@pytest.mark.parametrize("name", ["out.zip", "out.npy", "out"])
def test_what_is_written_is_what_is_read(folder, tmp_path, name):
    seen = []
    count = write_dataset(open_source(folder, SIZE), tmp_path / name, [SIZE], 100, False, lambda *at: seen.append(at))
    assert count == COUNT and seen[-1] == (COUNT, COUNT)
    expected = all_of(Dataset(folder, SIZE))
    assert expected.dtype == torch.uint8 and expected.shape == (COUNT, SIZE, SIZE, 3)
    assert torch.equal(all_of(Dataset(tmp_path / name, SIZE)), expected)
    with pytest.raises(VtoonError, match="overwrite"):
        write_dataset(open_source(folder, SIZE), tmp_path / name, [SIZE], 100, False, lambda *_: None)
    write_dataset(open_source(folder, SIZE), tmp_path / name, [SIZE], 100, True, lambda *_: None)


def test_published_layouts(folder, tmp_path):
    import lmdb

    write_dataset(open_source(folder, SIZE), tmp_path / "base", [8, 16], 95, False, lambda *_: None)
    with lmdb.open(str(tmp_path / "base"), readonly=True) as base, base.begin() as read:
        keys = sorted(bytes(key) for key, _ in read.cursor())
        assert read.get(b"length") == b"6" and read.get(b"16-00003")[:2] == b"\xff\xd8"
    assert keys == sorted([b"length", *(f"{s}-{i:05d}".encode() for s in (8, 16) for i in range(COUNT))])
    assert all_of(Dataset(tmp_path / "base", 8)).shape[1] == 8
    write_dataset(open_source(folder, SIZE), tmp_path / "a.zip", [SIZE], 100, False, lambda *_: None)
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert "00000/img00000003.png" in file.namelist() and json.loads(file.read("dataset.json")) == {"labels": None}


def test_larger_pictures_are_made_smaller_by_area(folder):
    half = all_of(Dataset(folder, SIZE // 2)).float()
    whole = all_of(Dataset(folder, SIZE)).float()
    assert (half - whole.unflatten(1, (-1, 2)).unflatten(3, (-1, 2)).mean((2, 4))).abs().max() <= 0.5


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_set_that_does_not_fit_is_read_beside_the_steps(folder, tmp_path, kind):
    path = folder
    if kind == "zip":
        path = tmp_path / "a.zip"
        write_dataset(open_source(folder, SIZE), path, [SIZE], 100, False, lambda *_: None)
    small, whole = Dataset(path, SIZE, most=0), Dataset(path, SIZE)
    assert whole.in_memory and not small.in_memory and small.about == whole.about
    for step in range(3):
        indices = torch.tensor([step, 5, step])
        coming = [(later, torch.tensor([later, 5, later])) for later in (step + 1, step + 2)]
        assert torch.equal(small.batch(indices, step, coming), whole.batch(indices))
    small.close()


def test_unreadable_pictures_are_named_and_left_out(folder, caplog):
    (folder / "2.png").write_bytes(b"no picture")
    data = (folder / "4.png").read_bytes()  # its head can be read, its pixels cannot
    (folder / "4.png").write_bytes(data.replace(b"IDAT", b"IDAT\0\0\0\0"))
    assert len(Dataset(folder, SIZE)) == COUNT - 2
    assert "2.png" in caplog.text and "4.png" in caplog.text
    reading = Dataset(folder, SIZE, most=0)  # heads alone are looked at first
    assert len(reading) == COUNT - 1 and reading.batch(torch.arange(5)).shape == (5, SIZE, SIZE, 3)
    reading.close()


def test_grey_and_transparent_pictures_and_labels_are_taken(tmp_path, caplog):
    from PIL import Image

    (tmp_path / "in").mkdir()
    for i, mode in enumerate(("L", "RGBA", "P", "LA")):
        Image.new(mode, (8, 8)).save(tmp_path / "in" / f"{i}.png")
    (tmp_path / "in" / "dataset.json").write_text('{"labels": [["0.png", 1]]}')
    assert all_of(Dataset(tmp_path / "in", 8)).shape == (4, 8, 8, 3)
    assert caplog.text.count("labels") == 1


def damaged(path, content):
    path.write_bytes(content)
    return path


def bad(tmp_path, name):
    path = tmp_path / name
    if name == "mixed":
        save_image(path / "a.png", np.zeros((16, 16, 3), np.uint8))
        save_image(path / "b.png", np.zeros((8, 8, 3), np.uint8))
    elif name in ("wide", "small", "one"):
        shape = {"wide": (16, 32, 3), "small": (8, 8, 3), "one": (16, 16, 3)}[name]
        for i in range(1 if name == "one" else 2):
            save_image(path / f"{i}.png", np.zeros(shape, np.uint8))
    elif name in ("empty", "nothing"):
        path.mkdir()
        if name == "nothing":
            (path / "a.png").write_bytes(b"x")
    elif name in ("bad.zip", "bad.npy", "file.txt"):
        path.write_bytes(b"no data set")
    elif name == "floats.npy":
        np.save(path, np.zeros((3, 16, 16, 3), np.float32))
    elif name == "bad_base":
        path.mkdir()
        (path / "data.mdb").write_bytes(b"no base")
    return path


LINES = {
    "missing": "no such data set",
    "empty": "no picture in it",
    "nothing": "none of its pictures can be read",
    "one": "readable pictures: 1; at least 2 are needed",
    "mixed": r"mixed sizes \(a.png is 16x16, b.png is 8x8 px\); vtoon dataset",
    "wide": "32x16 px do not fit a network of 16 px",
    "small": "8x8 px do not fit a network of 16 px",
    "bad.zip": "not a readable zip",
    "bad.npy": "not a readable .npy",
    "floats.npy": "uint8",
    "file.txt": "not a data set",
    "bad_base": "not a readable LMDB",
}


@pytest.mark.parametrize("name", LINES)
def test_what_does_not_fit_is_one_line(tmp_path, name):
    with pytest.raises(VtoonError, match=LINES[name]) as caught:
        Dataset(bad(tmp_path, name), 16)
    assert "\n" not in str(caught.value)


def test_a_corrupt_entry_of_a_zip_is_named(folder, tmp_path, caplog):
    path = tmp_path / "a.zip"
    write_dataset(open_source(folder, SIZE), path, [SIZE], 100, False, lambda *_: None)
    data = bytearray(path.read_bytes())
    place = data.find(b"IDAT") + 8
    data[place : place + 4] = b"\0\0\0\0"
    path.write_bytes(bytes(data))
    assert len(Dataset(path, SIZE)) == COUNT - 1 and "img00000000.png" in caplog.text
