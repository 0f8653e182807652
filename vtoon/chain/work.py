"""The stages done in turn: what is done is skipped, what was stopped goes on, what failed is told."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vtoon.chain.manifest import DONE, FAILED, MISSING, STOPPED, Manifest
from vtoon.chain.process import Ended
from vtoon.chain.stage import Stage
from vtoon.chain.wish import shown
from vtoon.errors import VtoonError

Runner = Callable[[Stage, Path], Ended]  # a stage and the file of its log
Say = Callable[[str], None]


def work(stages: Sequence[Stage], manifest: Manifest, run: Runner, say: Say) -> None:
    """Raises VtoonError, one line, where a stage failed; what does not depend on it is done before. KeyboardInterrupt
    passes through once the stage's command has saved."""
    lost: dict[Path, str] = {}  # what will not be made, and which stage should have
    failed: list[tuple[Stage, str]] = []
    for number, stage in enumerate(stages, 1):
        head = f"{number}/{len(stages)} {stage.name}"
        if blocked := {lost[path] for path in stage.inputs if path in lost}:
            say(f"{head}: left out, it needs {', '.join(sorted(blocked))}")
            lost |= dict.fromkeys(stage.outputs, stage.name)
            continue
        if manifest.is_done(stage):
            say(f"{head}: done before ({shown(manifest.record(stage)['seconds'])})")
            continue
        say(f"{head}{', goes on' if manifest.is_begun(stage) else ''}: {stage.text}")
        if reason := _done(stage, manifest, run):
            failed.append((stage, reason))
            lost |= dict.fromkeys(stage.outputs, stage.name)
    manifest.save()
    if failed:
        raise VtoonError(_said(failed, manifest))


def _said(failed: list[tuple[Stage, str]], manifest: Manifest) -> str:
    stage, reason = failed[0]
    others = f" (and {', '.join(other.name for other, _ in failed[1:])})" if failed[1:] else ""
    return (
        f"stage {stage.name}{others} failed: {reason}; its log is {log_of(manifest.folder, stage)}. When that is "
        "mended, the same command goes on"
    )


def log_of(folder: Path, stage: Stage) -> Path:
    return folder / "logs" / f"{stage.name}.log"


def _done(stage: Stage, manifest: Manifest, run: Runner) -> str:
    """Do one stage. Returns why it failed, or nothing."""
    if not manifest.is_begun(stage):
        clear(stage, manifest.folder)
    manifest.begin(stage)
    started = time.monotonic()
    try:
        ended = run(stage, log_of(manifest.folder, stage))
    except KeyboardInterrupt:
        manifest.end(stage, STOPPED, time.monotonic() - started)
        raise
    seconds = time.monotonic() - started
    absent = [path for path in stage.outputs if manifest.fingerprint(path) == MISSING]
    if ended.code == 0 and not absent:
        manifest.end(stage, DONE, seconds, ended.memory)
        return ""
    reason = f"{absent[0]} was not written" if ended.code == 0 else ended.last or f"exit code {ended.code}"
    reason = reason.removeprefix("error: ")
    manifest.end(stage, FAILED, seconds, ended.memory, reason)
    return reason


def clear(stage: Stage, folder: Path) -> None:
    """Take away what an earlier form of this stage has left, in the style's own folder alone."""
    for path in (*stage.outputs, *stage.clears):
        if folder.resolve() not in path.resolve().parents:
            raise VtoonError(f"{path}: lies outside of {folder}, and is not taken away")
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
