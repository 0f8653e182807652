"""VToonify's training as its users start it: published flags, files and keys; stop and go on; processes; bad input."""

import json
import os
import re
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
import tyro
from parity import published_keys
from tiny_teachers import SIZE, STYLES, save_files

from vtoon.cli import vtoonify_training
from vtoon.cli.train_vtoonify import TrainD, TrainT, main
from vtoon.models.dualstylegan import DualStyleGAN
from vtoon.models.face_parsing import BiSeNet
from vtoon.painters.published import PublishedModel
from vtoon.pipeline.stylize import load
from vtoon.train.settings import Settings
from vtoon.train.trainer import TrainOptions, fit, run_phase

BARE = ["--no_parsing", "--no_style_encoder", "--perceptual", "none", "--quiet", "--device", "cpu"]
PUBLISHED_D = """--iter 9 --batch 2 --lr 0.001 --local_rank 0 --start_iter 0 --save_every 7 --save_begin 5 --log_every 3
    --adv_loss 0.1 --grec_loss 0.2 --perc_loss 0.3 --tmp_loss 0.4 --msk_loss 0.5 --fix_degree --fix_style --fix_color
    --exstyle_path a.npy --style_id 2 --style_degree 0.3 --encoder_path b.pt --direction_path c.npy
    --stylegan_path d.pt --faceparsing_path e.pth --style_encoder_path f.pt --name n --pretrain""".split()
PUBLISHED_T = """--iter 9 --batch 2 --lr 0.001 --local_rank 0 --start_iter 0 --save_every 7 --save_begin 5 --log_every 3
    --adv_loss 0.1 --grec_loss 0.2 --perc_loss 0.3 --tmp_loss 0.4 --encoder_path b.pt --direction_path c.npy
    --stylegan_path d.pt --finetunegan_path g.pt --faceparsing_path e.pth --style_encoder_path f.pt --name n
    --weight 1 1 1 1 1 1 1 1 1 0 0 0 0 0 0 0 0 0 --pretrain""".split()


@pytest.fixture(autouse=True)
def small_nets(one_thread):
    """Every test here."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Both trainings' first stage done once: its folder."""
    folder = save_files(tmp_path_factory.mktemp("files"))
    here = Path.cwd()
    os.chdir(folder)
    try:
        for kind in (TrainD, TrainT):
            assert run(kind, "--pretrain", "--iter", "2", "--batch", "2") == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def home(files, monkeypatch):
    monkeypatch.chdir(files)
    return files


def parsed(kind, *args):
    config = (tyro.conf.OmitArgPrefixes,)
    return tyro.cli(kind, args=[*BARE, *map(str, args)], use_underscores=True, config=config)


def run(kind, *args):
    with pytest.raises(SystemExit) as end:
        main(kind, [*BARE, *map(str, args)])
    return end.value.code


@pytest.mark.parametrize(("kind", "args"), [(TrainD, PUBLISHED_D), (TrainT, PUBLISHED_T)])
def test_every_published_flag(kind, args):
    found = tyro.cli(kind, args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
    assert found.pretrain and found.tmp_loss == 0.4 and str(found.stylegan_path) == "d.pt" and found.name == "n"
    default = tyro.cli(kind, args=[], use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
    assert (default.iter, default.batch, default.lr, default.save_every, default.log_every) == (
        2000,
        8,
        1e-4,
        30000,
        200,
    )
    assert (default.adv_loss, default.grec_loss, default.perc_loss, default.tmp_loss) == (0.01, 0.1, 0.01, 1.0)


@pytest.mark.parametrize(
    ("kind", "flags", "name"),
    [
        (TrainD, [], "vtoonify_s_d_c.pt"),
        (TrainD, ["--fix_color"], "vtoonify_s_d.pt"),
        (TrainD, ["--fix_style", "--style_id", 1, "--fix_degree"], "vtoonify_s001_d0.5_c.pt"),
        (TrainT, [], "vtoonify.pt"),
    ],
)
def test_stage_two_writes_what_inference_takes(home, kind, flags, name):
    assert run(kind, "--iter", 3, "--batch", 2, "--log_every", 3, *flags) == 0
    folder = home / "checkpoint" / f"vtoonify_{kind.__name__[-1].lower()}_cartoon"
    assert cv2.imread(str(home / "log" / folder.name / "00003.jpg")).shape[1] > SIZE
    assert "G/rec" in json.loads((home / "log" / folder.name / "log.jsonl").read_text().splitlines()[-1])
    stylizer = load(folder / name, "cpu")
    model = stylizer.checkpoint
    assert isinstance(model, PublishedModel) and model.dual == (kind is TrainD) and model.parser is None
    assert model.eyes == SIZE / 2 / 4 and model.own_code is not None
    assert len(model.bank) == (STYLES if model.dual else 1)
    drawn = stylizer.stylize_image(np.full((96, 96, 3), 128, np.uint8), placement="full")
    assert drawn.shape == (96, 96, 3)


def test_a_file_says_what_it_was_trained_with(home, command):
    assert run(TrainT, "--iter", 1, "--batch", 1, "--name", "told", "--encoder_path", ENCODER_T) == 0
    trained, single = "checkpoint/told/vtoonify.pt", "told.safetensors"
    assert command("convert", trained, single).code == 0
    for path in (trained, single):
        said = command("inspect", path).out
        for words in ("perceptual  none", "parsing     False", "8 px apart", "without a style encoder"):
            assert words in said, said


def test_the_keys_are_the_published_ones(home, monkeypatch):
    """Names do not depend on widths: a thin DualStyleGAN of 256 px makes the file of a wide one."""
    channels = dict.fromkeys((4, 8, 16, 32, 64, 128, 256), 4)
    torch.save({"g_ema": DualStyleGAN(256, 16, 8, channels, 4).state_dict()}, home / "256.pt")
    codes = {"a": np.zeros((1, 14, 16), np.float32)}
    np.save(home / "256.npy", codes, allow_pickle=True)
    flags = ["--stylegan_path", "256.pt", "--exstyle_path", "256.npy", "--name", "wide", "--iter", 1, "--batch", 1]
    monkeypatch.setattr(vtoonify_training, "RGB", 22)  # as with parsing, which needs a large network
    monkeypatch.setattr("vtoon.train.recipes.encoder_pretrain.network_input", lambda *_: torch.zeros(1, 22, 64, 64))
    both = torch.zeros(1, 22, 64, 64), torch.zeros(1, 22, 256, 256)
    monkeypatch.setattr("vtoon.train.recipes.vtoonify.near_and_whole", lambda *_: both)
    expected = published_keys("vtoonify_d_64_256")
    assert run(TrainD, "--pretrain", *flags, "--log_every", 2) == 0
    encoder = torch.load(home / "checkpoint/wide/pretrain.pt", weights_only=True)["g_ema"]
    assert {f"encoder.{key}" for key in encoder} == {key for key in expected if key.startswith("encoder.")}
    assert run(TrainD, *flags, "--log_every", 2) == 0
    whole = torch.load(home / "checkpoint/wide/vtoonify_s_d_c.pt", weights_only=True)
    assert set(whole["g_ema"]) == set(expected)
    copied = np.load(home / "checkpoint/wide/exstyle_code.npy", allow_pickle=True).item()
    assert set(copied) == {"a"}


def recipe_of(kind, *args):
    return parsed(kind, *args)._prepared("cpu", lambda line: None)


def weights_of(recipe):
    return torch.cat([p.flatten() for p in (*recipe.net.parameters(), *recipe.ema.module.parameters())])


@pytest.mark.parametrize("kind", [TrainD, TrainT])
def test_a_stopped_run_goes_on_bit_for_bit(home, kind):
    args = ("--iter", 4, "--batch", 2, "--log_every", 9, "--no_resume")
    whole, options = recipe_of(kind, *args)
    fit(whole, replace(options, folder=home / f"{kind.__name__}whole"))
    for steps in (2, 4):
        parts, options = recipe_of(kind, *args)
        fit(parts, replace(options, folder=home / f"{kind.__name__}parts", steps=steps, resume=True))
    assert torch.equal(weights_of(whole), weights_of(parts))


def test_only_the_encoder_and_the_fusion_are_trained_and_learn(home, monkeypatch):
    """On one lesson, over and over."""
    first = Settings.draws
    monkeypatch.setattr(Settings, "draws", lambda self, step: first(self, 0))
    recipe, _ = recipe_of(TrainD, "--iter", 40, "--batch", 4, "--lr", 0.002, "--fix_color", "--tmp_loss", 0)
    frozen = {k: v.clone() for k, v in recipe.net.state_dict().items() if k.startswith(("generator.", "res."))}
    losses = []
    for step in range(20):
        lesson = recipe.next_batch(0)
        losses.append([run_phase(phase, lesson) for phase in recipe.phases][1]["G/rec"])
        recipe.end_step(step)
    assert losses[-1] < 0.8 * losses[0]
    after = recipe.net.state_dict()
    assert all(torch.equal(after[k], v) for k, v in frozen.items())
    moved = [k for k, v in recipe_of(TrainD, "--fix_color")[0].net.state_dict().items() if not torch.equal(after[k], v)]
    assert moved and all(k.startswith(("encoder.", "fusion_")) for k in moved)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--pretrain"], []])
def test_compiled_it_learns_the_same_and_writes_the_same_names(home, monkeypatch, flags):
    """Without the backend, which takes minutes: what is traced and how often is the point."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    found = []
    for more in ([], ["--compile"]):
        recipe, options = recipe_of(TrainD, "--iter", 2, "--batch", 2, "--log_every", 9, "--no_resume", *flags, *more)
        fit(recipe, replace(options, folder=home / f"compiled{len(more)}"))
        found.append(recipe.net.state_dict())
    assert list(found[0]) == list(found[1])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("flags", [["--pretrain"], ["--adv_loss", 0.5]])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(home, flags):
    found = []
    for parts in (1, 2):
        recipe, _ = recipe_of(TrainD, "--iter", 1, "--batch", 8, "--no_resume", *flags)
        recipe.step = 1  # every term counts
        lesson = recipe.next_batch(1)
        for phase in recipe.phases:
            phase.optimizer.param_groups[0]["lr"] = 0.0
            run_phase(phase, lesson, parts)
        found.append(torch.cat([p.grad.flatten() for phase in recipe.phases for p in phase.parameters]))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5 * float(found[0].abs().max()))


def process(index: int, folder: str) -> None:
    os.chdir(folder)
    os.environ |= {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": Path("port").read_text()}
    torch.set_num_threads(1)
    with pytest.raises(SystemExit) as end:
        main(TrainD, [*BARE, "--iter", "2", "--batch", "4", "--name", "two", "--encoder_path", ENCODER])
    assert end.value.code == 0


ENCODER_T = "checkpoint/vtoonify_t_cartoon/pretrain.pt"
ENCODER = "checkpoint/vtoonify_d_cartoon/pretrain.pt"


def test_two_processes_learn_what_one_does_with_the_joined_batch(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (home / "port").write_text(str(free.getsockname()[1]))
    mp.spawn(process, (str(home),), nprocs=2)
    assert run(TrainD, "--iter", 2, "--batch", 8, "--name", "one", "--encoder_path", ENCODER) == 0
    one, two = (
        torch.load(home / "checkpoint" / name / "vtoonify_s_d_c.pt", weights_only=True)["g_ema"]
        for name in ("one", "two")
    )
    start = torch.load(home / ENCODER, weights_only=True)["g_ema"]
    moved = max(float((one[f"encoder.{k}"] - v).abs().max()) for k, v in start.items())
    assert moved > 0
    # Adam's first steps are the gradients' signs: rounding flips those of a few weights whose gradient is nothing.
    apart = torch.cat([(one[k] - two[k]).abs().flatten() for k in one])
    assert float((apart > 0.05 * moved).float().mean()) < 0.01


CHECKPOINTS = "checkpoint/cartoon/"


@pytest.mark.parametrize(
    ("kind", "flags", "says"),
    [
        (
            TrainD,
            "--fix_style --style_id 3",
            "is 3; checkpoint/cartoon/refined_exstyle_code.npy has styles 0 to 2",
        ),
        (TrainD, "--fix_degree --style_degree 1.5", "style_degree is 1.5; it must be 0"),
        (TrainD, "--stylegan_path x.pt", "x.pt: no such file"),
        (TrainD, "--exstyle_path x.npy", "x.npy: no such file; it is DualStyleGAN's"),
        (TrainD, f"--exstyle_path {CHECKPOINTS}generator.pt", "expected style codes"),
        (TrainD, f"--stylegan_path {CHECKPOINTS}finetune-000600.pt", "expected DualStyleGAN generator"),
        (TrainT, "--finetunegan_path x.pt", "x.pt: no such file"),
        (TrainT, "--weight 1 0", "--weight has 2 numbers; a generator of 64 px takes 10"),
        (TrainT, "--photos . --drawings checkpoint", "0 pairs of one name"),
        (TrainT, "--photos .", "--photos and --drawings belong together"),
        (TrainD, "--size 128", "--size 128: checkpoint/cartoon/generator.pt draws 64 px"),
        (TrainD, "--name other", "checkpoint/other/pretrain.pt: no such file; the same command with --pretrain"),
        (TrainD, f"--encoder_path {CHECKPOINTS}generator.pt", "expected encoder of VToonify alone"),
        (TrainD, "--direction_path checkpoint/cartoon/refined_exstyle_code.npy", "expected editing directions"),
        (TrainD, "--batch 0", "--batch is 0; it must be 1 or more"),
        (TrainD, "--lr 0", "--lr is 0.0"),
        (TrainD, "--adv_loss -1", "--adv_loss is -1.0"),
        (TrainD, "--accumulate 3", "a batch of 8 does not divide into 3 parts"),
        (TrainD, "--limit_memory 0.0001", "a step of one picture needs about"),
        (TrainD, "--device gpu", "device 'gpu' is not known"),
    ],
)
def test_bad_input_is_one_line_before_anything_starts(home, capsys, kind, flags, says):
    before = sorted(home.rglob("*"))
    assert run(kind, *flags.split()) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert says in line
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("--no_parsing", "faceparsing.pth is missing: it goes to checkpoint/faceparsing.pth; get it with"),
        ("--no_style_encoder", "encoder.pt is missing: it goes to checkpoint/encoder.pt; get it with"),
    ],
)
def test_a_missing_companion_says_how_to_do_without(home, capsys, missing, says):
    with pytest.raises(SystemExit) as end:
        main(TrainT, ["--iter", "1", *(flag for flag in BARE if flag != missing)])
    line = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 1 and says in line and missing in line


def test_a_network_with_parsing_takes_the_published_one(home):
    torch.save(BiSeNet().state_dict(), home / "parsing.pth")
    flags = ["--faceparsing_path", "parsing.pth", "--iter", "1", "--batch", "1", "--log_every", "2", "--name", "parsed"]
    with pytest.raises(SystemExit) as end:
        main(TrainT, ["--pretrain", *(flag for flag in BARE if flag != "--no_parsing"), *flags])
    assert end.value.code == 0
    encoder = torch.load(home / "checkpoint/parsed/pretrain.pt", weights_only=True)["g_ema"]
    assert encoder["0.0.weight"].shape[1] == 22


def test_pairs_of_pictures_teach(home):
    for folder, value in (("photo", 60), ("drawn", 200)):
        (home / folder).mkdir()
        for i in range(3):
            cv2.imwrite(str(home / folder / f"{i}.png"), np.full((80, 80, 3), value, np.uint8))
    recipe, _ = recipe_of(TrainT, "--photos", "photo", "--drawings", "drawn", "--batch", 2, "--iter", 2)
    lesson = recipe.next_batch(0)
    assert lesson.target.shape[2] == SIZE
    assert float(lesson.whole[:, :3].mean()) == pytest.approx(60 / 127.5 - 1, abs=0.02)
    assert float(lesson.target.mean()) == pytest.approx(200 / 127.5 - 1, abs=0.02)


def test_the_old_flags_still_train_the_built_in_kind(monkeypatch, capsys):
    started = []
    monkeypatch.setattr("vtoon.cli.train.main", started.append)
    main(TrainT, ["--faces", "portraits", "--name", "mine"])
    assert started == [["--faces", "portraits", "--name", "mine"]]
    assert "vtoon train --faces portraits --name mine" in capsys.readouterr().err


def test_options_are_those_of_the_layout(home):
    _, options = recipe_of(TrainD, "--fix_color", "--iter", 7)
    expected = TrainOptions(Path("checkpoint/vtoonify_d_cartoon"), 7, logs=Path("log/vtoonify_d_cartoon"))
    assert (options.folder, options.log_folder, options.steps) == (expected.folder, expected.logs, 7)
    assert options.previews.format(step=12) == "00012.jpg" and options.state == "vtoonify_s_d_state.pt"


def test_the_commands_of_the_page_parse():
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    found = [re.search(r"train_vtoonify_([dt])\.py (.*)", line) for line in lines]
    commands = [(TrainD if m[1] == "d" else TrainT, m[2].split()) for m in found if m]
    assert len(commands) == 6
    for kind, args in commands:
        assert tyro.cli(kind, args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,)).batch
