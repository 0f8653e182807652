"""Get VToonify's published files from the Hugging Face hub, into the folders that its documentation names.

    python scripts/download_checkpoints.py [NAME ...] [--list] [--folder checkpoint]

A name is a file (encoder.pt), a folder (vtoonify_d_cartoon) or `all`; without one, what a VToonify-D needs. A download
that stops is resumed by the same command. Each file's SHA-256 is recorded in FOLDER/vtoon.lock.json and compared ever
after. The files are for non-commercial use only, which is asked about once.

    python scripts/download_checkpoints.py --dual [STYLE ...]

shows DualStyleGAN's published files, where each goes, and whether what lies there is what belongs there: its authors
link them from their README, from where no program can fetch them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from vtoon.cli.common import Flag, guard
from vtoon.errors import VtoonError
from vtoon.weights.dual_files import HOME, files_of, state_of
from vtoon.weights.hub import ESSENTIAL, FOLDER, LICENCE, NOTICE, choose, fetch, list_published
from vtoon.weights.lockfile import Lock


@dataclass(frozen=True)
class Download:
    """Get VToonify's published files (non-commercial use only) from the Hugging Face hub.

    A download that stops is resumed by the same command.
    """

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[NAME ...]", help_behavior_hint="")] = ()
    """Files (encoder.pt), folders (vtoonify_d_cartoon) or all; without a name, what a VToonify-D needs."""
    folder: Path = FOLDER
    """Where they go."""
    list: Flag = False
    """Show what there is, get nothing."""
    dual: Flag = False
    """Show DualStyleGAN's published files and where they go (NAME: a style, such as cartoon), get nothing."""
    accept_license: Flag = False
    """Accept the licence without being asked."""
    endpoint: Annotated[str | None, arg(metavar="URL", help_behavior_hint="(default: huggingface.co)")] = None
    """A mirror of the hub."""

    def run(self) -> int:
        if self.dual:
            return self._show_dual()
        files = list_published(self.endpoint)
        if self.list:
            print("\n".join(f"{file.size / 1e6:9.1f} MB  {file.name}" for file in files))
            return 0
        chosen = choose(files, self.names or ESSENTIAL)
        lock = Lock.read(self.folder)
        self._accept(lock)
        for number, file in enumerate(chosen, start=1):
            print(f"[{number}/{len(chosen)}] {fetch(file, lock, self.endpoint)}  {file.size / 1e6:.1f} MB", flush=True)
        return 0

    def _show_dual(self) -> int:
        """Returns the exit code: 1 where a file is not what its name says."""
        lock, code = Lock.read(self.folder), 0
        print(f"DualStyleGAN (S-Lab License 1.0, non-commercial): put the files that {HOME} links, or yours, here:")
        for file in files_of(self.names):
            state = state_of(file, lock)
            code = 1 if state.startswith("WRONG") else code
            print(f"{self.folder / file.name!s:<48} {file.use:<48} {state}", flush=True)
        return code

    def _accept(self, lock: Lock) -> None:
        """Ask once; the answer is kept with the files."""
        if lock.licence == LICENCE:
            return
        print(NOTICE)
        if not self.accept_license:
            if not sys.stdin.isatty():
                raise VtoonError("the licence is not accepted yet: run it again with --accept_license")
            if input("Accept? [y/N] ").strip().lower() not in ("y", "yes"):
                raise VtoonError("the licence is not accepted, so nothing is downloaded")
        lock.licence = LICENCE
        lock.write()


def main(args: list[str] | None = None) -> None:
    command = tyro.cli(Download, prog="download_checkpoints.py", args=args, use_underscores=True)
    sys.exit(guard(command.run, when_stopped="what has arrived is kept; the same command goes on from there"))


if __name__ == "__main__":
    main()
