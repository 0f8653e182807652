"""Weights that torchvision keeps and fetches: where they lie, and what is said where they cannot be had."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import torch

from vtoon.errors import VtoonError


def torchvision_file(name: str) -> Path:
    """Where torchvision keeps weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / name


@contextlib.contextmanager
def fetched(name: str, network: str) -> Iterator[None]:
    """Around what loads torchvision's weights, which it may fetch: its notices are not shown.

    Raises VtoonError where they cannot be had; `name` is the file's, `network` the user's word for it.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yield
    except (URLError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise VtoonError(
            f"{name}: {network}'s weights could not be fetched ({reason}); put torchvision's file to "
            f"{torchvision_file(name)}, or take --perceptual face"
        ) from None
