"""What stands before the page: only its own addresses, a session for each browser, uploads within the limit."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie

from vtoon.web.sessions import COOKIE, Session, Sessions
from vtoon.web.strings import LANGUAGES

Message = dict
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Gradio answers many more addresses, some of which read files, call others' pages or tell about others' runs.
_PAGES = "|".join(LANGUAGES)
_GRADIO = (
    "queue/join|queue/data|upload|upload_progress|heartbeat/[a-z0-9]+|cancel|reset|startup-events|app_id|login_check"
)
_UNDER_PAGE = (
    r"|config|theme\.css|login|logout|favicon\.ico|manifest\.json|assets/[\w./-]+|static/[\w./-]+"
    rf"|gradio_api/(?:{_GRADIO})/?|gradio_api/theme\.css"
)
_OWN = r"/live/(?:frame|end)|/files/[\w-]+(/[^/]*)?|/healthz|/favicon\.ico"
OPEN = re.compile(rf"/|{_OWN}|/(?:{_PAGES})(?:/(?:{_UNDER_PAGE}))?")
UPLOAD = re.compile(rf"/(?:{_PAGES})/gradio_api/upload/?")
DRAINED = 8 << 20  # bytes
SHARE = 4  # times the limit of one upload is what a session may have on disk


class TooMuch(Exception):
    """An upload is longer than allowed."""


class Guard:
    """ASGI middleware, the outermost. `max_bytes`: of one upload. `root_path`: what a proxy may have taken off."""

    def __init__(self, app: Callable, sessions: Sessions, max_bytes: int, root_path: str = "") -> None:
        self.app, self.sessions, self.max_bytes, self.root_path = app, sessions, max_bytes, root_path.rstrip("/")

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path = scope.get("path", "")
        if self.root_path and path.startswith(f"{self.root_path}/"):
            path = path[len(self.root_path) :]
        if scope["type"] != "http" or not OPEN.fullmatch(path) or ".." in path:
            if scope["type"] == "http":
                await drain(receive)
            await answer(send, 404, "not found")
            return
        session, fresh = self.sessions.find(_cookie(scope)), False
        if session is None:
            if scope["method"] not in ("GET", "HEAD") or path.startswith("/files/"):
                await drain(receive)
                await answer(send, 403, "no session: open the page first")
                return
            if fresh := _is_page(path):
                self.sessions.tidy()
                session = self.sessions.new()
        state = {**scope.get("state", {}), "session": session}
        scope = {**scope, "state": state, "path": self.root_path + path, "root_path": self.root_path}
        send = _with_headers(send, session if fresh else None, _scheme(scope))
        if UPLOAD.fullmatch(path) and scope["method"] == "POST":
            await self._upload(session, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _upload(self, session: Session, scope: dict, receive: Receive, send: Send) -> None:
        """Counted as it comes in; the paths that are answered belong to this session alone."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        room = min(self.max_bytes, SHARE * self.max_bytes - session.used())
        if not length.isdigit() or int(length) > room:
            await drain(receive)
            await answer(send, 413, f"larger than {self.max_bytes >> 20} MB (--max_mb), or too much in this session")
            return
        answers = await within(self.app, scope, receive, room)
        if answers is None:
            await answer(send, 413, f"larger than {self.max_bytes >> 20} MB (--max_mb)")
            return
        session.uploads.update(_paths(b"".join(message.get("body", b"") for message in answers)))
        for message in answers:
            await send(message)


async def within(app: Callable, scope: dict, receive: Receive, room: int) -> list[Message] | None:
    """An application's answer to a request of at most `room` bytes, held back; None where more came, whatever the
    application has answered to that."""
    received, more, answers = 0, True, []

    async def counted() -> Message:
        nonlocal received, more
        message = await receive()
        received, more = received + len(message.get("body", b"")), message.get("more_body", False)
        if received > room:
            raise TooMuch
        return message

    async def noted(message: Message) -> None:
        answers.append(message)

    with contextlib.suppress(TooMuch):
        await app(scope, counted, noted)
    if received > room and more:
        await drain(receive)
    return None if received > room else answers


async def drain(receive: Receive) -> None:
    """Take some more of what is sent: who is hung up on in the middle does not read the answer."""
    taken, more = 0, True
    while more and taken < DRAINED:
        message = await receive()
        taken += len(message.get("body", b""))
        more = message.get("more_body", False)


def _paths(body: bytes) -> list[str]:
    try:
        paths = json.loads(body)
    except ValueError:
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def _is_page(path: str) -> bool:
    return path == "/" or path.strip("/") in LANGUAGES or path.rstrip("/").endswith("/login")


def _scheme(scope: dict) -> str:
    return scope.get("scheme", "http")


def _cookie(scope: dict) -> str | None:
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            except CookieError:
                return None
            return found.value if found else None
    return None


def _with_headers(send: Send, fresh: Session | None, scheme: str) -> Send:
    """Answers are for this page alone: no other may frame it, guess what it is, or learn where its links lead from."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]
            headers += [(b"x-frame-options", b"SAMEORIGIN")]
            if fresh:
                secure = "; Secure" if scheme == "https" else ""
                value = f"{COOKIE}={fresh.id}; Path=/; HttpOnly; SameSite=Lax{secure}"
                headers.append((b"set-cookie", value.encode()))
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return sending


async def answer(send: Send, status: int, text: str) -> None:
    """A short plain answer."""
    body = text.encode()
    kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    kind.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": kind})
    await send({"type": "http.response.body", "body": body})
