"""A style of one's own, made by the command `vtoon style make` in a process of its own: started, watched, stopped."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vtoon.errors import VtoonError

COMMAND = (sys.executable, "-m", "vtoon", "style", "make")
NAME = re.compile(r"[A-Za-z0-9][\w-]{0,39}")
LINES = 200  # of what it says, the last ones
DRAWINGS = Path("runs/drawings")  # that were sent: a run may outlast its session, and goes on under the same name
STOP_SECONDS = 20.0  # to save its state; then it is ended


@dataclass
class Making:
    """One run of the command."""

    user: str
    words: Sequence[str]
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    code: int | None = None  # of the process, once it has ended
    stopped: bool = False

    def __post_init__(self) -> None:
        # PYTHONUNBUFFERED: lines are seen as they are said. A session of its own: what it has started ends with it.
        self._process = subprocess.Popen(
            self.words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._listen, name="vtoon-web-making", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with self._process.stdout as said:
            for line in said:
                self.lines.append(line.rstrip().rsplit("\r", 1)[-1])
        self.code, self.ended = self._process.wait(), time.monotonic()

    @property
    def over(self) -> bool:
        return self.ended is not None

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started

    def stop(self, patience: float = STOP_SECONDS) -> None:
        """As Ctrl-C does: it saves what it has; a process that does not end is ended."""
        self.stopped = True
        for number, wait in ((signal.SIGINT, patience), (signal.SIGKILL, patience)):
            if self.over:
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            self._thread.join(wait)


def check_name(name: str) -> None:
    """Raises VtoonError where it is none for a style, and so for a folder."""
    if not NAME.fullmatch(name):
        raise VtoonError(f"the name is {name!r}; it must be letters, digits, - and _, at most 40")


def keep_drawings(name: str, files: Sequence[Path]) -> Path:
    """The folder of a style's drawings, with these alone in it. Raises VtoonError where it cannot be written."""
    check_name(name)
    folder = DRAWINGS / name
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder)
    except OSError as error:
        raise VtoonError(f"{folder}: the drawings cannot be kept there ({error.strerror})") from None
    return folder


@dataclass(frozen=True)
class Wanted:
    """What is to be made. Raises VtoonError where it cannot be."""

    name: str
    drawings: Path
    budget: str = "2h"
    faces: Path | None = None  # photos of faces
    base: str = ""  # a generator of faces

    def __post_init__(self) -> None:
        check_name(self.name)
        for folder in filter(None, (self.drawings, self.faces)):
            if not folder.is_dir():
                raise VtoonError(f"{folder}: no such folder")
        if self.base.startswith("-"):
            raise VtoonError(f"base is {self.base!r}; it must be a file, or the name of one in checkpoint/")

    @property
    def words(self) -> list[str]:
        """Of the command line, without the program."""
        words = [self.name, "--drawings", os.path.abspath(self.drawings), "--budget", self.budget]
        words += ["--faces", os.path.abspath(self.faces)] if self.faces else []
        return words + (["--base", self.base] if self.base else [])


class Maker:
    """At most one run at a time: there is one device. It goes on when the browser goes away, and ends with the page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.making: Making | None = None

    def check(self) -> None:
        """Raises VtoonError while a run goes on."""
        if self.making and not self.making.over:
            raise VtoonError("a style is being made already; stop it, or wait")

    def start(self, user: str, wanted: Wanted) -> Making:
        """Raises VtoonError while another one goes on."""
        with self._lock:
            self.check()
            self.making = Making(user, [*COMMAND, *wanted.words])
            return self.making

    def of(self, user: str) -> Making | None:
        """The run that this user has started."""
        return self.making if self.making and self.making.user == user else None

    def stop(self, user: str | None = None) -> None:
        """The run of a user, or whosever it is."""
        if self.making and user in (None, self.making.user):
            self.making.stop()
