"""`vtoon dataset` and `vtoon finetune`: from a folder of pictures to a generator that the other commands take."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro

from vtoon.cli import main
from vtoon.cli.finetune import Finetune
from vtoon.cli.finetune_names import as_flags
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
    assert "a new one learns alone for 0 kimg" in ended.out and "gamma 10\n" in ended.out
    made, before = (torch.load(path)["g_ema"] for path in ("run/network-snapshot-000000.pt", root / "other.pt"))
    moved = {".".join(k.split(".")[:2]) for k in made if not torch.equal(made[k], before[k])}
    assert moved == {"convs.0", "convs.1", "convs.2", "convs.3", "to_rgbs.0", "to_rgbs.1"}
    assert torch.load("run/network-snapshot-000000.pt")["ada_aug_p"] == 0.4


def test_published_names_mean_what_they_mean_there(here, root):
    words = ["--data", "square.zip", "--iter", "6", "--batch", "4", "--ada_length", "250000", "--d_reg_every", "8",
             "--g_reg_every", "2", "--path_batch_shrink", "4", "--augment", "--finetune_loc", "2", "--initstrength",
             "0.2", "--ckpt", str(root / "faces.pt"), "--nobench", "--workers", "3"]  # fmt: skip
    asked = tyro.cli(Finetune, args=words, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
    meant = replace(asked, **asked.names.settings(asked))
    assert meant.kimg * 1000 == 24 and meant.keeping.last_g == 2
    start = meant._start()
    options = meant._options(torch.device("cpu"), start.net, start.disc)
    assert (options.ada_kimg, options.ada_p, options.d_every, options.g_every, options.path_shrink) == (
        250,
        0.2,
        8,
        2,
        4,
    )
    assert options.freeze_g == 1
    preset = tyro.cli(Finetune, args=["--cfg", "paper256", "--lr", "0.001"], use_underscores=True,
                      config=(tyro.conf.OmitArgPrefixes,))  # fmt: skip
    assert preset.names.settings(preset) == {"gamma": 1.0, "ema_kimg": 20.0, "channel_multiplier": 1}


def test_dualstylegans_first_step_by_its_own_command(here, root, command):
    words = [
        "square.zip",
        "--style",
        "mine",
        "--iter",
        2,
        "--save_every",
        1,
        "--batch",
        4,
        "--wandb",
        "--local_rank",
        0,
    ]
    words += ["--ckpt", root / "faces.pt", "--mirror", 1, "--allow-tf32=0", "--metrics", "none", "--device", "cpu"]
    ended = command("finetune", *words)
    assert ended.code == 0, ended.err
    assert "checkpoint/mine/finetune-000002.pt" in ended.out and "without effect here: --wandb" in ended.err
    assert [path.name for path in sorted(Path("checkpoint/mine").glob("*.pt"))] == [
        "finetune-000001.pt", "finetune-000002.pt", "state.pt",
    ]  # fmt: skip


def test_switches_may_have_values():
    assert as_flags("finetune --mirror 1 --nobench=0 --data 1 --allow-tf32 false".split()) == [
        "finetune", "--mirror", "--data", "1",
    ]  # fmt: skip


def test_the_quality_of_snapshots_is_named_for_what_it_is(here, root, command):
    ended = command("finetune", "--data", "square.zip", "--resume", root / "faces.pt", "--kimg", 0.004, "--batch", 4,
                    "--metrics", "kid,fid50k_full,pr", "--device", "cpu")  # fmt: skip
    assert ended.code == 0 and "quality: KID, FID, precision and recall by dlib's first features" in ended.out, (
        ended.err
    )
    (line,) = (json.loads(line) for line in open("runs/finetune/metrics.jsonl"))
    for name in ("KID", "FID", "precision", "recall"):
        assert np.isfinite(line[f"{name} by dlib's first features"])
    ended = command("finetune", "--data", "square.zip", "--size", 8, "--metrics", "is50k", "--device", "cpu", "-o", "x")
    assert ended.code == 1 and "'is50k' is none of kid, fid, pr" in ended.line


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
    (["--data", "square.zip", "--resume", "ffhq256"], "no such file; it is ffhq-res256-mirror-paper256-noaug.pkl, one"),
    ([*GOOD, "--gpus", 2], "gpus is 2, but processes that train: 1; write torchrun --nproc_per_node 2"),
    ([*GOOD, "--d_reg_every", 0], "d_reg_every is 0"),
    (["--data", "square.zip", "--resume", "square.zip"], "an archive, but not of PyTorch"),
    ([*GOOD, "--size", 8], "draws 16 px; it can grow to a larger power of two"),
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


SAMPLES = {
    "PICTURES": "500000",
    "BOOL": "True",
    "PX": "64",
    "auto|cpu|cuda|mps": "cpu",
    "auto|none|kid,fid,pr": "kid,fid",
}
SAMPLES |= dict.fromkeys(("N", "INT", "1|2", "50..100", "PX [PX ...]"), "2") | {"bgc|scale,xflip,...": "scale,xflip"}
SAMPLES |= dict.fromkeys(("SHARE", "KIMG", "WEIGHT", "FLOAT", "auto|R1"), "0.5")
SAMPLES |= dict.fromkeys(("PATH", "NAME", "CKPT", "CKPT|NAME", "FILE.txt"), "x")


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
