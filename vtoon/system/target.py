"""The output's place on disk: refused early where it cannot be, shown under its name only when it is complete."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from vtoon.errors import VtoonError

LONGEST_NAME = 255  # bytes, on every common file system


class Target:
    """A file that is written beside its name (`.name.part.ext`) and renamed at the end."""

    def __init__(
        self, path: str | os.PathLike, sources: Iterable[str | os.PathLike | None] = (), overwrite: bool = False
    ) -> None:
        """Raises VtoonError where `path` is the input itself (links included), a folder, or there already."""
        self.path = Path(path)
        self.part = self.path.with_name(f".{_shorter(self.path.stem)}.part{self.path.suffix}")
        if len(os.fsencode(self.path.name)) > LONGEST_NAME:
            raise VtoonError(f"{path}: the name is longer than {LONGEST_NAME} bytes; give a shorter one")
        if self.path.is_dir():
            raise VtoonError(f"{path}: is a folder; give the name of a file in it")
        if any(source and _same(self.path, source) for source in sources):
            raise VtoonError(f"{path}: output and input are the same file; give the output another name")
        if self.path.exists() and not overwrite:
            raise VtoonError(f"{path}: exists already; add --overwrite (overwrite=True), or give another name")

    def create(self) -> None:
        """Make the folder and the empty partial file, so that a place that cannot be written is known at once."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.part.write_bytes(b"")
        except OSError as error:
            raise VtoonError(f"{self.path}: cannot be written ({error.strerror})") from None

    def commit(self) -> None:
        """The complete file gets its name."""
        try:
            os.replace(self.part, self.path)
        except OSError as error:
            self.discard()
            raise VtoonError(f"{self.path}: cannot be written ({error.strerror})") from None

    def discard(self) -> None:
        """Nothing is left behind."""
        self.part.unlink(missing_ok=True)


def append(path: Path, data: bytes) -> None:
    """All of it or nothing: what comes later still begins where it should. Raises OSError."""
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise


def _shorter(stem: str) -> str:
    """A stem that leaves room for what is put around it: a name may be as long as it can be already."""
    data = os.fsencode(stem)
    return stem if len(data) < LONGEST_NAME // 2 else hashlib.sha256(data).hexdigest()


def _same(path: Path, source: str | os.PathLike) -> bool:
    return path.exists() and os.path.exists(source) and os.path.samefile(path, source)
