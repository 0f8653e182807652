"""An exported file draws what PyTorch draws, at any size, and runs in the pipeline."""

import shutil

import numpy as np
import pytest
import torch

import vtoon
from vtoon.errors import VtoonError
from vtoon.export import OnnxModel, providers
from vtoon.image import save_image

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(tiny_model, tmp_path_factory):
    from vtoon.cli.export import Export

    path = tmp_path_factory.mktemp("onnx") / "comic.onnx"
    Export(path, style="comic-sunset", style_degree=0.7, color_transfer=True, ckpt=tiny_model).run()
    return path


def test_the_pipeline_draws_the_same_with_it(exported, tiny_model, portrait):
    wanted = vtoon.load(tiny_model, "cpu").stylize_image(
        portrait, style="comic-sunset", style_degree=0.7, color_transfer=True, dtype="fp32"
    )
    got = vtoon.load(exported, "cpu").stylize_image(portrait)
    assert np.abs(wanted.astype(int) - got).max() <= 1
    assert [style.name for style in vtoon.load(exported, "cpu").styles] == ["comic-sunset"]


def test_videos_too(exported, make_clip, portrait, tmp_path):
    clip = make_clip(tmp_path / "a.mp4", 2, portrait)
    assert vtoon.load(exported, "cpu").stylize_video(clip, tmp_path / "b.mp4").faces == 1


def test_an_existing_file_is_kept(command, exported, tiny_model):
    before = exported.read_bytes()
    assert "exists already" in command("export", exported, "--ckpt", tiny_model).line
    assert exported.read_bytes() == before


def test_a_published_model_needs_a_face_or_the_colours_of_the_style(command, published_folder, portrait, tmp_path):
    model = published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt"
    flags = ("export", tmp_path / "x.onnx", "--ckpt", model, "--style", 2, "--style_degree", 0.6)
    assert "--face" in command(*flags).line
    assert command(*flags, "--color_transfer").code == 0
    options = {"placement": "crop", "padding": (40,) * 4, "dtype": "fp32"}
    got = vtoon.load(tmp_path / "x.onnx", "cpu").stylize_image(portrait, **options)
    wanted = vtoon.load(model, "cpu").stylize_image(portrait, style=2, style_degree=0.6, color_transfer=True, **options)
    assert got.shape == wanted.shape and np.abs(wanted.astype(int) - got).max() <= 1


def test_a_photo_without_a_face_is_refused(command, published_folder, small_encoder, tmp_path):
    save_image(tmp_path / "wall.png", np.full((200, 200, 3), 120, np.uint8))
    model = published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt"
    ended = command("export", tmp_path / "x.onnx", "--ckpt", model, "--face", tmp_path / "wall.png")
    assert ended.code == 1 and "no face was found" in ended.line and not (tmp_path / "x.onnx").exists()


def test_a_specialised_file_needs_no_face_and_says_what_it_draws(command, published_folder, tmp_path):
    home = tmp_path / "vtoonify_d_x"
    shutil.copytree(published_folder / "vtoonify_d_x", home)
    (tmp_path / "faceparsing.pth").symlink_to(published_folder / "faceparsing.pth")
    (home / "vtoonify_s_d.pt").rename(home / "vtoonify_s003_d0.5_c.pt")
    ended = command("export", tmp_path / "x.onnx", "--ckpt", home / "vtoonify_s003_d0.5_c.pt")
    assert ended.code == 0 and "003" in ended.out
    assert "style 3 only" in ended.err and "degree 0.5 only" in ended.err and "colours of the style" in ended.err


def test_the_device_chooses_what_computes():
    assert providers(torch.device("cpu")) == ["CPUExecutionProvider"]
    (name, own), last = providers(torch.device("cuda:1"))
    assert (name, own["device_id"], last) == ("CUDAExecutionProvider", 1, "CPUExecutionProvider")


def test_a_file_that_is_not_one(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"hello")
    with pytest.raises(VtoonError, match="not a file of vtoon export"):
        OnnxModel(tmp_path / "x.onnx", torch.device("cpu"))
