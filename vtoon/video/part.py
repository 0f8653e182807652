"""A stretch of a video, as a user gives it in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from vtoon.errors import VtoonError
from vtoon.video.info import MediaInfo


@dataclass(frozen=True)
class Part:
    """From `start` to before `end`, s after the first picture; end None: to the end of the file."""

    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < math.inf:
            raise VtoonError(f"start is {self.start!r}; it must be a number of seconds, none negative")
        if self.end is not None and not self.start < self.end < math.inf:
            raise VtoonError(f"end is {self.end!r}; it must be a number of seconds after start ({self.start:g})")

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return not self.start and self.end is None

    def pts(self, first: int, time_base: Fraction) -> tuple[int, int | None]:
        """(first, one after the last) where the first picture of the file is at `first`; None: no bound there."""
        return first + round(self.start / time_base), None if self.end is None else first + round(self.end / time_base)

    def of(self, info: MediaInfo) -> MediaInfo:
        """Facts of the part: its length; how many frames it has is known for a whole file only."""
        if self.whole:
            return info
        end = min(self.end or math.inf, info.duration or math.inf)
        return replace(info, frames=None, duration=max(0.0, end - self.start) if end < math.inf else 0.0)

    def __str__(self) -> str:
        return f"{self.start:g} s to {'the end' if self.end is None else f'{self.end:g} s'}"


WHOLE = Part()
