"""`vtoon`, `vtoon styles`, `vtoon inspect`, `vtoon bench`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from vtoon.cli import measure
from vtoon.cli.styles import drawings
from vtoon.painters.engine import Engine
from vtoon.pipeline import samples
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.stylize import load


def test_without_arguments_help_is_shown(command):
    ended = command()
    assert ended.code == 0
    assert all(name in ended.out for name in ("stylize", "styles", "inspect", "bench", "parse", "convert", "--version"))


def test_version(command):
    assert re.fullmatch(r"vtoon \d+\.\d+\.\d+\n", command("--version").out)


@pytest.mark.parametrize("name", ["stylize", "styles", "inspect", "bench", "parse", "convert"])
def test_help_of_every_command_names_flags_with_underscores(command, name):
    ended = command(name, "--help")
    assert ended.code == 0
    assert not re.findall(r"--\w+-\w+", ended.out)


def test_styles_are_listed(command, tiny_model):
    lines = command("styles", "--ckpt", tiny_model).out.splitlines()
    assert [line.split() for line in lines][:2] == [
        ["id", "name", "look", "palette"],
        ["0", "cartoon", "cartoon", "own"],
    ]
    assert len(lines) == 5


def test_sheet_shows_every_style(command, tiny_model, tmp_path):
    ended = command("styles", "--ckpt", tiny_model, "--sheet", tmp_path / "sheet.png", "--device", "cpu")
    assert ended.code == 0 and "4 styles" in ended.out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000 and sheet.height > 190


def test_exemplars_of_a_published_model_are_listed_and_drawn(
    command, published_folder, small_encoder, tmp_path, portrait, monkeypatch
):
    monkeypatch.setitem(samples.CLOSE_UP, "padding", (60,) * 4)  # the face alone: less to parse
    model, sheet = published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt", tmp_path / "sheet.png"
    lines = command("styles", "--ckpt", model).out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [[str(i), f"{i:03d}"] for i in range(4)]
    ended = command("styles", "--ckpt", model, "--sheet", sheet, "--device", "cpu")
    assert ended.code == 0 and "4 styles" in ended.out and sheet.is_file()


def test_the_sheet_of_a_specialised_file_shows_what_it_draws(published_folder, tmp_path):
    name = tmp_path / "vtoonify_s002_d0.5.pt"
    name.symlink_to(published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt")
    (tmp_path / "exstyle_code.npy").symlink_to(published_folder / "vtoonify_d_x" / "exstyle_code.npy")
    assert [label for label, _ in drawings(load(name, "cpu"))] == ["degree 0.5", "2 002"]


def test_a_sheet_replaces_nothing_unasked_and_is_a_picture(command, tiny_model, tmp_path, portrait):
    photo = tmp_path / "me.png"
    Image.fromarray(portrait).save(photo)
    before = photo.read_bytes()
    flags = ("styles", "--ckpt", tiny_model, "--photo", photo, "--sheet")
    assert "same file" in command(*flags, photo, "--overwrite").line and photo.read_bytes() == before
    (tmp_path / "sheet.png").write_text("mine")
    assert "exists already" in command(*flags, tmp_path / "sheet.png").line
    assert "must end in .png" in command(*flags, tmp_path / "sheet.pdf").line
    assert command(*flags, tmp_path / "sheet.png", "--overwrite").code == 0


def test_a_sheet_of_looks_has_each_once(command, tiny_model, tmp_path, portrait):
    Image.fromarray(portrait).save(tmp_path / "me.png")
    assert [label for label, _ in drawings(load(tiny_model, "cpu"), looks=True)] == ["degree 0", "cartoon", "comic"]
    flags = ("--ckpt", tiny_model, "--photo", tmp_path / "me.png", "--looks", "--device", "cpu")
    ended = command("styles", "--sheet", tmp_path / "looks.png", *flags)
    assert ended.code == 0 and "2 styles" in ended.out
    assert Image.open(tmp_path / "looks.png").width > 3 * 320


def test_sheet_of_a_photo_without_a_face(command, tiny_model, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    sheet = tmp_path / "sheet.png"
    ended = command("styles", "--ckpt", tiny_model, "--sheet", sheet, "--photo", tmp_path / "black.png")
    assert ended.code == 1 and "no face" in ended.line and not sheet.exists()


def test_inspect_of_a_video(command, tmp_path, make_clip):
    ended = command("inspect", make_clip(tmp_path / "a.mp4"))
    facts = dict(line.split(maxsplit=1) for line in ended.out.splitlines() if not line.startswith("pixel shape"))
    assert facts["size"] == "64x48 px" and facts["frames"] == "6" and facts["sound"] == "none"


def test_inspect_of_an_image(command, tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    assert "30x20 px" in command("inspect", tmp_path / "a.png").out


def test_inspect_of_a_model(command, tiny_model):
    out = command("inspect", tiny_model).out
    assert "VToonify-T" in out and "cartoon-sunset" in out and re.search(r"parameters +[\d,]+\n", out)


def test_inspect_of_a_published_file(command, tmp_path):
    codes = {"a.jpg": np.zeros((1, 18, 4), np.float32), "b.jpg": np.ones((1, 18, 4), np.float32)}
    np.save(tmp_path / "exstyle_code.npy", codes, allow_pickle=True)
    out = command("inspect", tmp_path / "exstyle_code.npy").out
    assert "style codes" in out and "--exstyle_path" in out and "2, ids 0 to 1" in out and "144 in 2 tensors" in out
    codes["b.jpg"][0, 3, 1] = np.nan
    np.save(tmp_path / "exstyle_code.npy", codes, allow_pickle=True)
    ended = command("inspect", tmp_path / "exstyle_code.npy")
    assert ended.code == 1 and "b.jpg holds values that are not finite" in ended.line


def test_bench(command, tmp_path, make_clip, portrait, tiny_model, monkeypatch):
    monkeypatch.setattr("vtoon.system.measure.PEAK_SHAPES", ((1, 8, 16),))
    clip = make_clip(tmp_path / "a.mp4", 4, portrait)
    ended = command("bench", "--content", clip, "--ckpt", tiny_model, "--device", "cpu", "--json")
    assert ended.code == 0
    report = json.loads(ended.out)
    assert report["frames"] == 4 and report["faces"] == 1 and sum(report["regions"].values()) == 4
    assert {"decode", "track", "crop", "prepare", "model", "paste", "encode"} <= set(report["stage_seconds"])
    assert "wait" not in report["stage_seconds"]
    for name in ("fps", "gflop_256", "gflop_per_frame", "model_of_peak", "rest_of_model", "peak_memory_mb"):
        assert report[name] > 0, name
    text = command("bench", "--content", clip, "--ckpt", tiny_model, tiny_model, "--device", "cpu").out
    assert "model / peak" in text and "rest / model" in text and text.count("share of work") == 2


def test_gflop_grows_with_the_area(tiny_model):
    stylizer = load(tiny_model, "cpu")
    engine: Engine = stylizer.engine(StylizeOptions())
    small, large = measure.gflop(engine, (128, 128)), measure.gflop(engine, (256, 256))
    assert large == pytest.approx(4 * small, rel=0.02)
