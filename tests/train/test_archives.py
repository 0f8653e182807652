"""Sets as their makers hand them out: an archive gives what its folder gives, boxes are cut out, damage is one line."""

import io
import tarfile

import numpy as np
import pytest
import torch

from vtoon.errors import VtoonError
from vtoon.image import load_image, save_image
from vtoon.train.archives import BoxSource, TarSource, read_boxes
from vtoon.train.dataset import Dataset

COUNT, SIZE = 7, 16


@pytest.fixture
def cartoonset(tmp_path):
    """As cartoonset10k.tgz: cs*.png with a cs*.csv each, in a folder."""
    rng = np.random.default_rng(0)
    with tarfile.open(tmp_path / "cartoonset10k.tgz", "w:gz") as tar:
        for i in range(COUNT):
            save_image(tmp_path / "in" / f"cs{i}.png", rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8))
            tar.add(tmp_path / "in" / f"cs{i}.png", f"cartoonset10k/cs{i}.png")
            line = b'"face_shape", 4, 7\n'
            about = tarfile.TarInfo(f"cartoonset10k/cs{i}.csv")
            about.size = len(line)
            tar.addfile(about, io.BytesIO(line))
    return tmp_path / "cartoonset10k.tgz"


def test_an_archive_gives_what_its_folder_gives(cartoonset, command, tmp_path):
    whole = torch.arange(COUNT)
    expected = Dataset(tmp_path / "in", SIZE).batch(whole)
    assert torch.equal(Dataset(cartoonset, SIZE).batch(whole), expected)
    ended = command("dataset", cartoonset, tmp_path / "out.npy", "--size", SIZE)
    assert ended.code == 0 and f"{COUNT} pictures" in ended.out
    assert torch.equal(Dataset(tmp_path / "out.npy", SIZE).batch(whole), expected)


def test_an_archive_can_be_gone_through_in_any_order(cartoonset, tmp_path):
    source = TarSource(cartoonset)
    for i in (3, 1, 6, 6, 0, 2):
        assert np.array_equal(source.picture(i), load_image(tmp_path / "in" / f"cs{i}.png")[0])


def test_a_damaged_archive_is_one_line(cartoonset, command, tmp_path):
    for data in (cartoonset.read_bytes()[:200], b"no archive"):
        (tmp_path / "bad.tgz").write_bytes(data)
        ended = command("dataset", tmp_path / "bad.tgz", tmp_path / "out.npy")
        assert ended.code == 1 and "not a readable tar" in ended.line


@pytest.fixture
def boxed(tmp_path):
    """As iCartoonFace's detection set: pictures, and a list of boxes in them."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 200
    save_image(tmp_path / "pictures" / "a.png", image)
    (tmp_path / "boxes.txt").write_text("a.png,30,20,50,40,face,1\na.png\t0\t0\t10\t8\n\na.png 70 50 90 90\n")
    return tmp_path


def test_boxes_are_cut_out_as_squares(boxed):
    source = BoxSource(boxed / "pictures", boxed / "boxes.txt", 0.25)
    face = source.picture(0)
    assert face.shape == (30, 30, 3) == (*source.side(0)[::-1], 3)
    assert (face[5:25, 5:25] == 200).all() and face.sum() == 200 * 3 * 400
    assert source.picture(1).shape == (15, 15, 3)
    with pytest.raises(VtoonError, match=r"a\.png, box 2: lies outside"):
        source.picture(2)
    assert len(BoxSource(boxed / "pictures", boxed / "boxes.txt", 0.25, least=20)) == 2


def test_the_command_leaves_out_what_cannot_be_cut(boxed, command):
    ended = command("dataset", boxed / "pictures", boxed / "out.npy", "--boxes", boxed / "boxes.txt", "--size", 16)
    assert ended.code == 0 and "2 pictures of 16 px, 1 left out" in ended.out and "box 2" in ended.err
    ended = command("dataset", boxed / "boxes.txt", boxed / "b.npy", "--boxes", boxed / "boxes.txt")
    assert ended.code == 1 and "belong to a folder" in ended.line


@pytest.mark.parametrize("text", ["", "a.png,1,2,3", "a.png,left,2,3,4"])
def test_a_list_of_something_else_is_one_line(tmp_path, text):
    (tmp_path / "boxes.txt").write_text(text)
    with pytest.raises(VtoonError, match="expected"):
        read_boxes(tmp_path / "boxes.txt")
