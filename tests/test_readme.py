"""What README says works: its commands run (the long ones parse), its Python runs, what it names exists."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch
import tyro
from PIL import Image
from tiny import TINY

import vtoon.pipeline.stylize
from vtoon.cli import common
from vtoon.cli.bench import Bench
from vtoon.cli.launcher import StyleTransfer
from vtoon.cli.main import COMMANDS
from vtoon.cli.train_vtoonify import TrainD, TrainT
from vtoon.models.builtin import BuiltinVToonify
from vtoon.train.looks import LOOKS, PALETTES
from vtoon.video.encoders import CODECS, CONTAINERS
from vtoon.weights.checkpoint import save_checkpoint

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


LINES = [shlex.split(line, comments=True) for block in blocks("bash") for line in block.splitlines()]
LONG = (
    "bench",
    "--sheet",
    "export",
    "train",
    "align",
    "blend",
    "toonify",
    "finetune",
    "dual",
    "edit",
    "dataset",
    "web",
    "live",
    "curate",
    "serve",
    "style",
    "distill",
)  # these are parsed here and run by tests of their own
RUN = [
    words[words[0] == "python" :]
    for words in LINES
    if (words[0] == "vtoon" or words[1] == "style_transfer.py") and not set(LONG) & set(words)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model with the built-in model's styles."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("readme") / "model.safetensors"
    save_checkpoint(path, BuiltinVToonify(list(LOOKS), list(PALETTES), TINY), {})
    return path


@pytest.fixture
def home(tmp_path, model, make_clip, monkeypatch):
    """A folder with the files that README's examples name; the tiny model stands in for the built-in one."""
    clip = make_clip(tmp_path / "me.mp4", 2)
    for name in ("clips/a.mp4", "more/b.mp4", "data/demo.mp4"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(clip, tmp_path / name)
    Image.new("RGB", (48, 48), "gray").save(tmp_path / "photo.jpg")
    for name in ("checkpoints/default.safetensors", "runs/mine/model.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(model, tmp_path / name)
    monkeypatch.setattr(vtoon.pipeline.stylize, "DEFAULT_CHECKPOINT", model)
    monkeypatch.setattr(common, "DEMO_CLIP", tmp_path / "data" / "demo.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_command_runs(command, home, words):
    ended = command(*words[words[0] == "vtoon" :])
    assert ended.code == 0, ended.err


def test_python_runs(home, capsys):
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    assert "cartoon" in capsys.readouterr().out


def test_every_other_command_parses():
    for words in LINES:
        program, args = words[words[0] == "python"], words[1 + (words[0] == "python") :]
        if program == "vtoon":
            tyro.extras.subcommand_cli_from_dict(
                COMMANDS, args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,)
            )
        elif program == "train_vtoonify_d.py":
            tyro.cli(TrainD, args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
        elif program == "benchmarks/speed.py":
            tyro.cli(Bench, args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
        elif program == "benchmarks/memory.py":
            tyro.cli(script("benchmarks/memory.py").Memory, args=args, use_underscores=True)
        elif program in ("benchmarks/engine.py", "benchmarks/distill.py", "benchmarks/serve.py"):
            tyro.cli(script(program).Bench, args=args, use_underscores=True)
        elif program in ("benchmarks/temporal.py", "benchmarks/identity.py"):
            tyro.extras.get_parser(script(program).main, use_underscores=True).parse_args(args)
        else:
            assert program in ("make", "pip", "conda", "style_transfer.py"), (
                f"README names {program}, which is not tested"
            )


def script(name: str):
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / name)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str((ROOT / name).parent))  # as for a script that is run
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    sys.path.pop(0)
    return module


def test_make_targets_and_extras_exist():
    makefile, project = (ROOT / "Makefile").read_text(), (ROOT / "pyproject.toml").read_text()
    for target in re.findall(r"(?<!style )\bmake ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for extra in re.findall(r'"\.\[(\w+)\]"', README):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


def test_the_table_of_formats_is_that_of_the_encoders():
    rows = re.findall(r"^\| (`\..*?) \| (.*?) \|$", (ROOT / "data" / "README.md").read_text(), re.MULTILINE)
    stated = {suffix: set(names.split(", ")) for suffixes, names in rows for suffix in re.findall(r"\.\w+", suffixes)}
    for suffix in CONTAINERS:
        assert stated[suffix] == {name for name, codec in CODECS.items() if suffix in codec.suffixes}, suffix


def test_files_that_are_named_exist():
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "checkpoints/README.md"):
        text = (ROOT / page).read_text()
        for link in re.findall(r"\]\((?!http)([^)]+)\)", text):
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_flags_that_are_named_exist():
    known = {word for words in LINES for word in words} | set(re.findall(r"--\w+", " ".join(helps())))
    for flag in re.findall(r"--[a-z_]+", README):
        assert flag in known or flag == "--file", flag


def helps() -> list[str]:
    classes = (StyleTransfer, *COMMANDS.values(), TrainD, TrainT)
    return [
        tyro.extras.get_parser(cls, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,)).format_help()
        for cls in classes
    ]
