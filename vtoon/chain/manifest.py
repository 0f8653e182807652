"""What has been done for a style: manifest.json in its folder, with inputs, hashes, settings and times."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import vtoon
from vtoon.chain.stage import Stage
from vtoon.chain.wish import Wish
from vtoon.errors import VtoonError

NAME = "manifest.json"
VERSION = 1
MISSING = "missing"
CHUNK = 2**20  # bytes
DONE, BEGUN, STOPPED, FAILED = "done", "begun", "stopped", "failed"


class Manifest:
    """Read when made; written after every change, complete or not at all."""

    def __init__(self, folder: Path) -> None:
        """Raises VtoonError where the file is there and none of ours."""
        self.folder, self.path = folder, folder / NAME
        self.content: dict = {"manifest": VERSION, "vtoon": vtoon.__version__, "stages": {}, "hashes": {}}
        if self.path.is_file():
            try:
                found = json.loads(self.path.read_text())
                if found["manifest"] != VERSION or not isinstance(found["stages"], dict):
                    raise ValueError
                self.content |= found
            except (ValueError, KeyError, TypeError, OSError):
                raise VtoonError(
                    f"{self.path}: damaged, or of another version of vtoon; move it away to begin anew"
                ) from None

    def save(self) -> None:
        """Raises VtoonError where it cannot be written."""
        part = self.path.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(self.content, indent=1))
            os.replace(part, self.path)
        except OSError as error:
            raise VtoonError(f"{self.path}: cannot be written ({error.strerror})") from None

    def ask(self, wish: Wish) -> None:
        """What was asked for, last."""
        self.content["wish"] = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(wish).items()}

    def settled(self, key: str) -> dict | None:
        """Lengths that were chosen for the same question."""
        found = self.content.get("settled", {})
        return found.get("lengths") if found.get("key") == key else None

    def settle(self, key: str, lengths: dict, costs: dict) -> None:
        """A second run has the same plan, however fast the machine is by then."""
        self.content["settled"] = {"key": key, "lengths": lengths, "costs": costs}

    # Stages

    def key(self, stage: Stage) -> str:
        """Changes with the command and with all that it reads."""
        text = json.dumps([stage.command, [self.fingerprint(path) for path in stage.inputs]])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def record(self, stage: Stage) -> dict:
        return self.content["stages"].get(stage.name, {})

    def is_done(self, stage: Stage) -> bool:
        found = self.record(stage)
        if found.get("status") != DONE or found.get("key") != self.key(stage):
            return False
        return found.get("outputs") == self._prints(stage.outputs)

    def is_begun(self, stage: Stage) -> bool:
        """Whether what lies there is of this very stage, so that it can go on."""
        found = self.record(stage)
        return found.get("key") == self.key(stage) and found.get("status") in (BEGUN, STOPPED, FAILED)

    def begin(self, stage: Stage) -> None:
        before = self.record(stage) if self.is_begun(stage) else {}
        self.content["stages"][stage.name] = {
            "status": BEGUN,
            "command": stage.text,
            "key": self.key(stage),
            "inputs": self._prints(stage.inputs),
            "begun": before.get("begun") or now(),
            "seconds": before.get("seconds", 0.0),
        }
        self.save()

    def end(self, stage: Stage, status: str, seconds: float, memory: int | None = None, reason: str = "") -> None:
        """`memory`: bytes, the most that the command held."""
        found = self.content["stages"][stage.name]
        found |= {"status": status, "ended": now(), "seconds": round(found["seconds"] + seconds, 1)}
        if memory:
            found["memory_mb"] = round(max(memory / 2**20, found.get("memory_mb", 0)))
        if reason:
            found["reason"] = reason
        if status == DONE:
            found["outputs"] = self._prints(stage.outputs)
        self.save()

    # Files

    def _prints(self, paths: tuple[Path, ...]) -> dict[str, str]:
        return {str(path): self.fingerprint(path) for path in paths}

    def fingerprint(self, path: Path) -> str:
        """SHA-256 of a file, or of all files of a folder with their names; looked at again only where sizes or times
        have changed."""
        files = files_of(path)
        if not files:
            return MISSING
        stats = [(str(file.relative_to(path)), file.stat()) for file in files]
        stamp = hashlib.sha256(repr([(name, s.st_size, s.st_mtime_ns) for name, s in stats]).encode()).hexdigest()[:16]
        known = self.content["hashes"].get(str(path))
        if known and known[0] == stamp:
            return known[1]
        total = hashlib.sha256()
        for (name, _), file in zip(stats, files, strict=True):
            total.update(name.encode() + hashed(file))
        self.content["hashes"][str(path)] = [stamp, total.hexdigest()]
        return total.hexdigest()


def files_of(path: Path) -> list[Path]:
    """The file itself, or what a folder holds; what begins with a dot is not counted."""
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))


def hashed(file: Path) -> bytes:
    """SHA-256."""
    total = hashlib.sha256()
    with file.open("rb") as opened:
        while some := opened.read(CHUNK):
            total.update(some)
    return total.digest()


def now() -> str:
    """The time, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
