"""`vtoon serve`: the service."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import arg

from vtoon.cli.common import Device, Talk, show_notices
from vtoon.errors import VtoonError, needs_extra

TOKENS = "VTOON_TOKENS"


@dataclass(frozen=True)
class Serve:
    """Draw clips and pictures that come by HTTP, one after the other (extra [web]).

    POST /v1/jobs, then GET it, its events, its result; /docs shows all. Jobs and results lie in FOLDER and survive a
    restart. Tokens come from --token_file or from VTOON_TOKENS, with commas between; each sees its own jobs alone.
    """

    when_stopped: ClassVar[str] = "what was unfinished begins again with the next start"

    host: str = "127.0.0.1"
    """The address to listen on; another than this machine's own needs tokens."""
    port: int = 8000
    """0 takes any that is free."""
    folder: Annotated[Path, arg(metavar="PATH")] = Path("service")
    """Where jobs and results are kept."""
    token_file: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """A token on each line."""
    url_hosts: Annotated[tuple[str, ...], arg(metavar="HOST [HOST ...]", help_behavior_hint="")] = ()
    """Files may be named by their address on these hosts (host, or host:port), instead of sent; none by default."""
    ckpt: Annotated[str, arg(metavar="FILE")] = "default"
    """The model."""
    max_mb: int = 500
    """Largest upload."""
    max_minutes: float = 10.0
    """Longest video."""
    queue: int = 20
    """Jobs that may wait."""
    keep_hours: float = 24.0
    """After which a job that is over is forgotten, and its result with it."""
    grace: Annotated[float, arg(metavar="SECONDS")] = 30.0
    """When it is ended, how long what is being drawn may take; then it begins again with the next start."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        """Raises VtoonError where FastAPI is missing, a value is not allowed, or the port is taken."""
        with needs_extra("web"):
            from vtoon.web.context import Limits
            from vtoon.web.service.run import Serving, serve

        show_notices(self.messages)
        limits = Limits(self.max_mb, self.max_minutes, self.queue)
        hosts = tuple(host.lower() for host in self.url_hosts)
        where = self.folder, self.host, self.port, self._tokens(), hosts
        how = Serving(*where, self.ckpt, self.device, limits, self.keep_hours, self.grace)
        serve(how, self._ready, "info" if self.messages.verbose else "critical")

    def _tokens(self) -> tuple[str, ...]:
        text = os.environ.get(TOKENS, "").replace(",", "\n")
        if self.token_file:
            try:
                text += "\n" + self.token_file.read_text()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not text"
                raise VtoonError(f"{self.token_file}: cannot be read ({reason})") from None
        found = tuple(line.strip() for line in text.splitlines() if line.strip())
        if self.token_file and not found:
            raise VtoonError(f"{self.token_file}: no token in it; write one on each line")
        return found

    def _ready(self, address: str, going_on: int) -> None:
        if not self.messages.quiet:
            more = f"; {going_on} jobs go on" if going_on else ""
            print(f"vtoon serves at {address}, described at {address}/docs (Ctrl-C ends it){more}", flush=True)
