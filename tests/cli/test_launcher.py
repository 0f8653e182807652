"""`python style_transfer.py` understands VToonify's command lines."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tyro
from PIL import Image

from vtoon.cli import common
from vtoon.cli.launcher import StyleTransfer
from vtoon.image import load_image
from vtoon.painters.published import PublishedModel
from vtoon.types import Style
from vtoon.video import VideoReader, probe
from vtoon.weights.sizes import Specialty
from vtoon.weights.styles import StyleBank


@pytest.fixture
def transfer(command, tiny_model, tmp_path):
    """transfer(...) runs the launcher with the tiny model and an output folder of the test."""
    ours = ("--ckpt", tiny_model, "--output_path", tmp_path / "out", "--cpu", "--style_id", 1)
    return lambda *args: command("style_transfer.py", *ours, *args)


def parse(*args: str) -> StyleTransfer:
    return tyro.cli(StyleTransfer, args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))


def test_defaults_are_those_of_vtoonify():
    args = parse()
    assert args.batch_size == 4
    assert args.padding == (200, 200, 200, 200) and args.backbone == "dualstylegan"
    assert str(args.output_path) == "output" and args.parsing_map_path is None and args.exstyle_path is None
    assert not (args.color_transfer or args.scale_image or args.video or args.cpu)


def model_of(styles: int, published: bool = False) -> SimpleNamespace | PublishedModel:
    model = object.__new__(PublishedModel) if published else SimpleNamespace(upscale=1)
    model.bank = StyleBank(tuple(Style(i, str(i), str(i), "own") for i in range(styles)))
    if published:
        model.special, model.config = Specialty(), SimpleNamespace(upscale=4)
    return model


@pytest.mark.parametrize(
    ("styles", "words", "style", "degree"),
    [(56, "", 26, 0.5), (27, "", 26, 0.5), (26, "", None, 0.5), (56, "--style_id 3 --style_degree 0", "3", 0.0)],
)
def test_the_default_style_and_degree(styles, words, style, degree):
    assert parse(*words.split())._suited(model_of(styles)) == {"style": style, "style_degree": degree}


@pytest.mark.parametrize(
    ("words", "placement"),
    [
        ("", "paste"),
        ("--exact", "full"),
        ("--parsing_map_path p.npy", "full"),
        ("--exact --scale_image", "crop"),
        ("--exact --placement crop", "crop"),
    ],
)
def test_what_only_published_models_can_leaves_others_as_they_are(words, placement):
    args = parse(*words.split())
    suited = args._suited(model_of(9, published=True))
    assert suited["placement"] == placement and suited["exact"] is args.exact
    assert suited["parsing_map"] == args.parsing_map_path
    assert not {"placement", "exact", "parsing_map"} & args._suited(model_of(9)).keys()


def test_every_flag_of_vtoonify_is_taken():
    words = (
        "--content a.mp4 --style_id 8 --style_degree 0.7 --color_transfer --ckpt m.pt --output_path o --scale_image "
        "--style_encoder_path e.pt --exstyle_path s.npy --faceparsing_path f.pth --video --cpu --backbone toonify "
        "--padding 1 2 3 4 --batch_size 2 --parsing_map_path p.npy"
    )
    args = parse(*words.split())
    assert args.content == ("a.mp4",) and args.padding == (1, 2, 3, 4) and args.batch_size == 2
    assert args.color_transfer and args.scale_image and args.video and args.cpu and args.backbone == "toonify"


def test_output_is_named_as_by_vtoonify_with_dots_kept_and_replaced(tmp_path, transfer, make_clip):
    clip = make_clip(tmp_path / "a.b.webm")
    for _ in range(2):
        ended = transfer("--content", clip, "--video")
        assert ended.code == 0 and ended.err == ""
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.b_vtoonify_d.webm"]


def test_scale_image_crops_and_keeps_the_cropped_input(tmp_path, transfer, make_clip, portrait):
    clip = make_clip(tmp_path / "a.mp4", 2, portrait)
    flags = ("--scale_image", "--padding", 100, 100, 100, 100, "--detail", 64)
    assert transfer("--content", clip, *flags).code == 0
    drawn, copy = (probe(tmp_path / "out" / name) for name in ("a_vtoonify_d.mp4", "a_input.mp4"))
    assert (drawn.width, drawn.height) == (copy.width, copy.height) != (320, 320)
    with VideoReader(tmp_path / "out" / "a_input.mp4") as reader:
        assert len(list(reader)) == 2


def test_an_image_with_scale_image(tmp_path, transfer, portrait):
    Image.fromarray(portrait).save(tmp_path / "me.jpg")
    ended = transfer("--content", tmp_path / "me.jpg", "--scale_image", "--video")
    assert ended.code == 0 and "--video" in ended.line
    drawn, copy = (load_image(tmp_path / "out" / name)[0] for name in ("me_vtoonify_d.jpg", "me_input.jpg"))
    assert drawn.shape == copy.shape and np.abs(drawn.astype(int) - copy).mean() > 2


def test_flags_of_other_networks_say_that_they_have_no_effect(tmp_path, transfer, make_clip):
    clip = make_clip(tmp_path / "a.mp4", 2)
    ended = transfer(
        "--content",
        clip,
        "--exstyle_path",
        "x.npy",
        "--backbone",
        "toonify",
        "--padding",
        9,
        9,
        9,
        9,
        "--device",
        "cpu",
        "--parse_every",
        3,
        "--compile",
    )
    assert ended.code == 0 and (tmp_path / "out" / "a_vtoonify_t.mp4").is_file()
    lines = ended.err.splitlines()
    assert (
        len(lines) == 3
        and "--exstyle_path, --parse_every, --compile" in lines[0]
        and "--backbone" in lines[1]
        and "--padding" in lines[2]
    )


def test_several_inputs_skip_what_is_finished(tmp_path, transfer, make_clip):
    clips = [make_clip(tmp_path / "in" / f"{i}.mp4", 2) for i in range(2)]
    assert transfer("--content", *clips).code == 0
    again = transfer("--content", tmp_path / "in" / "*.mp4")
    assert again.code == 0 and again.out.count("skipped") == 2
    assert transfer("--content", tmp_path / "in", "--overwrite").out.count("done") == 2


def test_content_is_the_demo_clip_which_is_made_when_it_is_missing(tmp_path, transfer, make_clip, monkeypatch):
    ready = make_clip(tmp_path / "ready.mp4")
    script = tmp_path / "make.py"
    script.write_text(f"import shutil, sys; shutil.copy({str(ready)!r}, sys.argv[1])")
    monkeypatch.setattr(common, "DEMO_CLIP", tmp_path / "demo.mp4")
    monkeypatch.setattr(common, "DEMO_SCRIPT", script)
    ended = transfer("--video")
    assert ended.code == 0 and "making it" in ended.line
    assert (tmp_path / "out" / "demo_vtoonify_d.mp4").is_file()


def test_a_demo_clip_that_cannot_be_made(tmp_path, transfer, monkeypatch):
    script = tmp_path / "make.py"
    script.write_text("raise SystemExit('error: scikit-image is missing')")
    monkeypatch.setattr(common, "DEMO_CLIP", tmp_path / "demo.mp4")
    monkeypatch.setattr(common, "DEMO_SCRIPT", script)
    ended = transfer()
    assert ended.code == 1 and "scikit-image is missing" in ended.err.splitlines()[-1]
