"""The studio's commands: each runs on a tiny generator, writes what it says, and takes every flag."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch
import tyro
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.cli import main
from vtoon.image import load_image, save_image
from vtoon.latent import text as text_module
from vtoon.latent import toonify as toonify_module
from vtoon.models.stylegan2 import Generator
from vtoon.video import VideoReader

pytestmark = pytest.mark.usefixtures("one_thread")
CHANNELS = {4: 8, 8: 8, 16: 8}
UNTRAINED = ("align", "detect", "blend")
STUDIO = (*UNTRAINED, *"generate project toonify mix morph sefa edit styleclip nada one".split())


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("pair")
    for seed, name in enumerate(("a", "b", "large")):
        torch.manual_seed(seed)
        net = Generator(16, 12, 2, CHANNELS) if name != "large" else Generator(32, 12, 2, {**CHANNELS, 32: 8})
        torch.save({"g_ema": net.state_dict()}, root / f"{name}.pt")
    return root / "a.pt", root / "b.pt", root / "large.pt"


@pytest.fixture
def ran(command, tmp_path, monkeypatch):
    """ran(...) runs a command in an empty folder; it must end well and name files that are there."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> set[str]:
        ended = command(*args)
        assert ended.code == 0, ended.err
        for line in ended.out.splitlines():
            assert (tmp_path / line.split(": ")[0]).exists(), line
        return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}

    return run


def frames(path):
    with VideoReader(path) as reader:
        return [frame.image for frame in reader]


def test_generate_pictures_sheet_and_video(ran, pair, tmp_path):
    assert ran("generate", pair[0], "--seeds", "1-2,42") == {f"output/seed{n:04d}.png" for n in (1, 2, 42)}
    old = ran("generate", "--network", pair[0], "--seeds=42", "--truncation", "0.7,1", "--outdir", "old")
    assert {"old/seed0042_0.7.png", "old/seed0042_1.png"} <= old
    first, same, other = (load_image(tmp_path / name)[0] for name in
                          ("output/seed0042.png", "old/seed0042_0.7.png", "old/seed0042_1.png"))  # fmt: skip
    assert (first == same).all() and (first != other).any() and first.shape == (16, 16, 3)
    ran("generate", pair[0], "--seeds", "1-3", "--trunc", "0.5,0.7", "--grid", "--video", "--frames", 2)
    assert load_image(tmp_path / "output" / "sheet.png")[0].shape[0] > 256
    assert len(frames(tmp_path / "output" / "walk_0.5.mp4")) == 6


def test_what_is_projected_is_drawn_and_walked_and_mixed(ran, pair, tmp_path):
    ran("generate", pair[0], "--seeds", "5")
    made = ran("project", "output/seed0005.png", "--no-align", "--ckpt", pair[0], "-o", "p", "--step", 12, "--mse", 1,
               "--vgg", 0, "--identity", 0, "--w_plus", "--save_video")  # fmt: skip
    assert {"p/projected_w.npz", "p/proj.png", "p/target.png", "p/proj.mp4"} <= made
    assert np.load(tmp_path / "p" / "projected_w.npz")["w"].shape == (1, 6, 12)
    assert len(frames(tmp_path / "p" / "proj.mp4")) == 4 and frames(tmp_path / "p" / "proj.mp4")[0].shape == (16, 32, 3)
    ran("generate", pair[0], "--projected-w", "p/projected_w.npz", "--outdir", "w")
    assert (load_image(tmp_path / "w" / "proj00.png")[0] == load_image(tmp_path / "p" / "proj.png")[0]).all()
    mixes = ran("mix", pair[0], "--rows", "1", "--cols", "2-3", "--styles", "0-1", "2-5", "--projected_w",
                "p/projected_w.npz")  # fmt: skip
    assert {"output/mix_0-1.png", "output/mix_2-5.png"} <= mixes


def test_several_pictures_are_projected_at_once(ran, pair, tmp_path, portrait):
    save_image(tmp_path / "a.png", portrait)
    save_image(tmp_path / "b.png", portrait[:, ::-1])
    made = ran("project", "a.png", "b.png", "--ckpt", pair[0], "--steps", 2)
    assert {"output/a/projected_w.npz", "output/b/proj.png"} <= made


def test_blend_writes_a_generator_and_a_sheet(ran, pair, tmp_path):
    made = ran("blend", pair[0], pair[1], "-o", "x.pt", "--res", 8, "--grid", "--seeds", "1")
    assert made == {"x.pt", "x.png"}
    ran("blend", "--lower_res_pkl", pair[0], "--higher_res_pkl", pair[1], "--output_path", "y.pt", "--split_res", 8,
        "--model_res", 16)  # fmt: skip
    ran("blend", pair[1], pair[0], "-o", "z.pt", "--res", 8, "--reverse")
    ran("blend", pair[0], pair[1], "-o", "v.pt", "--layers", "0:1,3:0.5")
    x, y, z, v = (torch.load(tmp_path / f"{name}.pt")["g_ema"] for name in "xyzv")
    low, high = (torch.load(path)["g_ema"] for path in pair[:2])
    assert all(torch.equal(x[key], y[key]) and torch.equal(x[key], z[key]) for key in x)
    assert torch.equal(x["convs.1.conv.weight"], low["convs.1.conv.weight"])
    assert torch.equal(x["convs.2.conv.weight"], high["convs.2.conv.weight"])
    mean = (low["convs.2.conv.weight"] + high["convs.2.conv.weight"]) / 2
    assert torch.allclose(v["convs.2.conv.weight"], mean, atol=1e-5)
    assert torch.equal(v["style.1.weight"], high["style.1.weight"])
    ran("generate", "x.pt", "--seeds", 1)


def test_morph_and_sefa(ran, pair, tmp_path):
    ran("morph", pair[0], "-o", "m.mp4", "--seeds", "1-3", "--frames", 2, "--loop", "--spherical", "--easing", "sine")
    assert len(frames(tmp_path / "m.mp4")) == 6
    made = ran("sefa", pair[0], "-i", 0, 2, "-d", 3, "-n", 1, "--video", "--frames", 3, "--ckpt2", pair[1],
               "--directions", "directions.npy", "--count", 4)  # fmt: skip
    assert {"output/factor.pt", "output/direction_02.png", "output/direction_00.mp4", "directions.npy"} <= made
    assert np.load(tmp_path / "directions.npy").shape == (4, 6, 12)
    again = ran("sefa", pair[0], "--factor", "output/factor.pt", "-i", 0, "-d", 3, "-n", 1, "-o", "again")
    assert "again/factor.pt" not in again
    one = load_image(tmp_path / "again" / "direction_00.png")[0]
    assert (load_image(tmp_path / "output" / "direction_00.png")[0][:, : one.shape[1]] == one).all()


def test_a_face_is_edited_and_drawn_so(ran, pair, tmp_path, portrait, monkeypatch):
    for folder, seeds in (("more", "1-2"), ("less", "5-6")):
        ran("generate", pair[0], "--seeds", seeds, "--outdir", folder)
    save_image(tmp_path / "me.png", portrait)
    made = ran("edit", "me.png", "--ckpt", pair[0], "--direction", 1, "--amount", 2, -1, "--more", "more",
               "--less", "less", "--no-align", "--steps", 2, "--folder_steps", 1, "--ckpt2", pair[1])  # fmt: skip
    results = ("me_edit.png", "me_slider.png", "me_edited_w.npz", "direction_more.npz")
    assert {f"output/{name}" for name in results} <= made
    known = toonify_module.face_of(tmp_path / "me.png")
    monkeypatch.setattr(toonify_module, "face_of", lambda _: known)
    words = "toonify", "me.png", "--ckpt", pair[1], "--base", pair[0], "--projected_w", "output/me_edited_w.npz"
    ran(*words, "-o", "a")
    ran(*words, "-o", "b", "--edit", "1:-2", "output/direction_more.npz:1")
    a, b = (load_image(tmp_path / name / "me_toon.png")[0] for name in "ab")
    assert (a != b).any()


def test_toonify_draws_a_photo_and_goes_on_where_one_has_no_face(ran, command, pair, tmp_path, portrait):
    save_image(tmp_path / "me.png", portrait)
    save_image(tmp_path / "wall.png", np.full((70, 80, 3), 99, np.uint8))
    made = ran("toonify", "me.png", "--ckpt", pair[1], "--base", pair[0], "--steps", 3, "--sheet")
    assert {"output/me_toon.png", "output/me_steps.png"} <= made
    drawn = load_image(tmp_path / "output" / "me_toon.png")[0]
    assert drawn.shape == portrait.shape and (drawn != portrait).any()
    ended = command("toonify", "wall.png", "me.png", "--ckpt", pair[0], "--steps", 2, "-o", "two")
    assert (
        ended.code == 1 and "wall.png: no face was found" in ended.line and (tmp_path / "two" / "me_toon.png").exists()
    )


def test_texts_and_one_picture_teach(ran, pair, tmp_path, monkeypatch, portrait):
    class Scorer:
        def __init__(self, *_):
            pass

        embed_images = staticmethod(lambda images: images.mean((2, 3)))
        embed_texts = staticmethod(lambda texts: torch.tensor([[len(t), 1.0, -len(t)] for t in texts]))

    monkeypatch.setattr(text_module, "OpenClip", Scorer)
    made = ran("styleclip", "a beard", pair[0], "--seeds", "1", "--step", 3, "--lr", 0.1, "--l2_lambda", 0.008)
    assert {"output/styleclip.png", "output/edited_w.npz"} <= made
    texts = "--source_text", "photo", "--target_text", "a sketch"
    assert {"n.pt", "n.png"} <= ran("nada", pair[0], *texts, "--iter", 2, "-o", "n.pt")
    save_image(tmp_path / "art.png", portrait)
    short = "--project_steps", 2, "--num_iter", 2, "--preserve_color"
    assert {"one.pt", "one.png"} <= ran("one", "art.png", pair[0], *short, "-o", "one.pt")
    for name in ("n.pt", "one.pt"):
        ran("generate", name, "--seeds", 1)


BAD = [
    (["generate"], "name one generator"),
    (["generate", "A", "--network", "A"], "name one generator"),
    (["generate", "gone.pt"], "gone.pt: no such file"),
    (["generate", "TEXT"], "text.txt: "),
    (["generate", "A", "--seeds", "x"], "give numbers and ranges"),
    (["generate", "A", "--trunc", "9"], "trunc is '9'"),
    (["generate", "A", "--frames", 0], "frames is 0"),
    (["generate", "A", "--projected_w", "gone.npz"], "no such file"),
    (["generate", "A", "--projected_w", "TEXT"], "no latent file"),
    (["blend", "A"], "two generators are needed"),
    (["blend", "A", "LARGE"], "the generators do not fit"),
    (["blend", "A", "B", "--res", 12], "it must be one of 4, 8, 16"),
    (["blend", "A", "B", "--layers", "9:1"], "write LAYER:SHARE"),
    (["blend", "A", "B", "--smooth", -1], "smooth is -1"),
    (["blend", "A", "B", "-o", "x.pkl"], "the output is a .pt file"),
    (["blend", "A", "B", "-o", "IN.pt"], "exists already"),
    (["blend", "A", "B", "--model_res", 64], "not the 64 of --model_res"),
    (["project", "--ckpt", "A"], "no picture"),
    (["project", "WALL"], "name one generator"),
    (["project", "WALL", "--ckpt", "A"], "add --no-align"),
    (["project", "WALL", "--ckpt", "A", "--init", "encoder"], "needs the encoder's file"),
    (["project", "WALL", "--ckpt", "A", "--no-align", "--encoder", "A"], "this is a file for"),
    (["project", "WALL", "--ckpt", "A", "--steps", 0], "steps is 0"),
    (["project", "WALL", "--ckpt", "A", "--no-align", "-o", "IN.pt"], "cannot be a folder"),
    (["toonify", "--ckpt", "A"], "no photo"),
    (["toonify", "WALL", "--ckpt", "A"], "no face was found"),
    (["toonify", "WALL", "--ckpt", "LARGE", "--base", "A"], "takes latents"),
    (["toonify", "WALL", "TEXT", "--ckpt", "A", "--projected_w", "w.npz"], "the latent of one photo"),
    (["mix", "A", "--layers", "0-9"], "layers 0 to 5"),
    (["mix", "A", "--rows", "x"], "give numbers and ranges"),
    (["morph", "A", "--seeds", "1"], "a walk needs two latents"),
    (["morph", "A", "-o", "x.png"], "the output is a .mp4"),
    (["morph", "A", "--spherical", "--projected_w", "w.npz"], "leave one of them out"),
    (["sefa", "A", "-i", 12], "direction 12: there are 0 to 11"),
    (["sefa", "A", "--factor", "A"], "no factor file"),
    (["sefa", "A", "--factor", "TEXT"], "text.txt: "),
    (["sefa", "A", "--layers", "7"], "layers 0 to 5"),
    (["sefa", "A", "--ckpt2", "LARGE"], "takes latents"),
    (["sefa", "A", "-n", 0], "samples is 0"),
    (["sefa", "A", "--directions", "d.npy", "--count", 99], "count is 99"),
    (["edit"], "no direction"),
    (["edit", "WALL", "--direction", "1"], "name one generator"),
    (["edit", "--ckpt", "A", "--direction", "1"], "no photo"),
    (["edit", "WALL", "--ckpt", "A", "--direction", "hat"], "direction 'hat': give a number"),
    (["edit", "WALL", "--ckpt", "A", "--direction", "99"], "direction 99: there are 0 to 11"),
    (["edit", "WALL", "--ckpt", "A", "--direction", "1"], "no face was found"),
    (["edit", "WALL", "--ckpt", "A", "--direction", "1", "--amount", 4], "it must be -3 to 3"),
    (["edit", "WALL", "--ckpt", "A", "--direction", "1", "2", "--amount", 1, 1, 1], "3 amounts for 2 directions"),
    (["edit", "WALL", "--ckpt", "A", "--direction", "1", "--layers", "9"], "layers 0 to 5"),
    (["edit", "WALL", "--ckpt", "A", "--more", "x"], "--more and --less belong together"),
    (["edit", "WALL", "--ckpt", "A", "--more", "x", "--less", "y"], "x: no such folder"),
    (["edit", "WALL", "--ckpt", "A", "--direction", "1", "--ckpt2", "LARGE"], "takes latents"),
    (["toonify", "WALL", "--ckpt", "A", "--edit", "smile"], "write DIRECTION:AMOUNT"),
    (["styleclip", " ", "A"], "a text is empty"),
    (["styleclip", "x", "A", "--steps", 0], "steps is 0"),
    (["styleclip", "x", "A"], "pip install"),
    (["nada", "A", "--batch", 0], "batch is 0"),
    (["nada", "A"], "pip install"),
    (["one", "WALL", "A"], "no face was found"),
    (["one", "WALL", "A", "--alpha", 2], "alpha 0 to 1"),
    (["one", "WALL", "A", "--project_steps", 0], "project_steps is 0"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[" ".join(map(str, words)) for words, _ in BAD])
def test_bad_input_is_one_line_and_leaves_nothing(command, pair, tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "open_clip", None)
    (tmp_path / "text.txt").write_text("neither a picture nor a generator")
    (tmp_path / "IN.pt").write_bytes(b"x")
    save_image(tmp_path / "wall.png", np.full((70, 80, 3), 99, np.uint8))
    before = sorted(tmp_path.rglob("*"))
    names = {"A": pair[0], "B": pair[1], "LARGE": pair[2], "TEXT": "text.txt", "WALL": "wall.png"}
    ended = command(*(names.get(word, word) for word in words))
    assert ended.code == 1 and line in ended.line and ended.out == ""
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.is_file()] == []


SAMPLES = dict.fromkeys(("N", "N [N ...]", "INT", "PX", "VARIANCE", "D"), "3")
SAMPLES |= dict.fromkeys(("PSI", "WEIGHT", "SHARE", "FLOAT", "OCTAVES", "0.5,0.7", "0.5,1,1.5"), "0.5")
SAMPLES |= dict.fromkeys(("PATH", "FILE", "FILE.csv", "FILE.npz", "OUT.pt", "OUT.mp4", "TEXT", "STR", "NAME|FILE"), "x")
SAMPLES |= {"N|FILE|NAME [...]": "smile", "-3..3 [...]": "2", "FOLDER": "x", "DIRECTION:AMOUNT [...]": "smile:1"}
SAMPLES |= {"1-8,42": "1-3", "0:1,8:0.5": "0:1", "0-3 [4-7 ...]": "0-1", "all|0-3,7": "0-1", "NAME[,NAME]": "A,B"}


@pytest.mark.parametrize("name", STUDIO)
def test_every_flag_and_every_old_name_parses(command, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = command(name, "--help").out
    lines = re.findall(r"^. ((?:-\w|--\w+)[^\n]*?)(?:  |\n|$)", text, re.MULTILINE)
    spellings = [part.strip() for line in lines for part in re.split(r", (?=-)", line) if part not in ("-h", "--help")]
    assert len(spellings) > 4 and any(part.startswith("--device") for part in spellings) == (name not in UNTRAINED)
    for spelling in spellings:
        flag, _, value = spelling.partition(" ")
        value = value.strip("{}").split(",")[0] if value.startswith("{") else SAMPLES[value] if value else ""
        required = {"styleclip": ["a text"], "one": ["x.png"]}.get(name, [])
        for each in flag.split("|"):
            args = [*required, each, *([value] if value else [])]
            tyro.cli(main.COMMANDS[name], args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))


@settings(deadline=None, max_examples=20)
@given(st.floats(0, 9), st.integers(1, 999), st.sampled_from(["w", "w+"]), st.sampled_from(["--vgg", "--perceptual"]))
def test_the_search_takes_old_and_new_names(weight, steps, space, name):
    from vtoon.cli.project import Search

    words = [name, str(weight), "--mse", str(weight), "--num-steps", str(steps), "--space", space]
    found = tyro.cli(Search, args=words, use_underscores=True).options()
    assert (found.perceptual, found.steps, found.space) == (weight, steps, space) if weight else True
