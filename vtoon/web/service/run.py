"""The service from its start to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from vtoon.errors import VtoonError
from vtoon.pipeline.stylize import load
from vtoon.web.context import Limits
from vtoon.web.server import listen
from vtoon.web.service.app import application
from vtoon.web.service.door import AT_HOME
from vtoon.web.service.service import Service

KEPT_SECONDS = 60  # a connection that nobody uses: who asks how far a job is asks again


@dataclass(frozen=True)
class Serving:
    """How the service is run."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    tokens: tuple[str, ...] = ()
    url_hosts: tuple[str, ...] = ()
    ckpt: str = "default"
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)
    keep_hours: float = 24.0
    grace: float = 30.0  # s

    def __post_init__(self) -> None:
        if not self.tokens and self.host not in AT_HOME:
            raise VtoonError(
                f"{self.host}: others can reach it, so a token is needed: --token_file FILE, or VTOON_TOKENS"
            )
        if any(len(token) < 8 or not token.isascii() or " " in token for token in self.tokens):
            raise VtoonError("a token must have 8 characters or more, plain ones, none of them a space")
        for name, value in (*vars(self.limits).items(), ("keep_hours", self.keep_hours)):
            if value <= 0:
                raise VtoonError(f"{name} is {value}; it must be more than 0")
        if self.grace < 0:
            raise VtoonError(f"grace is {self.grace:g}; it must be 0 or more seconds")


def serve(how: Serving, ready: Callable[[str, int], None], log_level: str = "critical") -> None:
    """Until Ctrl-C or SIGTERM. `ready` gets the address, once it answers, and how many jobs go on."""
    place = listen(how.host, how.port)
    with place:
        service = Service(how.folder, load(how.ckpt, how.device), how.limits, how.keep_hours)
        app = application(service, how.tokens, how.url_hosts, how.grace)
        patience = {"timeout_graceful_shutdown": 1, "timeout_keep_alive": KEPT_SECONDS}
        config = uvicorn.Config(app, log_level=log_level, lifespan="on", **patience)
        host = "localhost" if how.host in ("0.0.0.0", "::") else how.host
        ready(f"http://{host}:{place.getsockname()[1]}", len(service.store.unfinished()))
        uvicorn.Server(config).run(sockets=[place])
