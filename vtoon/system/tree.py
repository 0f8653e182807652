"""What lies beside the package: all of it in a source tree (run in place, or installed with -e), nothing in a wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent


def built_in_model(name: str = "default.safetensors") -> Path:
    """A model of checkpoints/, a folder that a wheel has inside the package (see setup.py), a source tree beside it."""
    inside = PACKAGE / "checkpoints" / name
    return inside if inside.is_file() else ROOT / "checkpoints" / name


def tree_only(script: str) -> str:
    """What a message that names a script of the source tree ends with where there is none: else nothing."""
    return "" if (ROOT / script).is_file() else f" ({script} comes with vtoon's source tree only)"
