"""`vtoon convert`: one file that draws what the published ones draw, and says where it is from."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.stylize import load
from vtoon.weights.converted import FORMAT
from vtoon.weights.lockfile import sha256

CROP = {"placement": "crop", "padding": (60,) * 4, "style_degree": 0.6}


@pytest.fixture
def layout(published_folder, tmp_path):
    """The published files where a test may change them."""
    for name in ("vtoonify_d_x", "vtoonify_t_x"):
        shutil.copytree(published_folder / name, tmp_path / "checkpoint" / name)
    (tmp_path / "checkpoint" / "faceparsing.pth").symlink_to(published_folder / "faceparsing.pth")
    return tmp_path / "checkpoint"


@pytest.fixture
def refused(command, tmp_path):
    """refused(source, target, ...) converts, checks what holds for every refusal, and returns the line."""

    def check(source, target, *flags) -> str:
        before = sorted(tmp_path.rglob("*"))
        ended = command("convert", source, target, *flags)
        assert ended.code == 1 and ended.out == "" and sorted(tmp_path.rglob("*")) == before
        return ended.line

    return check


def metadata(path) -> dict:
    with safe_open(path, "pt") as file:
        return file.metadata()


@pytest.mark.parametrize(("kind", "style"), [("d", 2), ("t", 0)])
def test_it_draws_exactly_what_the_published_file_draws(command, layout, small_encoder, portrait, kind, style):
    source, target = layout / f"vtoonify_{kind}_x" / "vtoonify_s_d.pt", layout / "model.safetensors"
    ended = command("convert", source, target)
    assert ended.code == 0 and f"VToonify-{kind.upper()}" in ended.out
    before, after = load(source, "cpu"), load(target, "cpu")
    shutil.rmtree(source.parent)  # nothing of it is needed any more
    assert before.styles == after.styles and before.checkpoint.special == after.checkpoint.special
    wanted, got = (stylizer.stylize_image(portrait, style=style, **CROP) for stylizer in (before, after))
    assert np.array_equal(wanted, got)


def test_the_command_draws_with_it(command, layout, small_encoder, portrait, tmp_path):
    from PIL import Image

    Image.fromarray(portrait).save(tmp_path / "me.png")
    target = layout / "model.safetensors"
    command("convert", layout / "vtoonify_d_x" / "vtoonify_s_d.pt", target)
    flags = ("--ckpt", target, "--device", "cpu", "--style", "003")
    assert command("stylize", tmp_path / "me.png", "-o", tmp_path / "toon.png", *flags).code == 0
    assert "3  003" in command("styles", "--ckpt", target).out


def test_half_precision_halves_the_file_and_hardly_changes_the_drawing(command, layout, small_encoder, portrait):
    source, full, half = layout / "vtoonify_d_x" / "vtoonify_s_d.pt", layout / "a.safetensors", layout / "b.safetensors"
    assert command("convert", source, full).code == command("convert", full, half, "--half").code == 0
    weights = [sum(t.nbytes for name, t in load_file(path).items() if name != "codes") for path in (full, half)]
    assert weights[1] == weights[0] / 2
    drawn = [load(path, "cpu").stylize_image(portrait, **CROP).astype(int) for path in (source, half)]
    assert np.abs(drawn[0] - drawn[1]).mean() < 1
    origins = [json.loads(metadata(path)["provenance"]) for path in (full, half)]
    assert origins == [origins[0], origins[0] | {"weights": "float16"}]


def test_it_says_where_it_is_from_and_what_it_was_trained_for(command, layout):
    source = (layout / "vtoonify_d_x" / "vtoonify_s_d.pt").rename(layout / "vtoonify_d_x" / "vtoonify_s002_d0.5.pt")
    target = layout / "mine.safetensors"
    assert command("convert", source, target).code == 0
    facts = metadata(target)
    assert facts["format"] == FORMAT and json.loads(facts["names"]) == [f"{i:03d}.jpg" for i in range(4)]
    assert json.loads(facts["provenance"]) == {
        "file": "vtoonify_s002_d0.5.pt",
        "sha256": sha256(source),
        "licence": "S-Lab License 1.0, non-commercial",
        "weights": "float32",
    }
    model = load(target, "cpu").checkpoint
    style, degree, *_ = model.settled(1, 0.9, False)
    assert (style.id, degree) == (2, 0.5)
    assert any("mine.safetensors draws style 2" in note for note in load(target, "cpu").notes(StylizeOptions(style=1)))
    out = command("inspect", target).out
    for words in ("VToonify-D", "2 only", "0.5 only", "S-Lab License 1.0", sha256(source), "vtoonify_s002_d0.5.pt"):
        assert words in out


def test_codes_from_elsewhere(command, refused, layout, tmp_path):
    source, target = layout / "vtoonify_d_x" / "vtoonify_s_d.pt", layout / "a.safetensors"
    codes = source.with_name("exstyle_code.npy").rename(tmp_path / "mine.npy")
    assert "exstyle_code.npy is missing" in refused(source, target)
    assert command("convert", source, target, "--exstyle_path", codes).code == 0
    assert len(load(target, "cpu").styles) == 4
    np.save(codes, {"a": np.zeros((1, 18, 512), np.float32)}, allow_pickle=True)
    assert "of another model" in refused(source, layout / "b.safetensors", "--exstyle_path", codes)


def test_what_is_refused(refused, layout):
    source, target = layout / "vtoonify_d_x" / "vtoonify_s_d.pt", layout / "a.safetensors"
    assert "no such file" in refused(layout / "no.pt", target)
    assert "face parsing" in refused(layout / "faceparsing.pth", target)
    assert ".safetensors file" in refused(source, layout / "a.pth")
    target.write_bytes(b"mine")
    assert "exists already" in refused(source, target) and target.read_bytes() == b"mine"
    assert "same file" in refused(target, target, "--overwrite") and target.read_bytes() == b"mine"


def test_a_damaged_file_is_one_line(command, layout, make_clip, tmp_path):
    path, clip = layout / "a.safetensors", make_clip(tmp_path / "a.mp4", 1)
    command("convert", layout / "vtoonify_d_x" / "vtoonify_s_d.pt", path)
    tensors, facts = load_file(path), metadata(path)
    for change, says in (
        ({"config": "{}"}, "damaged"),
        ({"config": "[" * 9}, "damaged"),
        ({"names": '["a"]'}, "damaged"),
        ({"format": "vtoon-published-9"}, "not a vtoon model file"),
    ):
        save_file(tensors, path, facts | change)
        for words in (("inspect", path), ("stylize", clip, "-o", tmp_path / "out.mp4", "--ckpt", path)):
            ended = command(*words)
            assert ended.code == 1 and says in ended.line and str(path) in ended.line
    tensors["net.encoder.0.0.weight"][0] = float("nan")
    save_file(tensors, path, facts)
    assert "not finite" in command("inspect", path).line
