"""`vtoon web`: the page."""

from __future__ import annotations

import importlib.util
import webbrowser
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import arg

from vtoon.cli.common import Device, Flag, Talk, show_notices
from vtoon.errors import needs_extra

TRAINING = ("lmdb", "tensorboard")  # of the extra [train]


@dataclass(frozen=True)
class Web:
    """Serve a page on which clips and photos are dropped, looked at and drawn (extra [web]).

    Files are private to the browser that brought them and are gone after an hour, or when the page is ended.
    """

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one of this machine."""
    port: int = 7860
    """0 takes any that is free."""
    auth: Annotated[str | None, arg(metavar="USER:PASSWORD", help_behavior_hint="")] = None
    """Ask for these before anything."""
    root_path: Annotated[str, arg(metavar="/PATH", help_behavior_hint="")] = ""
    """Where a proxy has put the page."""
    max_mb: int = 500
    """Largest upload."""
    max_minutes: float = 10.0
    """Longest video."""
    queue: int = 20
    """Works that may wait."""
    no_browser: Flag = False
    """Only print the address."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        """Raises VtoonError where Gradio is missing, a value is not allowed, or the port is taken."""
        with needs_extra("web"):
            from vtoon.web.context import Limits
            from vtoon.web.server import Serving, serve

        show_notices(self.messages)
        limits = Limits(self.max_mb, self.max_minutes, self.queue)
        how = Serving(self.host, self.port, self.auth, self.root_path, self.device, limits, can_make_styles())
        serve(how, self._ready, "info" if self.messages.verbose else "critical")

    def _ready(self, address: str) -> None:
        if not self.messages.quiet:
            print(f"vtoon is at {address} (Ctrl-C ends it)", flush=True)
        if not self.no_browser:
            webbrowser.open(address)


def can_make_styles() -> bool:
    """Whether there is `vtoon style make`, and what training needs."""
    from vtoon.cli.main import COMMANDS

    return "style" in COMMANDS and all(importlib.util.find_spec(name) for name in TRAINING)
