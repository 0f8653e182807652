"""What curating does to a folder: files move, and only files that are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vtoon.errors import VtoonError
from vtoon.faces.detect import QUICK, FaceDetector
from vtoon.image import image_files, load_image, save_image
from vtoon.latent.align import AlignOptions, Row, align_all, write_report
from vtoon.latent.curate import FACES, MISSED, REMOVED, Collection
from vtoon.train.sources import open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(3):
        save_image(tmp_path / "faces" / f"{i}.png", np.full((32, 32, 3), 40 * i, np.uint8))
    return tmp_path / "faces"


def names(collection):
    return [collection.names(view) for view in (FACES, REMOVED)]


def test_every_step_can_be_taken_back(folder):
    collection = Collection(folder)
    collection.remove("1.png")
    collection.remove("0.png")
    collection.put_back("1.png")
    assert names(collection) == [["1.png", "2.png"], ["0.png"]]
    assert [collection.undo() for _ in range(4)] == ["1.png", "0.png", "1.png", ""]
    assert names(collection) == [["0.png", "1.png", "2.png"], []]
    assert load_image(folder / "1.png")[0][0, 0, 0] == 40


def test_a_name_that_is_taken_is_never_overwritten(folder):
    collection = Collection(folder)
    collection.remove("1.png")
    save_image(folder / "1.png", np.full((32, 32, 3), 200, np.uint8))
    collection.remove("1.png")
    assert names(collection)[1] == ["1-2.png", "1.png"]
    save_image(folder / "1.png", np.full((32, 32, 3), 201, np.uint8))
    collection.put_back("1.png")
    assert names(collection)[0] == ["0.png", "1-2.png", "1.png", "2.png"]
    levels = {int(load_image(path)[0][0, 0, 0]) for path in folder.rglob("*.png")}
    assert levels == {0, 40, 80, 200, 201}


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "removed", ".hidden.png", "9.png", ""])
def test_nothing_but_what_is_shown_is_touched(folder, name):
    (folder / ".hidden.png").write_bytes(b"x")
    collection = Collection(folder)
    for act in (collection.remove, collection.put_back, collection.take):
        with pytest.raises(VtoonError, match="is not among"):
            act(name)
    with pytest.raises(VtoonError, match="is not among"):
        collection.tile(FACES, name)


def test_what_is_removed_is_not_learned_and_not_aligned_again(tmp_path, portrait):
    save_image(tmp_path / "me.png", portrait)
    target, options = tmp_path / "faces", AlignOptions(size=64, min_size=0, detector="hog")
    (row,) = align_all([tmp_path / "me.png"], target, options, 1)
    save_image(target / "other.png", portrait[:64, :64])
    Collection(target).remove(row.output)
    (again,) = align_all([tmp_path / "me.png"], target, options, 1)
    assert not again.output and again.reason == f"{row.output} was removed"
    assert image_files(target) == [target / "other.png"] and len(open_source(target, 64)) == 1


def test_a_small_face_is_taken_in_at_the_others_size(tmp_path, folder, portrait):
    save_image(tmp_path / "me.png", portrait)
    (face,) = FaceDetector().detect(portrait, QUICK)
    x, y = (int(v) for v in face.points.mean(0))
    rows = [
        Row(str(tmp_path / "me.png"), None, "", "smaller than 256 px", "hog", 100, x - 40, y - 40, x + 40, y + 40),
        Row(str(tmp_path / "me.png"), None, "me_02.png", ""),
        Row(str(tmp_path / "film.mp4"), 24, "", "near-duplicate of a frame before"),
        Row(str(tmp_path / "gone.png"), None, "", "no face found"),
    ]
    write_report(rows, tmp_path / "r.csv")
    collection = Collection(folder, tmp_path / "r.csv")
    (tile,) = collection.tiles(MISSED)
    assert tile.takes and "smaller" in tile.about and collection.tile(MISSED, tile.name).points is not None
    collection.take(tile.name)
    (made,) = set(collection.names(FACES)) - {"0.png", "1.png", "2.png"}
    assert load_image(folder / made)[0].shape == (32, 32, 3) and not collection.tiles(MISSED)
    assert collection.undo() == made and collection.names(REMOVED) == [made] and collection.tiles(MISSED)


def test_what_cannot_be_curated_is_one_line(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(VtoonError, match="no such folder"):
        Collection(tmp_path / "none")
    with pytest.raises(VtoonError, match="no picture in it"):
        Collection(tmp_path / "empty")
    for path in (tmp_path / "bad.csv", tmp_path / "none.csv"):
        with pytest.raises(VtoonError, match="not a report of `vtoon align`"):
            Collection(folder, path)


def test_a_damaged_picture_can_be_removed(folder):
    (folder / "bad.png").write_bytes(b"no picture")
    collection = Collection(folder)
    with pytest.raises(VtoonError, match="not a readable image"):
        collection.tile(FACES, "bad.png")
    collection.remove("bad.png")
    assert names(collection)[1] == ["bad.png"]
