"""A stage as a process of its own: seen, logged, stopped cleanly."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from vtoon.chain.stage import Stage
from vtoon.system.target import append

DIES_WITH = 1  # prctl's PR_SET_PDEATHSIG
PATIENCE = 600.0  # seconds that a stage has to finish its step and save


@dataclass(frozen=True)
class Ended:
    """How a stage's command ended."""

    code: int
    memory: int | None = None  # bytes, the most that it held
    last: str = ""  # its last line


def run(stage: Stage, log: Path) -> Ended:
    """The command with its words on the terminal and in `log`. Ctrl-C reaches this process alone; it is handed on once,
    so that a training finishes its step and saves, and KeyboardInterrupt is raised when it has."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "vtoon", *stage.command]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "TQDM_MININTERVAL": "20"}  # bars are lines here
    _note(log, f"$ {stage.text}\n")
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        env=environment,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )
    try:
        return _followed(process, log)
    except KeyboardInterrupt:
        _stop(process, log)
        raise


def _note(log: Path, line: str) -> None:
    """A full disk does not end a stage for its log's sake."""
    with contextlib.suppress(OSError):
        append(log, line.encode())


def _followed(process: subprocess.Popen, log: Path) -> Ended:
    last, memory = "", None
    for line in process.stdout:
        memory = _held(process.pid) or memory
        _note(log, line)
        shown = line.rstrip().rsplit("\r", 1)[-1]
        if shown:
            print(f"    {shown}", flush=True)
            last = shown
    return Ended(process.wait(), memory, last)


def _held(pid: int) -> int | None:
    """The most bytes that a process has held so far, where the system tells; what its children report at their end
    counts the parent's in."""
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return None


def _stop(process: subprocess.Popen, log: Path) -> None:
    process.send_signal(signal.SIGINT)
    try:
        rest, _ = process.communicate(timeout=PATIENCE)
        _note(log, rest or "")
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _die_with_parent() -> None:
    """Where the chain itself is killed, its command does not go on behind its back."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(DIES_WITH, signal.SIGTERM)
