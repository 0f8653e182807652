"""What comes through a pipe (`-`, a named pipe, `<(command)`) as a file: video is read more than once."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

from vtoon.errors import VtoonError

STDIN = "-"


def through_pipe(text: str) -> str:
    """`text`, or if it is a pipe, the name of a temporary file with all that came through it, up to its end.

    The file is gone when the process ends. Raises VtoonError where nothing comes, or the disk is full.
    """
    if not is_pipe(text):
        return text
    if text == STDIN and sys.stdin.isatty():
        raise VtoonError("-: means a video from standard input, which is a terminal here; pipe one in, or name a file")
    path = _folder() / ("stdin" if text == STDIN else f"pipe_{os.path.basename(text)}")
    try:
        with os.fdopen(os.dup(0), "rb") if text == STDIN else open(text, "rb") as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except OSError as error:
        raise VtoonError(f"{text}: cannot be read through ({error.strerror or error})") from None
    if path.stat().st_size == 0:
        raise VtoonError(f"{text}: nothing came through the pipe")
    return str(path)


def is_pipe(path: str | os.PathLike) -> bool:
    """Whether it can be read once only."""
    if path == STDIN:
        return True
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="vtoon-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
