"""`vtoon stylize`: what is written, what is said, with which exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtoon.cli.common import progress_bar
from vtoon.image import load_image
from vtoon.video import VideoReader, probe


@pytest.fixture
def stylize(command, tiny_model):
    """stylize(...) runs `vtoon stylize ... --ckpt TINY --device cpu`."""
    return lambda *args: command("stylize", *args, "--ckpt", tiny_model, "--device", "cpu")


def test_a_face_is_drawn_and_one_line_says_where(tmp_path, stylize, portrait, make_clip):
    clip = make_clip(tmp_path / "in.v2.mp4", 3, portrait)
    ended = stylize(clip, "-o", tmp_path / "out", "--style", "comic")
    assert ended.code == 0 and ended.err == ""
    output = tmp_path / "out" / "in.v2.mp4"
    assert ended.out.startswith(f"{output}: 3 frames, 1 face, ")
    with VideoReader(clip) as before, VideoReader(output) as after:
        pairs = [(a.image.astype(int), b.image.astype(int)) for a, b in zip(before, after, strict=True)]
    assert all(np.abs(a - b).max() > 30 for a, b in pairs)
    assert all(np.abs(a[-16:, :16] - b[-16:, :16]).max() < 30 for a, b in pairs)  # the frame around the face stays


def test_a_clip_without_a_face_passes_through_and_says_so(tmp_path, stylize, make_clip):
    ended = stylize(make_clip(tmp_path / "in.mp4"), "-o", tmp_path / "out.mkv")
    assert ended.code == 0
    assert "6 frames, 0 faces" in ended.out and "nothing was drawn" in ended.out
    assert probe(tmp_path / "out.mkv").container == "matroska,webm"


def test_an_image(tmp_path, stylize, portrait):
    Image.fromarray(portrait).save(tmp_path / "me.png")
    ended = stylize(tmp_path / "me.png", "-o", tmp_path / "toon.jpg", "--style_degree", 0.5)
    assert ended.code == 0 and ended.out == f"{tmp_path / 'toon.jpg'}: 1 face\n"
    assert load_image(tmp_path / "toon.jpg")[0].shape == portrait.shape


def test_degree_and_style_reach_the_model(tmp_path, stylize, portrait):
    Image.fromarray(portrait).save(tmp_path / "me.png")
    pictures = []
    for i, flags in enumerate((["--style", "1"], ["--style", "comic"], ["--style", "0"], ["--style_degree", "0.3"])):
        assert stylize(tmp_path / "me.png", "-o", tmp_path / f"{i}.png", *flags).code == 0
        pictures.append(load_image(tmp_path / f"{i}.png")[0])
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2]) and not np.array_equal(pictures[2], pictures[3])


def test_placements_give_their_sizes(tmp_path, stylize, portrait):
    Image.fromarray(portrait).save(tmp_path / "me.png")
    sizes = {}
    for placement in ("paste", "full", "crop"):
        flags = ["--placement", placement, "--detail", 64]
        assert stylize(tmp_path / "me.png", "-o", tmp_path / f"{placement}.png", *flags).code == 0
        sizes[placement] = load_image(tmp_path / f"{placement}.png")[0].shape
    assert sizes["paste"] == sizes["full"] == portrait.shape != sizes["crop"]


def test_an_existing_output_is_only_replaced_with_overwrite(tmp_path, stylize, make_clip):
    clip, output = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    output.write_bytes(b"mine")
    ended = stylize(clip, "-o", output)
    assert ended.code == 1 and "--overwrite" in ended.line and output.read_bytes() == b"mine"
    assert stylize(clip, "-o", output, "--overwrite").code == 0
    assert probe(output).width == 64


def test_a_folder_does_what_it_can_and_ends_with_a_table(tmp_path, stylize, make_clip):
    make_clip(tmp_path / "in" / "a.mp4")
    (tmp_path / "in" / "b.mp4").write_text("no video")
    ended = stylize(tmp_path / "in", "-o", tmp_path / "out")
    assert ended.code == 1
    assert ended.line.startswith("error: ") and "b.mp4" in ended.line
    rows = [line.split() for line in ended.out.splitlines()[-3:]]
    assert rows[0][0] == "file" and rows[1][:3] == ["a.mp4", "6", "0"] and rows[2][:2] == ["b.mp4", "-"]
    (tmp_path / "in" / "b.mp4").unlink()
    make_clip(tmp_path / "in" / "c.mp4")
    again = stylize(tmp_path / "in", "-o", tmp_path / "out")
    assert again.code == 0
    assert "skipped" in again.out and again.out.count("done") == 1


def test_a_folder_with_one_finished_file_says_so(tmp_path, stylize, make_clip):
    make_clip(tmp_path / "in" / "a.mp4", 2)
    assert stylize(tmp_path / "in", "-o", tmp_path / "out").code == 0
    again = stylize(tmp_path / "in", "-o", tmp_path / "out")
    assert again.code == 0 and "there already" in again.out and "--overwrite" in again.out


def test_a_name_as_long_as_can_be(tmp_path, stylize, make_clip):
    clip = make_clip(tmp_path / "a.mp4", 2)
    longest = tmp_path / "out" / ("漢" * 83 + ".mp4")
    assert stylize(clip, "-o", longest).code == 0 and longest.is_file()
    ended = stylize(clip, "-o", longest.with_name("漢" * 84 + ".mp4"))
    assert ended.code == 1 and "longer than 255 bytes" in ended.line


def test_quiet_says_nothing_but_errors(tmp_path, stylize, make_clip):
    clip = make_clip(tmp_path / "in.mp4")
    ended = stylize(clip, "-o", tmp_path / "out.mp4", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert stylize(clip, "-o", tmp_path / "out.mp4", "-q").line.startswith("error: ")


def test_notices_of_the_library_are_shown_once(tmp_path, stylize, make_clip):
    image = np.full((47, 63, 3), 100, np.uint8)  # odd sizes cannot be 4:2:0: the writer says that it pads
    Path(tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in" / "f1.png")
    ended = stylize(str(tmp_path / "in" / "f%d.png"), "-o", tmp_path / "out.mp4")
    assert ended.code == 0 and "padded" in ended.line


def test_codec_and_quality_are_passed_on(tmp_path, stylize, make_clip):
    clip = make_clip(tmp_path / "in.mp4")
    assert stylize(clip, "-o", tmp_path / "o.mkv", "--codec", "vp9", "--crf", 40, "--preset", 8).code == 0
    assert probe(tmp_path / "o.mkv").codec == "vp9"


def test_a_palette_that_is_named_and_not_used_is_said(tmp_path, stylize):
    Image.new("RGB", (48, 48)).save(tmp_path / "a.png")
    flags = (tmp_path / "a.png", "-o", tmp_path / "b.png", "--overwrite", "--style")
    assert "--color_transfer" in stylize(*flags, "comic-sunset").line
    for words in (("comic-sunset", "--color_transfer"), ("3",), ("comic",), ("comic-sunset", "--quiet")):
        assert stylize(*flags, *words).err == ""


def test_no_input_is_an_error(stylize):
    assert stylize().line.startswith("error: no input")


def test_progress_is_silent_without_a_terminal_and_full_of_facts_with_one(capsys, monkeypatch):
    with progress_bar("a.mp4") as update:
        update(5, 10)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar("a.mp4") as update:
        update(5, 10)
        update(20, 10)  # the header promised too little
    drawn = capsys.readouterr().err
    assert "a.mp4" in drawn and "frames" in drawn
    with progress_bar("a.mp4", quiet=True) as update:
        update(5, 10)
    assert capsys.readouterr().err == ""
