"""Imports go down: every module of vtoon imports lower layers, or stays inside its own package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vtoon"
LAYERS = (
    ("errors", "types"),
    ("system",),
    ("image",),
    ("ops", "video", "faces", "flow"),
    ("models", "metrics"),
    ("weights",),
    ("painters",),
    ("pipeline", "train", "latent"),
    ("compat", "stylize"),
    ("live", "cluster", "chain"),
    ("web",),
    ("cli",),
    ("__main__",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
# What only some users have is imported only by the module that is about it.
EXTRAS = {
    "gradio": {"web"},
    "fastapi": {"web"},
    "uvicorn": {"web"},
    "ray": {"cluster"},
    "pyvirtualcam": {"live"},
    "lmdb": {"train", "latent"},
    "lpips": {"weights"},
    "tensorboard": {"train"},
    "open_clip": {"latent"},
    "onnx": {"painters"},
    "onnxruntime": {"painters"},
    "skimage": {"cli"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def unit(path: Path) -> str:
    """The package below vtoon that a file belongs to, or the name of a single file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            # `from vtoon import x` may name a module
            yield from (
                f"{node.module}.{alias.name}" if node.module == "vtoon" else node.module for alias in node.names
            )


def climbs(here: str, there: str) -> bool:
    """Whether an import from unit `here` to unit `there` breaks the rule."""
    return here != there and LAYER[there] >= LAYER[here]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    here = unit(path)
    if here == "__init__":
        return  # hands out the public names on request
    assert here in LAYER, f"{here} has no place in the layers"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "vtoon" and len(parts) > 1 and parts[1] in LAYER:
            assert not climbs(here, parts[1]), f"{path.name} ({here}) imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_extras_stay_where_they_belong(path: Path) -> None:
    for name in imports(path):
        assert unit(path) in EXTRAS.get(name.split(".")[0], {unit(path)}), f"{path.name} imports {name}"


def test_the_rule_can_fail() -> None:
    assert climbs("video", "pipeline") and climbs("models", "weights") and climbs("train", "pipeline")
    assert climbs("faces", "flow") and climbs("pipeline", "latent") and climbs("painters", "pipeline")
    assert not climbs("cli", "pipeline") and not climbs("metrics", "flow") and not climbs("video", "video")


def test_import_vtoon_imports_nothing_heavy() -> None:
    body = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert not [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
