"""One stage of the chain: an ordinary command, what it reads and what it leaves."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Work:
    """How much a stage has to do, in the units that costs are measured in."""

    unit: str  # see costs.Costs
    amount: float


@dataclass(frozen=True)
class Stage:
    """`vtoon` and these words, from the folder where the chain was started."""

    name: str
    command: tuple[str, ...]
    inputs: tuple[Path, ...]  # files and folders; where one changes, the stage is done again
    outputs: tuple[Path, ...]  # are there when it is done
    clears: tuple[Path, ...] = ()  # of its own, besides the outputs, when it is done anew: states, sheets
    work: tuple[Work, ...] = ()

    @property
    def text(self) -> str:
        """As a user would type it."""
        return shlex.join(("vtoon", *self.command))
