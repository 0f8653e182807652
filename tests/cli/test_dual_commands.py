"""`vtoon dual`: each command runs on tiny networks, writes what it says, goes on where it stopped, takes each flag."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import tyro
from torch import nn

from vtoon.cli import dual
from vtoon.cli.dual_common import logs
from vtoon.image import load_image, save_image
from vtoon.latent import invert
from vtoon.models.stylegan2 import Generator
from vtoon.painters import companions
from vtoon.weights.duals import grown
from vtoon.weights.generators import save_generator
from vtoon.weights.published import load_style_codes

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE, DIM, ROWS = 32, 12, 8
CHANNELS = dict.fromkeys((4, 8, 16, 32), 6)
NAMES = ["a.png", "b.png", "c.png"]
WORKS = "destylize pretrain finetune refine sampler generate transfer".split()
FOLDERS = "checkpoint/cartoon", "data/cartoon/images/train", "faces"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """As DualStyleGAN's documentation lays it out: a base, its fine-tuned child, a DualStyleGAN, three artworks."""
    monkeypatch.chdir(tmp_path)
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    torch.manual_seed(0)
    base = Generator(SIZE, DIM, 2, CHANNELS)
    save_generator(tmp_path / "checkpoint" / "stylegan2-ffhq-config-f.pt", base)
    torch.save({"g_ema": grown(base, tmp_path).state_dict()}, tmp_path / "checkpoint" / "cartoon" / "generator.pt")
    for p in base.parameters():
        p.data += 0.1 * torch.randn_like(p)
    save_generator(tmp_path / "checkpoint" / "cartoon" / "finetune-000600.pt", base)
    pictures = np.random.default_rng(0).integers(0, 255, (3, SIZE, SIZE, 3), dtype=np.uint8)
    for name, picture in zip(NAMES, pictures, strict=True):
        save_image(tmp_path / "data/cartoon/images/train" / name, picture)
        save_image(tmp_path / "faces" / name, picture[::-1])
    return tmp_path


@pytest.fixture
def ran(command, home):
    """ran(...) runs `vtoon dual ...`; it must end well and name files that are there."""

    def run(*args: object) -> str:
        ended = command("dual", *args)
        assert ended.code == 0, ended.err
        for line in ended.out.splitlines():
            assert line.startswith(" ") or (home / line.split(": ")[0]).exists(), line
        return ended.out

    return run


def codes(home, name="exstyle_code.npy", names=NAMES, rows=ROWS):
    made = {n: np.random.default_rng(i).normal(size=(1, rows, DIM)).astype(np.float32) for i, n in enumerate(names)}
    np.save(home / "checkpoint" / "cartoon" / name, made, allow_pickle=True)


def test_codes_are_found_in_the_published_layout_and_only_missing_ones_again(ran, command, home):
    (home / "data/cartoon/images/train/c.png").rename(home / "c.png")
    ran("destylize", "cartoon", "--iter", 1, "--batch", 2)
    ex, within = (home / "checkpoint/cartoon" / name for name in ("exstyle_code.npy", "instyle_code.npy"))
    raw = np.load(ex, allow_pickle=True).item()
    assert list(raw) == ["a.png", "b.png"] and raw["a.png"].shape == (1, ROWS, DIM) and raw["a.png"].dtype == np.float32
    assert load_image(home / "log/cartoon/destylize.png")[0].shape[1] > 4 * 128
    before = [load_style_codes(path) for path in (ex, within)]
    (home / "c.png").rename(home / "data/cartoon/images/train/c.png")
    assert "2 had theirs" in ran("destylize", "--iter", 1)
    after = [load_style_codes(path) for path in (ex, within)]
    assert [list(found) for found in after] == [NAMES, NAMES]
    assert all(torch.equal(a[name], b[name]) for a, b in zip(after, before, strict=True) for name in b)
    assert "codes of 3 artworks" in ran("refine", "--iter", 1, "--batch", 3, "--lr_color", 0.1)
    refined = load_style_codes(home / "checkpoint/cartoon/refined_exstyle_code.npy")
    assert list(refined) == NAMES and not torch.equal(refined["a.png"], after[0]["a.png"])
    (home / "data/cartoon/images/train/a.png").unlink()
    ended = command("dual", "destylize", "--iter", 1)
    assert ended.code == 1 and "has codes of other pictures (a.png)" in ended.err.splitlines()[-1]


def test_both_trainings_and_the_files_they_hand_on(ran, home):
    ran("pretrain", "faces", "--iter", 2, "--batch", 2, "--augment", "--wandb", "--n_sample", 2)
    assert (home / "log/pretrain/generator-pretrain_00002.png").is_file()
    for name in ("exstyle_code.npy", "instyle_code.npy"):
        codes(home, name)
    short = "--batch", 2, "--save_every", 1, "--save_begin", 1, "--n_sample", 2
    out = ran("finetune", "cartoon", "--iter", 1, *short)
    assert "checkpoint/cartoon/generator-000001.pt: 1 of 1 steps done; pick one" in out
    assert "2 of 2 steps" in ran("finetune", "cartoon", "--iter", 2, *short)
    own = torch.load(home / "checkpoint/cartoon/generator-000001.pt", weights_only=True)
    (home / "checkpoint/cartoon/generator_state.pt").unlink()
    ran("finetune", "--iter", 2, *short, "--ckpt", "checkpoint/cartoon/generator-000001.pt", "--model_name", "again")
    whole, again = (torch.load(home / f"checkpoint/cartoon/{name}-000002.pt", weights_only=True)["g_ema"]
                    for name in ("generator", "again"))  # fmt: skip
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert not torch.equal(own["g_ema"]["style.1.weight"], whole["style.1.weight"])
    ran("generate", "--model_name", "again-000002.pt", "--batch", 2)


def test_logs_lie_where_they_were_published_and_else_beside_the_files():
    assert logs(Path("./checkpoint/"), "cartoon") == Path("log/cartoon")
    assert logs(Path("runs/mine"), "cartoon") == Path("runs/mine/log/cartoon")


def test_the_sampler_goes_on_and_portraits_are_of_it(ran, command, home):
    codes(home)
    ran("sampler", "--iter", 20)
    assert "30 steps" in ran("sampler", "--iter", 30)
    whole = torch.load(home / "checkpoint/cartoon/sampler.pt", weights_only=True)["structure"]
    ran("sampler", "--iter", 30, "--no_resume")
    again = torch.load(home / "checkpoint/cartoon/sampler.pt", weights_only=True)["structure"]
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert "--no_resume replaces it" in command("dual", "sampler", "--seed", 1).line
    assert "styles by sampler.pt" in ran("generate", "--batch", 3, "--fix_content", "--fix_color", "--name", "x")
    assert {path.name for path in (home / "output").iterdir()} == {"x.jpg", "x_overview.jpg"}


def test_one_photo_in_the_style_of_one_artwork(ran, home, tmp_path):
    codes(home)
    np.savez(home / "w.npz", w=np.random.default_rng(5).normal(size=(1, ROWS, DIM)).astype(np.float32))
    plain = "--content", "faces/a.png", "--style_id", 1, "--projected_w", "w.npz"

    def drawn(*args):
        out = ran("transfer", *plain, *args)
        return load_image(home / out.split(": ")[0])[0].astype(int)

    whole = drawn("--sheet")
    made = {path.name for path in (home / "output").iterdir()}
    assert made == {f"cartoon_transfer_1_a{end}.jpg" for end in ("", "_overview", "_degrees")}
    assert whole.shape == (SIZE, SIZE, 3)
    weights = drawn("--weight", *[0.75] * 7, 1.0, "--name", "w")
    assert (whole == weights).all()
    face = drawn("--structure", 0, "--color", 0, "--name", "f")
    kept = drawn("--structure", 0, "--preserve_color", "--name", "k")  # T_s begins as the identity
    assert np.abs(face - kept).mean() < 1 and (face != whole).any()
    assert (drawn("--edit", "0:2", "--name", "e") != whole).any()
    assert "the face by search" in ran("transfer", *plain[:4], "--steps", 1, "-o", "s")


class SmallEncoder(nn.Module):
    """Stands in for pSp, whose weights alone are a gigabyte: what it has been asked is what it tells."""

    def __init__(self, rows=ROWS):
        super().__init__()
        self.encoder, self.average = SimpleNamespace(styles=range(rows)), torch.zeros(rows, DIM)

    def forward(self, x):
        return x.mean((1, 2, 3))[:, None, None] + torch.linspace(-1, 1, ROWS * DIM).view(ROWS, DIM)


def test_an_encoder_is_asked_where_there_is_one(ran, command, home, monkeypatch):
    (home / "checkpoint/encoder.pt").touch()
    for module in (companions, invert):
        monkeypatch.setattr(module, "load_encoder", lambda path: SmallEncoder())
    ran("destylize", "--iter", 1, "--batch", 3)
    code = load_style_codes(home / "checkpoint/cartoon/exstyle_code.npy")["a.png"][0]
    assert torch.allclose(code - code[0, 0], torch.linspace(-1, 1, ROWS * DIM).view(ROWS, DIM) + 1, atol=1e-5)
    plain = "transfer", "--content", "faces/a.png", "--style_id", 1
    whole, same, w_plus = (
        load_image(home / ran(*plain, *more, "--name", f"n{i}").split(": ")[0])[0]
        for i, more in enumerate(((), ("--truncation", 0.75), ("--wplus", "--encoder", "checkpoint/encoder.pt")))
    )  # fmt: skip
    assert (whole == same).all() and (whole != w_plus).any()
    assert "encoder" not in command("dual", "pretrain", "faces", "--iter", 1, "--batch", 2, "--n_sample", 1).err
    monkeypatch.setattr(companions, "load_encoder", lambda path: SmallEncoder(18))
    assert "it tells 18 rows" in command("dual", "pretrain", "faces").err


BAD = [
    (["destylize", "none"], "data/none/images/train: no such folder"),
    (["destylize", "../x"], "it is a folder's name"),
    (["destylize", "--iter", 0], "iter is 0"),
    (["destylize", "--batch", 0], "batch is 0"),
    (["destylize", "--model_name", "gone.pt"], "gone.pt: no such file"),
    (["destylize", "--base", "checkpoint/cartoon/generator.pt"], "this is a file for"),
    (["pretrain"], "name the photos"),
    (["pretrain", "gone"], "gone: no such data set"),
    (["pretrain", "faces", "--ckpt", "gone.pt"], "gone.pt: no such file"),
    (["pretrain", "faces", "--size", 64], "draws 32 px"),
    (["pretrain", "faces", "--channel_multiplier", 2], "has other channels"),
    (["pretrain", "faces", "--inject_index", 8], "they must be 1 to 7"),
    (["pretrain", "faces", "--batch", 0], "--batch is 0"),
    (["pretrain", "faces", "--mixing", 2], "--mixing is 2"),
    (["pretrain", "faces", "--encoder", "gone.pt"], "gone.pt: no such file"),
    (["finetune"], "checkpoint/generator-pretrain.pt: no such file"),
    (["finetune", "--ckpt", "checkpoint/cartoon/generator.pt"], "vtoon dual destylize makes it"),
    (["finetune", "--L2_reg_loss", -1], "--L2_reg_loss is -1"),
    (["finetune", "--accumulate", 3], "it must divide the batch"),
    (["refine"], "vtoon dual destylize makes it"),
    (["refine", "--lr_color", -1], "lr_color -1"),
    (["sampler"], "vtoon dual destylize makes it"),
    (["sampler", "--iter", 0], "iter is 0"),
    (["generate"], "vtoon dual destylize makes it"),
    (["generate", "--truncation", 9], "truncation is 9"),
    (["generate", "--weight", 1, 1], "--weight has 2 numbers"),
    (["generate", "--model_name", "finetune-000600.pt"], "expected DualStyleGAN generator"),
    (["transfer"], "vtoon dual destylize makes it"),
    (["transfer", "--exstyle_name", "few.npy", "--content", "faces/a.png"], "style_id is 53; "),
    (["transfer", "--exstyle_name", "low.npy"], "codes of 6 rows of 12"),
    (["transfer", "--exstyle_name", "few.npy", "--style_id", 0], "data/content/081680.jpg: no such file"),
    (["transfer", "--exstyle_name", "few.npy", "--style_id", 0, "--structure", 2], "degrees of structure and colour"),
    (["transfer", "--exstyle_name", "few.npy", "--style_id", 0, "--align_face", "--content", "faces/a.png"], "no face"),
    (
        ["transfer", "--exstyle_name", "few.npy", "--style_id", 0, "--content", "faces/a.png", "--edit", "x:1"],
        "direction 'x': give a number",
    ),
    (["transfer", "--style", "a/b"], "it is a folder's name"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[" ".join(map(str, words)) for words, _ in BAD])
def test_bad_input_is_one_line_and_leaves_nothing(command, home, words, line):
    codes(home, "few.npy", NAMES[:1])
    codes(home, "low.npy", NAMES, 6)
    before = sorted(home.rglob("*"))
    ended = command("dual", *words)
    errors = [text for text in ended.err.splitlines() if not text.startswith("note: ")]
    assert ended.code == 1 and len(errors) == 1 and line in errors[0] and ended.out == "", ended.err
    assert [path for path in sorted(home.rglob("*")) if path not in before and path.is_file()] == []


SAMPLES = dict.fromkeys(("N", "PX", "INT", "1..7", "1|2", "ID"), "3") | {"auto|cpu|cuda|mps": "cpu"}
SAMPLES |= dict.fromkeys(("PSI", "WEIGHT", "SHARE", "FLOAT", "0..1", "W0 W1 ..."), "0.5")
SAMPLES |= {"DIRECTION:AMOUNT [...]": "smile:1"}
SAMPLES |= dict.fromkeys(("PATH", "FILE", "FILE.npz", "NAME", "FILE|NAME", "STYLE"), "x")
COMMON = "batch n_sample size r1 path_regularize path_batch_shrink d_reg_every g_reg_every mixing lr wandb "
COMMON += "channel_multiplier augment augment_p ada_target ada_length ada_every"
LOSSES = "style_loss CX_loss perc_loss id_loss L2_reg_loss"
PUBLISHED = {  # every flag of the published scripts
    "destylize": "truncation iter batch model_name model_path data_path",
    "pretrain": f"iter save_every subspace_freq model_name style {COMMON}",
    "finetune": f"iter save_begin save_every subspace_freq ckpt {LOSSES} {COMMON}",
    "refine": "iter batch lr_color lr_structure model_name model_path data_path",
    "sampler": "iter",
    "generate": "batch style truncation weight name fix_content fix_color fix_structure model_name sampler_name",
    "transfer": "content style style_id truncation weight name preserve_color model_path model_name output_path "
    "data_path align_face exstyle_name wplus",
}


@pytest.mark.parametrize("name", WORKS)
def test_every_flag_parses_and_every_published_one_is_there(command, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = command("dual", name, "--help").out
    lines = re.findall(r"^. ((?:-\w|--\w+)[^\n]*?)(?:  |\n|$)", text, re.MULTILINE)
    first, last = [name], [name]  # each flag by its first and by its last spelling
    for line in lines[1:]:  # after --help
        spellings = [part.strip() for part in re.split(r", (?=-)|\|(?=--)", line)]
        flags = [spelling.partition(" ")[0] for spelling in spellings]
        value = spellings[-1].partition(" ")[2].strip()
        value = value.strip("{}").split(",")[0] if value.startswith("{") else SAMPLES[value] if value else ""
        for words, flag in ((first, flags[:1]), (last, flags[-1:])):
            words += [*flag, *([value] if value else [])]
    for words in (first, last):
        tyro.cli(dual.Dual, args=words, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
    assert {f"--{flag}" for flag in PUBLISHED[name].split()} <= {*first, *last}


def test_the_module_starts_the_same(home, capsys):
    with pytest.raises(SystemExit) as ended:
        dual.main(["generate", "--truncation", "9"])
    assert ended.value.code == 1 and capsys.readouterr().err.strip() == "error: truncation is 9; it must be 0 to 2"


def test_the_sheet_of_a_style_shows_what_dualstylegan_draws(command, home):
    codes(home)
    here = home / "checkpoint"
    words = ["style", "sheet", "--drawings", "data/cartoon/images/train", "--faces", "faces"]
    words += ["--generators", here / "stylegan2-ffhq-config-f.pt"]
    dual = [here / "cartoon" / "generator.pt", here / "cartoon" / "exstyle_code.npy"]
    assert command(*words, "-o", "plain.png").code == 0
    ended = command(*words, "-o", "sheet.png", "--dual", *dual)
    assert ended.code == 0 and "sheet.png: 4 rows" in ended.out, ended.err
    plain, sheet = load_image("plain.png")[0], load_image("sheet.png")[0]
    row = sheet.shape[0] - plain.shape[0]
    drawn, seeds = (sheet[top : top + row, -6 * row :] for top in (2 * row, row))
    assert np.abs(drawn.astype(int) - seeds).mean() > 1  # the same seeds, in styles
    missing = command(*words, "-o", "sheet.png", "--dual", dual[0], here / "none.npy")
    assert missing.code and "none.npy: no such file" in missing.err
