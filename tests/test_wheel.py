"""The wheel, made by way of the sdist and installed alone, draws with the built-in model far from the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vtoon

ROOT = Path(__file__).parents[1]
PARTS = "CHANGELOG.md CONTRIBUTING.md LICENSE MANIFEST.in README.md pyproject.toml setup.py style_transfer.py".split()
FOLDERS = ("vtoon", "docs", "scripts")
MODELS = ("README.md", "default.safetensors", "live.safetensors")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2])"


def run(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """A command of this Python, without what else its path may hold."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, *map(str, words)]
    return subprocess.run(words, cwd=cwd, env=kept | environment, capture_output=True, text=True)


def built(kind: str, source: Path, target: Path) -> Path:
    """The sdist or wheel of a source tree, by its build backend, which needs no network."""
    ended = run("-c", BUILD, kind, target, cwd=source)
    assert ended.returncode == 0, ended.stderr
    (file,) = target.iterdir()
    return file


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """Made from a copy, for building leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    for name in PARTS:
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "checkpoints").mkdir()
    for name in MODELS:
        shutil.copy(ROOT / "checkpoints" / name, source / "checkpoints")
    return built("sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    flags = ("--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--quiet")
    ended = run("-m", "pip", "install", *flags, "--target", target, wheel, cwd=target.parent)
    assert ended.returncode == 0, ended.stderr
    return target


@pytest.fixture
def away(installed, tmp_path):
    """away(*words): a command in an empty folder, with what is installed and not the source tree."""
    return lambda *words: run(*words, cwd=tmp_path, PYTHONPATH=str(installed))


def test_the_sdist_is_the_source_tree(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {*PARTS, "scripts/make_demo_clip.py", "docs/model-card.md", "vtoon/py.typed"} <= names
    assert {f"checkpoints/{name}" for name in MODELS} <= names


def test_the_wheel_holds_the_package_and_its_model_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "vtoon").rglob("*.py")}
    web = (path for path in (ROOT / "vtoon" / "web").iterdir() if path.suffix in (".css", ".js", ".svg"))
    modules |= {f"vtoon/web/{path.name}" for path in web}
    assert names == modules | {"vtoon/py.typed"} | {f"vtoon/checkpoints/{name}" for name in MODELS}
    assert wheel.name == f"vtoon-{vtoon.__version__}-py3-none-any.whl"


def test_a_picture_is_drawn_in_an_empty_folder(away, installed, tmp_path, portrait):
    Image.fromarray(portrait).save(tmp_path / "photo.jpg")
    ended = away(installed / "bin" / "vtoon", "stylize", "photo.jpg", "--device", "cpu")
    assert ended.returncode == 0 and "1 face" in ended.stdout, ended.stderr
    with Image.open(tmp_path / "output" / "photo.jpg") as drawn:
        change = np.abs(np.array(drawn).astype(int) - portrait)
    assert change[100:200, 120:220].mean() > 5 and change[:40, :40].mean() < 3


def test_what_lies_in_the_source_tree_is_said_to(away, installed):
    origin, version, *lines = away("-c", ASK).stdout.splitlines()
    assert Path(origin).parent == installed / "vtoon" and version == f"vtoon {vtoon.__version__}"
    assert len(lines) == 2 and all("comes with" in line and "source tree only" in line for line in lines), lines
    assert lines[0].startswith("the demo clip") and "download_checkpoints.py" in lines[1]


ASK = """
import vtoon
from vtoon.cli.common import demo_clip
from vtoon.cli.main import main
from vtoon.weights.hub import find_published

print(vtoon.__file__)
main(["--version"])
for ask in (demo_clip, lambda: find_published("encoder.pt")):
    try:
        ask()
    except vtoon.VtoonError as error:
        print(error)
"""
