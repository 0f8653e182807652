"""An exported file draws what PyTorch draws, at any size, and runs in the pipeline."""

import shutil

import numpy as np
import pytest
import torch
from tiny import TINY

import vtoon
from vtoon.errors import VtoonError
from vtoon.image import save_image
from vtoon.painters.onnx import OnnxModel, providers
from vtoon.train import students

pytest.importorskip("onnxruntime")


def test_an_exported_model(command, make_clip, portrait, tmp_path, monkeypatch):
    """One test of all that is done with a file, for to write one takes most of a minute. It is of the model that ships:
    a random one hardly moves the face, and its tones are within any range."""
    exported = tmp_path / "comic.onnx"
    ended = command("export", exported, "--style", "comic-night", "--style_degree", 0.8, "--color_transfer")
    assert ended.code == 0 and "comic-night" in ended.out

    options = {"style": "comic-night", "style_degree": 0.8, "color_transfer": True, "dtype": "fp32"}
    wanted = vtoon.load("default", "cpu").stylize_image(portrait, **options)
    model = vtoon.load(exported, "cpu")
    assert np.abs(wanted.astype(int) - model.stylize_image(portrait)).max() <= 1
    assert [style.name for style in model.styles] == ["comic-night"]
    clip = make_clip(tmp_path / "a.mp4", 2, portrait)
    assert model.stylize_video(clip, tmp_path / "b.mp4").faces == 1

    save_image(tmp_path / "photos" / "me.png", portrait)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(students.PRESETS, "live", TINY)
    args = ["--faces", "photos", "--style", "mine", "--preset", "live", "--init", "none", "--perc_loss", 0]
    args += ["--iter", 1, "--batch", 2, "--size", 64, "--device", "cpu"]
    ended = command("distill", "--teacher", exported, *args)
    assert ended.code == 0, ended.err
    assert vtoon.load("runs/mine/mine.safetensors", "cpu").styles[0].name == "mine"

    out = command("inspect", exported).out
    assert "exported" in out and "comic-night" in out
    before = exported.read_bytes()
    assert "exists already" in command("export", exported).line
    assert exported.read_bytes() == before


def test_a_published_model_needs_a_face_or_the_colours_of_the_style(command, published_folder, tmp_path):
    model = published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt"
    assert "--face" in command("export", tmp_path / "x.onnx", "--ckpt", model, "--style", 2).line


def test_a_photo_without_a_face_is_refused(command, published_folder, small_encoder, tmp_path):
    save_image(tmp_path / "wall.png", np.full((200, 200, 3), 120, np.uint8))
    model = published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt"
    ended = command("export", tmp_path / "x.onnx", "--ckpt", model, "--face", tmp_path / "wall.png")
    assert ended.code == 1 and "no face was found" in ended.line and not (tmp_path / "x.onnx").exists()


def test_a_specialised_file_needs_no_face_and_says_what_it_draws(command, published_folder, portrait, tmp_path):
    home = tmp_path / "vtoonify_d_x"
    shutil.copytree(published_folder / "vtoonify_d_x", home)
    (tmp_path / "faceparsing.pth").symlink_to(published_folder / "faceparsing.pth")
    (home / "vtoonify_s_d.pt").rename(home / "vtoonify_s003_d0.5_c.pt")
    model = home / "vtoonify_s003_d0.5_c.pt"
    ended = command("export", tmp_path / "x.onnx", "--ckpt", model, "--style", 2, "--style_degree", 1)
    assert ended.code == 0 and "003" in ended.out
    assert "style 3 only" in ended.err and "degree 0.5 only" in ended.err and "colours of the style" in ended.err
    options = {"placement": "crop", "padding": (40,) * 4, "dtype": "fp32"}
    got = vtoon.load(tmp_path / "x.onnx", "cpu").stylize_image(portrait, **options)
    wanted = vtoon.load(model, "cpu").stylize_image(portrait, **options)
    assert got.shape == wanted.shape and np.abs(wanted.astype(int) - got).max() <= 1


def test_the_device_chooses_what_computes():
    assert providers(torch.device("cpu")) == ["CPUExecutionProvider"]
    (name, own), last = providers(torch.device("cuda:1"))
    assert (name, own["device_id"], last) == ("CUDAExecutionProvider", 1, "CPUExecutionProvider")


def test_a_file_that_is_not_one(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"hello")
    with pytest.raises(VtoonError, match="not a file of vtoon export"):
        OnnxModel(tmp_path / "x.onnx", torch.device("cpu"))
