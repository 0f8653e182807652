"""`vtoon dataset` and `vtoon finetune`: from a folder of pictures to a generator that the other commands take."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
import tyro

from vtoon.cli import main
from vtoon.image import load_image, save_image
from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator

pytestmark = pytest.mark.usefixtures("one_thread")
CHANNELS = {4: 8, 8: 8, 16: 8}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """pictures/ (20 x 24 px), faces.pt of 16 px with a discriminator, other.pt without."""
    root = tmp_path_factory.mktemp("studio")
    rng = np.random.default_rng(0)
    for i in range(6):
        save_image(root / "pictures" / f"{i}.png", rng.integers(0, 255, (24, 20, 3), dtype=np.uint8))
    torch.manual_seed(0)
    whole = {"g_ema": Generator(16, 12, 2, CHANNELS).state_dict(), "d": Discriminator(16, CHANNELS).state_dict()}
    torch.save(whole, root / "faces.pt")
    torch.save({"g_ema": Generator(16, 12, 2, CHANNELS).state_dict()}, root / "other.pt")
    return root


@pytest.fixture
def here(root, tmp_path, monkeypatch, command):
    """A folder with square.zip in it."""
    monkeypatch.chdir(tmp_path)
    made = command("dataset", root / "pictures", "square.zip", "--size", 16)
    assert made.code == 0 and made.out == "square.zip: 6 pictures of 16 px, 0 left out\n", made.err
    return tmp_path


def test_a_folder_becomes_a_generator_that_draws(here, root, command):
    words = ["finetune", "--data", "square.zip", "--resume", root / "faces.pt", "-o", "run", "--batch", 4, "--snap", 1,
             "--mirror", "--metrics", "none", "--device", "cpu", "--preview", 2]  # fmt: skip
    first = command(*words, "--kimg", 0.008)
    assert first.code == 0 and "run/network-snapshot-000000.pt: 0.0 of 0.008 kimg" in first.out, first.err
    assert "6 pictures in memory" in first.out and "gamma 0.0128" in first.out and "new one" not in first.out
    again = command(*words, "--kimg", 0.016)
    assert "goes on from run/state.pt" in again.out
    assert again.code == 0 and [json.loads(x)["step"] for x in open("run/log.jsonl")] == [2, 4]
    assert load_image("run/preview_000004.png")[0].shape == (76, 156, 3)
    drawn = command("generate", "run/network-snapshot-000000.pt", "--seeds", 1)
    assert drawn.code == 0, drawn.err


def test_published_names_keep_their_meaning(here, root, command):
    ended = command("finetune", "--path", "square.zip", "--ckpt", root / "other.pt", "-o", "run", "--kimg", 0.004,
                    "--batch", 4, "--freezeG", 2, "--freezeD", 1, "--freezeStyle", 2, "--freezeFC", "--structure_loss",
                    1, "--aug", "fixed", "--augment_p", 0.4, "--r1", 10, "--augpipe", "scale,xflip,noise",
                    "--dtype", "bf16", "--nkimg", 0, "--device", "cpu", "--metrics", "none")  # fmt: skip
    assert ended.code == 0, ended.err
    assert "a new one, so that the first kimg are rough" in ended.out and "gamma 10\n" in ended.out
    made, before = (torch.load(path)["g_ema"] for path in ("run/network-snapshot-000000.pt", root / "other.pt"))
    moved = {".".join(k.split(".")[:2]) for k in made if not torch.equal(made[k], before[k])}
    assert moved == {"convs.0", "convs.1", "convs.2", "convs.3", "to_rgbs.0", "to_rgbs.1"}
    assert torch.load("run/network-snapshot-000000.pt")["ada_aug_p"] == 0.4


def test_the_quality_of_snapshots_is_named_for_what_it_is(here, root, command):
    ended = command("finetune", "--data", "square.zip", "--resume", root / "faces.pt", "--kimg", 0.004, "--batch", 4,
                    "--metrics", "kid", "--device", "cpu")  # fmt: skip
    assert ended.code == 0 and "quality: KID by dlib's face embedding" in ended.out, ended.err
    (line,) = (json.loads(line) for line in open("runs/finetune/metrics.jsonl"))
    assert np.isfinite(line["KID by dlib's face embedding"])


def test_from_nothing_and_by_the_clock(here, command):
    ended = command("finetune", "--data", "square.zip", "--size", 8, "--minutes", 0, "--device", "cpu", "--metrics",
                    "none", "-o", "new")  # fmt: skip
    assert ended.code == 0 and "the same command goes on" in ended.out and "model: nothing, 8 px" in ended.out


GOOD = ["--data", "square.zip", "--resume", "FACES", "--device", "cpu"]
BAD = [
    ([], "name the pictures"),
    (["--data", "none"], "--size None: a model from nothing draws"),
    (["--data", "square.zip", "--size", 48], "draws 8, 16, 32"),
    (["--data", "none", "--resume", "FACES"], "none: no such data set"),
    (["--data", "one", "--resume", "FACES"], "readable pictures: 1; at least 2"),
    (["--data", "empty", "--resume", "FACES"], "no picture in it"),
    (["--data", "PICTURES", "--resume", "FACES"], "20x24 px do not fit a network of 16 px; vtoon dataset"),
    (["--data", "text.txt", "--resume", "FACES"], "not a data set"),
    (["--data", "square.zip", "--resume", "ffhq256"], "checkpoint/ffhq256.pkl: no such file"),
    (["--data", "square.zip", "--resume", "square.zip"], "an archive, but not of PyTorch"),
    ([*GOOD, "--size", 32], "draws 16 px; leave --size out"),
    ([*GOOD, "--batch", 0], "batch is 0"),
    ([*GOOD, "--accumulate", 3], "must divide the batch"),
    ([*GOOD, "--minutes", -1], "minutes is -1"),
    ([*GOOD, "--accumulate", 16, "--path_regularize", 2], "it can be up to 8"),
    ([*GOOD, "--target", 2], "target is 2"),
    ([*GOOD, "--augpipe", "bgx"], "augpipe 'bgx' does not exist"),
    ([*GOOD, "--triplet", 1], "--positive CKPT --negative CKPT"),
    ([*GOOD, "--triplet", 1, "--positive", "none.pt", "--negative", "FACES"], "none.pt: no such file"),
    ([*GOOD, "--freeze_g", 1, "--freezeG", 2], "give one"),
    ([*GOOD, "--freeze_g", 3], "it can be 0 to 2"),
    ([*GOOD, "--freezeD", 9], "freezeD is 9"),
    ([*GOOD, "--freeze_d", 99], "freeze_d is 99"),
    ([*GOOD, "--freeze_style", 99], "freeze_style is 99"),
    ([*GOOD, "--structure_loss", 3], "structure_loss 3"),
    (["--data", "square.zip", "--size", 16, "--freeze_g", 1], "name it with --resume"),
    ([*GOOD, "--outdir", "text.txt"], "the folder cannot be made"),
    ([*GOOD, "--device", "cuda:9"], "device cuda:9 is not available"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[" ".join(map(str, words)) or "nothing" for words, _ in BAD])
def test_bad_input_is_one_line(here, root, command, words, line):
    save_image("one/a.png", np.zeros((16, 16, 3), np.uint8))
    (here / "empty").mkdir()
    (here / "text.txt").write_text("no pictures")
    names = {"FACES": root / "faces.pt", "PICTURES": root / "pictures"}
    ended = command("finetune", *(names.get(word, word) for word in words), "--metrics", "none")
    assert ended.code == 1 and line in ended.err.splitlines()[-1], ended.err
    assert not list(here.rglob("network-snapshot*"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["none", "a.zip"], "no such data set"),
        (["PICTURES", "a.zip", "--size", 8, 16], "holds one size, not 2"),
        (["PICTURES", "square.zip"], "exists already"),
        (["PICTURES", "a.zip", "--quality", 101], "quality is 101|quality 101"),
        (["PICTURES", "a.npy", "--size", 1], "4 to 4096 px"),
        (["empty", "a.npy"], "no picture in it"),
        (["PICTURES", "full"], "is no LMDB"),
    ],
)
def test_bad_data_sets_are_one_line_and_leave_nothing(here, root, command, words, line):
    (here / "empty").mkdir()
    (here / "full").mkdir()
    (here / "full" / "a").write_text("mine")
    before = sorted(here.rglob("*"))
    ended = command("dataset", *({"PICTURES": root / "pictures"}.get(word, word) for word in words))
    assert ended.code == 1 and re.search(line, ended.line) and sorted(here.rglob("*")) == before


SAMPLES = dict.fromkeys(("N", "INT", "1|2", "50..100", "PX", "PX [PX ...]"), "2") | {
    "bgc|scale,xflip,...": "scale,xflip"
}
SAMPLES |= dict.fromkeys(("SHARE", "KIMG", "WEIGHT", "FLOAT", "auto|R1"), "0.5")
SAMPLES |= dict.fromkeys(("PATH", "CKPT", "CKPT|NAME", "FILE.txt"), "x") | {"auto|cpu|cuda|mps": "cpu"}


@pytest.mark.parametrize("name", ["dataset", "finetune"])
def test_every_flag_and_every_old_name_parses(command, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = command(name, "--help").out
    lines = re.findall(r"^. ((?:-\w|--\w+)[^\n]*?)(?:  |\n|$)", text, re.MULTILINE)
    spellings = [part.strip() for line in lines for part in re.split(r", (?=-)", line) if part not in ("-h", "--help")]
    assert len(spellings) > 4
    for spelling in spellings:
        flag, _, value = spelling.partition(" ")
        value = value.strip("{}").split(",")[0] if value.startswith("{") else SAMPLES[value] if value else ""
        for each in flag.split("|"):
            args = [*(["in", "out"] if name == "dataset" else []), each, *([value] if value else [])]
            tyro.cli(main.COMMANDS[name], args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
