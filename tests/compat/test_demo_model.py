"""`Model` answers a notebook of VToonify's demo, and draws what the pipeline draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small import ROWS, save_codes

import vtoon
from vtoon.compat.demo_types import STYLE_TYPES, auto_batch
from vtoon.painters.engine import pick_device
from vtoon.pipeline.stylize import load
from vtoon.video import VideoReader
from vtoon.weights.sizes import specialty

PADDING = (48, 56, 40, 64)  # top, bottom, left, right


@pytest.fixture
def model(published_folder, small_encoder, tmp_path, monkeypatch):
    """A Model in a folder with checkpoint/ that has the files of four style types."""
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "faceparsing.pth").symlink_to(published_folder / "faceparsing.pth")
    for style_type in ("arcane1", "arcane1-d", "illustration2-d", "illustration3-d"):
        path = tmp_path / "checkpoint" / STYLE_TYPES[style_type][0]
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt")
        save_codes(path.with_name("exstyle_code.npy"), 10)
    monkeypatch.chdir(tmp_path)
    return vtoon.Model("cpu")


@pytest.fixture
def taken(model, portrait):
    """(model, aligned face, instyle, exstyle of arcane1-d)"""
    exstyle, _ = model.load_model("arcane1-d")
    face, instyle, _ = model.detect_and_align(portrait, *PADDING)
    return model, face, instyle, exstyle


def test_the_style_types_are_those_of_the_demo():
    assert len(STYLE_TYPES) == 22
    for name, (file, style) in STYLE_TYPES.items():
        special = specialty(Path(file))
        assert special.style_id in (None, style), name
        assert (special.style_degree is None) == name.endswith("-d"), name
        assert special.color_transfer == name.startswith("illustration"), name
        assert file.startswith(f"vtoonify_d_{name.rstrip('-d12345')}/"), name


def test_a_photo_is_drawn_as_by_the_pipeline(taken, portrait):
    model, face, instyle, exstyle = taken
    assert tuple(instyle.shape) == tuple(exstyle.shape) == (1, ROWS, 512)
    drawn, message = model.image_toonify(face, instyle, exstyle, 0.7, "arcane1-d")
    assert "arcane1-d" in message and drawn.dtype == np.uint8
    top, bottom, left, right = PADDING
    wanted = load("checkpoint/vtoonify_d_arcane/vtoonify_s_d.pt", "cpu").stylize_image(
        portrait, style=0, style_degree=0.7, padding=(left, right, top, bottom), exact=True
    )
    assert np.array_equal(drawn, wanted)


def test_where_the_cut_was_made_is_told_on_request(taken, portrait):
    model, face, *_ = taken
    again, _, _, width, height, top, bottom, left, right, scale = model.detect_and_align(portrait, *PADDING, True)
    assert np.array_equal(again, face) and face.shape == (bottom - top, right - left, 3)
    assert (height, width) == tuple(round(side * scale) for side in portrait.shape[:2])


def test_the_degree_counts_for_types_that_end_in_d(taken):
    model, face, instyle, exstyle = taken
    draw = lambda degree, kind: model.image_toonify(face, instyle, exstyle, degree, kind)[0]  # noqa: E731
    assert not np.array_equal(draw(0.2, "arcane1-d"), draw(0.9, "arcane1-d"))
    fixed = draw(0.2, "arcane1")
    assert np.array_equal(fixed, draw(0.9, "arcane1")) and np.array_equal(fixed, draw(0.5, "arcane1-d"))


def test_codes_are_taken_as_given_and_the_face_colours_all_but_illustrations(taken):
    model, face, instyle, exstyle = taken
    draw = lambda own, artwork, kind: model.image_toonify(face, own, artwork, 0.5, kind)[0]  # noqa: E731
    first = draw(instyle, exstyle, "arcane1-d")
    assert not np.array_equal(first, draw(instyle + 1, exstyle, "arcane1-d"))
    assert not np.array_equal(first, draw(instyle, exstyle + 1, "arcane1-d"))
    # Another type than the loaded one: it is loaded, and the code of the old one is not used for it.
    coloured = draw(instyle, exstyle, "illustration2-d")
    assert model.style_type == "illustration2-d"
    exstyle, _ = model.load_model("illustration2-d")
    assert np.array_equal(coloured, draw(instyle + 1, exstyle, "illustration2-d"))
    assert not np.array_equal(coloured, draw(instyle, exstyle, "illustration3-d"))


def test_a_video_is_cut_and_drawn_up_to_the_cap(taken, portrait, make_clip, tmp_path):
    model, face, _, exstyle = taken
    clip, model.frame_cap = make_clip(tmp_path / "a.mp4", 4, portrait), 3
    first, _, message = model.detect_and_align_video(str(clip), *PADDING)
    assert first.shape == face.shape and "cut out" in message
    path, instyle, message = model.detect_and_align_full_video(str(clip), *PADDING)
    assert path == "input.mp4" and "3 frames" in message and "of 4" in message
    drawn, message = model.video_tooniy(path, instyle, exstyle, 0.5, "arcane1-d")
    assert drawn == "output.mp4" and "3 frames" in message and "of 4" not in message
    with VideoReader(drawn) as reader:
        sizes = [frame.image.shape for frame in reader]
    assert sizes == [(4 * face.shape[0], 4 * face.shape[1], 3)] * 3


def test_caps_and_batches():
    assert vtoon.Model("cpu").frame_cap == 100
    assert [auto_batch(*size, True) for size in ((256, 256), (400, 400), (128, 128))] == [4, 1, 16]
    assert [auto_batch(*size, False) for size in ((400, 360), (800, 800), (64, 64))] == [4, 1, 4]


def test_what_goes_wrong_is_told(taken, tmp_path, make_clip):
    model, face, instyle, exstyle = taken
    black = np.zeros((32, 32, 3), np.uint8)

    def message(*results: object) -> str:
        *results, told = results
        assert not any(np.any(part) for part in results)
        assert told.startswith("Error: ") and "\n" not in told
        return told

    assert "did you mean arcane1" in message(*model.load_model("arkane1"))
    assert "no face" in message(*model.detect_and_align(black, *PADDING))
    assert len(model.detect_and_align(black, *PADDING, return_para=True)) == 10
    assert "not NoneType" in message(*model.detect_and_align_image(None, *PADDING))
    assert "no such file" in message(*model.detect_and_align_image("no.jpg", *PADDING))
    assert "no face" in message(*model.detect_and_align_full_video(make_clip(tmp_path / "a.mp4", 1), *PADDING))
    assert not (tmp_path / "input.mp4").exists()
    assert "no video" in message(*model.detect_and_align_video(None, *PADDING))
    assert "Step 2" in message(*model.image_toonify(face, None, exstyle, 0.5, "arcane1-d"))
    assert "Step 2" in message(*model.video_tooniy(tmp_path / "a.mp4", torch.zeros(1), exstyle, 0.5, "arcane1-d"))
    assert "style_degree" in message(*model.image_toonify(face, instyle, exstyle, 1.5, "arcane1-d"))
    assert not (tmp_path / "output.mp4").exists()


def test_a_missing_file_is_named_with_the_command_that_gets_it(taken):
    model, face, instyle, exstyle = taken
    none, message = model.load_model("pixar")
    assert none is None and "vtoonify_d_pixar/vtoonify_s052_d0.5.pt is missing" in message
    assert "download_checkpoints.py" in message
    assert model.image_toonify(face, instyle, exstyle, 0.5, "arcane1-d")[0].any()  # what was loaded still is


def test_nothing_is_read_before_it_is_needed(model, portrait):
    assert pick_device("cpu") == model.device and model.style_type is None
    _, instyle, message = model.detect_and_align(portrait, *PADDING)
    assert instyle is None and "vtoonify_s026_d0.5.pt is missing" in message
