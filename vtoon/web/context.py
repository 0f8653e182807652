"""What the tabs of a page share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps

import gradio as gr
import numpy as np

from vtoon.errors import VtoonError
from vtoon.web import fragments
from vtoon.web.clips import as_webp
from vtoon.web.jobs import Queue
from vtoon.web.making import Maker
from vtoon.web.models import Models
from vtoon.web.sessions import Session, Sessions
from vtoon.web.show import Stage
from vtoon.web.strings import Words


@dataclass(frozen=True)
class Limits:
    """What one user may ask for."""

    max_mb: int = 500  # of one upload
    max_minutes: float = 10.0  # of a video
    queue: int = 20  # works that wait, of all users


@dataclass(frozen=True)
class Context:
    """One server."""

    sessions: Sessions
    models: Models
    queue: Queue
    limits: Limits
    stage: Stage = field(default_factory=Stage)  # of the tab Live
    maker: Maker | None = None  # of the tab Own style, where that is shown
    local: bool = False  # only who sits at this machine sees the page
    root_path: str = ""  # where a proxy has put the page

    def address(self, token: str) -> str:
        """Of a file or picture that a session has been offered."""
        return f"{self.root_path.rstrip('/')}/files/{token}"

    def show(self, session: Session, image: np.ndarray, side: int = 1280, quality: int = 85) -> str:
        """The address of a picture uint8 [H, W, 3]."""
        return self.address(session.show(as_webp(image, side, quality)))


@dataclass(frozen=True)
class Page:
    """One language of it."""

    context: Context
    words: Words


def session_of(request: gr.Request) -> Session:
    """Whose request this is. Raises VtoonError where its session has been idle for too long."""
    session = request.request.scope.get("state", {}).get("session")
    if session is None:
        raise VtoonError("this page has been idle for an hour and its files are gone; load it again")
    return session


def told(notice: gr.HTML, clears: bool = True, otherwise: Callable[[], dict] = dict) -> Callable:
    """Of a handler that returns {component: value}: a VtoonError becomes a line in `notice`, beside `otherwise()`.

    `clears`: when all is well, an older line goes.
    """

    def around(handler: Callable[..., dict]) -> Callable[..., dict]:
        @wraps(handler)
        def call(*args: object) -> dict:
            try:
                return {**({notice: ""} if clears else {}), **handler(*args)}
            except VtoonError as error:
                return {notice: fragments.notice(str(error)), **otherwise()}

        return call

    return around
