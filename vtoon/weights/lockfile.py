"""The record beside downloaded files: what each should be, and that the licence was accepted."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from vtoon.errors import VtoonError

NAME = "vtoon.lock.json"


@dataclass
class Lock:
    """`files`: name in the layout -> SHA-256, written after the first download and compared ever after."""

    path: Path
    licence: str | None = None  # the one that was accepted
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Lock:
        """Of a folder of downloads; empty where there is none yet. Raises VtoonError where it is damaged."""
        path = folder / NAME
        if not path.is_file():
            return cls(path)
        try:
            content = json.loads(path.read_text())
            return cls(path, content["licence"], dict(content["files"]))
        except (ValueError, KeyError, TypeError):
            raise VtoonError(f"{path}: damaged; delete it, and the files are recorded anew") from None

    def write(self) -> None:
        """Complete or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        content = {"licence": self.licence, "files": dict(sorted(self.files.items()))}
        part.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(part, self.path)

    def check(self, name: str, digest: str) -> None:
        """Record a file, or compare it with the record. Raises VtoonError where it is another file than it was."""
        known = self.files.setdefault(name, digest)
        if known != digest:
            raise VtoonError(
                f"{self.path.parent / name}: not the file it was (SHA-256 {digest[:12]}..., recorded {known[:12]}...); "
                f"delete it to get it again, or delete its line in {self.path} if it may change"
            )
        self.write()


def sha256(path: Path) -> str:
    """In hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
