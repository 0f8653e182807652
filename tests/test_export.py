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
def exported(tmp_path_factory):
    """Of the model that ships: a random one hardly moves the face, and its tones are within any range."""
    from vtoon.cli.export import Export

    path = tmp_path_factory.mktemp("onnx") / "comic.onnx"
    Export(path, style="comic-sunset", style_degree=0.8, color_transfer=True).run()
    return path


def test_the_pipeline_draws_the_same_with_it(exported, portrait):
    wanted = vtoon.load("default", "cpu").stylize_image(
        portrait, style="comic-sunset", style_degree=0.8, color_transfer=True, dtype="fp32"
    )
    got = vtoon.load(exported, "cpu").stylize_image(portrait)
    assert np.abs(wanted.astype(int) - got).max() <= 1
    assert [style.name for style in vtoon.load(exported, "cpu").styles] == ["comic-sunset"]


def test_inspect_says_what_it_is(exported, command):
    out = command("inspect", exported).out
    assert "exported" in out and "comic-sunset" in out


def test_videos_too(exported, make_clip, portrait, tmp_path):
    clip = make_clip(tmp_path / "a.mp4", 2, portrait)
    assert vtoon.load(exported, "cpu").stylize_video(clip, tmp_path / "b.mp4").faces == 1


def test_an_existing_file_is_kept(command, exported):
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
