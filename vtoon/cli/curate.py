"""`vtoon curate`: a page on which aligned faces are sorted."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from vtoon.cli.common import Flag, Talk, show_notices
from vtoon.errors import needs_extra


@dataclass(frozen=True)
class Curate:
    """Sort the faces that `vtoon align` has made, on a page in the browser (extra [web]).

    A click removes a face; it moves to FOLDER/removed, which trainings and data sets leave out. Nothing is deleted.
    With the report of `vtoon align --report`, what was missed is shown, too, and small faces can be taken in.
    """

    folder: Annotated[Path, Positional, arg(metavar="FOLDER")]
    """Of aligned faces."""
    report: Annotated[Path | None, arg(metavar="FILE.csv", help_behavior_hint="")] = None
    """Of `vtoon align` (default: FOLDER/report.csv or FOLDER/metadata.csv, where there is one)."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one of this machine."""
    port: int = 7861
    """0 takes any that is free."""
    auth: Annotated[str | None, arg(metavar="USER:PASSWORD", help_behavior_hint="")] = None
    """Ask for these before anything."""
    root_path: Annotated[str, arg(metavar="/PATH", help_behavior_hint="")] = ""
    """Where a proxy has put the page."""
    no_browser: Flag = False
    """Only print the address."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        """Raises VtoonError where Gradio is missing, the folder holds no faces, or the port is taken."""
        from vtoon.latent.curate import Collection

        with needs_extra("web"):
            from vtoon.web.curate import build
            from vtoon.web.server import Serving, serve

        show_notices(self.messages)
        collection = Collection(self.folder, self.report)
        how = Serving(self.host, self.port, self.auth, self.root_path, "cpu")
        serve(how, self._ready, "info" if self.messages.verbose else "critical", partial(build, collection))

    def _ready(self, address: str) -> None:
        if not self.messages.quiet:
            print(f"the faces of {self.folder} are at {address} (Ctrl-C ends it)", flush=True)
        if not self.no_browser:
            webbrowser.open(address)
