"""What stands before the service: who may come in, how much they may bring, and what was answered, counted."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Sequence

from vtoon.web.guard import Message, Receive, Send, drain, within

OPEN = ("/healthz", "/openapi.json", "/docs")  # are for everybody
ENVELOPE = 64 << 10  # bytes of an upload that are not the file
AT_HOME = ("127.0.0.1", "localhost", "::1", "[::1]")
NOBODY = "nobody"  # owner of jobs where no token is asked for


class Door:
    """ASGI middleware, the outermost. `tokens`: none lets everybody in; `max_bytes`: of one upload."""

    def __init__(self, app: Callable, tokens: Sequence[str], max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes
        self._owners = {token.encode(): hashlib.sha256(token.encode()).hexdigest()[:32] for token in tokens}
        self.answered: Counter = Counter()  # by status

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        send = self._counting(send)
        headers = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, value)
        if not self._owners and not _at_home(headers.get(b"host", b"")):
            await drain(receive)
            await refuse(send, 421, "without tokens this service answers to this machine's own names alone")
            return
        owner = self._owner(headers.get(b"authorization", b""))
        if owner is None and scope["path"] not in OPEN:
            await drain(receive)
            await refuse(send, 401, "a token is needed: Authorization: Bearer TOKEN", (b"www-authenticate", b"Bearer"))
            return
        length, room = headers.get(b"content-length", b"0"), self.max_bytes + ENVELOPE
        if scope["method"] in ("GET", "HEAD"):
            await self.app({**scope, "state": {**scope.get("state", {}), "owner": owner}}, receive, send)
            return
        told = f"larger than {self.max_bytes >> 20} MB (--max_mb)"
        if not length.isdigit() or int(length) > room:
            await drain(receive)
            await refuse(send, 413, told)
            return
        state = {**scope.get("state", {}), "owner": owner}
        answers = await within(self.app, {**scope, "state": state}, receive, room)
        if answers is None:
            await refuse(send, 413, told)
            return
        for message in answers:
            await send(message)

    def _owner(self, header: bytes) -> str | None:
        """Every token is compared, in the same time for each."""
        if not self._owners:
            return NOBODY
        kind, _, given = header.partition(b" ")
        found = [owner for token, owner in self._owners.items() if hmac.compare_digest(token, given.strip())]
        return found[0] if found and kind.lower() == b"bearer" else None

    def _counting(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answered[message["status"]] += 1
                headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"private, no-store")]
                message = {**message, "headers": [*message.get("headers", []), *headers]}
            await send(message)

        return sending


def _at_home(host: bytes) -> bool:
    """Whether a Host header names this machine: pages of other names, which may lead here, are not let in."""
    name = host.decode("latin-1").lower()
    return (name.rsplit(":", 1)[0] if not name.endswith("]") else name) in AT_HOME


async def refuse(send: Send, status: int, detail: str, *more: tuple[bytes, bytes]) -> None:
    """A short answer in the service's own form."""
    body = json.dumps({"detail": detail}).encode()
    kind = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": [*kind, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
