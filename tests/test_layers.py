"""Imports go down: every module of vtoon imports lower layers, or stays inside its own package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vtoon"
LAYERS = (
    ("clock", "errors", "memory", "signals", "types"),
    ("target", "image"),
    ("ops", "video", "faces", "flow", "metrics", "tones"),
    ("models",),
    ("weights", "engine", "builtin", "parsing", "parsing_map", "companions", "published", "export"),
    ("placement", "stylize", "latent", "train", "demo_types"),
    ("jobs", "batch", "cli", "demo_model"),
    ("__main__",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
# Within a layer: single files that build on one another, in this direction only.
SIDEWAYS = {
    ("image", "target"),
    ("engine", "weights"),
    ("builtin", "engine"),
    ("companions", "weights"),
    ("parsing_map", "engine"),
    ("published", "weights"),
    ("published", "engine"),
    ("published", "parsing"),
    ("published", "parsing_map"),
    ("published", "companions"),
    ("export", "builtin"),
    ("export", "weights"),
    ("export", "engine"),
    ("export", "parsing"),
    ("export", "published"),
    ("stylize", "placement"),
    ("batch", "jobs"),
    ("cli", "batch"),
    ("cli", "jobs"),
    ("metrics", "flow"),
}
# What only some users have is imported only by the module that is about it.
EXTRAS = {"gradio": "web", "ray": "batch", "lmdb": "train", "tensorboard": "train", "onnx": "export", "skimage": "cli"}
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
    return here != there and LAYER[there] >= LAYER[here] and (here, there) not in SIDEWAYS


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
        assert EXTRAS.get(name.split(".")[0], unit(path)) == unit(path), f"{path.name} imports {name}"


def test_the_rule_can_fail() -> None:
    assert climbs("video", "stylize") and climbs("models", "weights") and climbs("train", "stylize")
    assert climbs("faces", "flow") and climbs("placement", "stylize")
    assert not climbs("cli", "stylize") and not climbs("stylize", "placement") and not climbs("video", "video")


def test_import_vtoon_imports_nothing_heavy() -> None:
    body = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert not [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
