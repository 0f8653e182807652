"""A command of several: `vtoon dual`, `vtoon style`."""

from __future__ import annotations

from dataclasses import dataclass

from vtoon.cli.common import Talk


@dataclass(frozen=True)
class Group:
    """Does what `work` is; who inherits says of which commands it is one."""

    @property
    def messages(self) -> Talk:
        return self.work.messages

    def run(self) -> int:
        return self.work.run() or 0
