"""The server: pages in two languages, files for those who own them, a guard before everything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, Response

from vtoon.errors import VtoonError
from vtoon.web import page
from vtoon.web.camera import add_camera
from vtoon.web.context import Context, Limits
from vtoon.web.guard import Guard
from vtoon.web.jobs import Queue
from vtoon.web.making import Maker
from vtoon.web.models import Models
from vtoon.web.sessions import Sessions
from vtoon.web.strings import LANGUAGES, preferred

TIDY_SECONDS = 60
ICON = page.HERE / "icon.svg"


@dataclass(frozen=True)
class Serving:
    """How the page is served."""

    host: str = "127.0.0.1"
    port: int = 7860
    auth: str | None = None  # user:password
    root_path: str = ""
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)
    own_style: bool = False  # whether there is a command that makes styles

    @property
    def local(self) -> bool:
        """Whether only who sits at this machine sees the page."""
        return self.host in ("127.0.0.1", "localhost", "::1") and not self.root_path

    def __post_init__(self) -> None:
        if self.auth is not None and (":" not in self.auth or self.auth.startswith(":") or self.auth.endswith(":")):
            raise VtoonError("auth must be user:password")
        if self.root_path and not self.root_path.startswith("/"):
            raise VtoonError(f"root_path is {self.root_path!r}; it must begin with a slash, as /vtoon does")
        for name, value in vars(self.limits).items():
            if value <= 0:
                raise VtoonError(f"{name} is {value}; it must be more than 0")


Build = Callable[[Context, str], gr.Blocks]  # the page of one language


@contextlib.contextmanager
def serving(how: Serving, build: Build = page.build):
    """The ASGI application, and its Context, for the time of the block; then nothing of anybody is left."""
    sessions = Sessions()
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    queue = Queue(how.limits.queue)
    maker = Maker() if how.own_style else None
    kind = {"maker": maker, "local": how.local, "root_path": how.root_path}
    context = Context(sessions, Models(how.device), queue, how.limits, **kind)
    try:
        yield application(context, how.auth, build), context
    finally:
        context.stage.end()
        if maker:
            maker.stop()
        queue.close()
        sessions.close()


def application(context: Context, auth: str | None = None, build: Build = page.build) -> Callable:
    """Everything that answers."""

    @contextlib.asynccontextmanager
    async def tidying(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_tidy(context))
        yield
        task.cancel()

    app = FastAPI(title="vtoon", lifespan=tidying, docs_url=None, redoc_url=None, openapi_url=None)
    add_camera(app, context)
    app.get("/files/{token}")(_file)
    app.get("/files/{token}/{name}")(_file)

    for folder in ("", *(f"/{language}" for language in LANGUAGES)):
        app.get(f"{folder}/favicon.ico")(lambda: FileResponse(ICON))

    @app.get("/healthz")
    def healthy() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/")
    def choose(request: Request) -> RedirectResponse:
        language = preferred(request.headers.get("accept-language", ""))
        return RedirectResponse(f"{context.root_path.rstrip('/')}/{language}/", headers={"vary": "accept-language"})

    for language in LANGUAGES:
        blocks = build(context, language)
        app = gr.mount_gradio_app(
            app,
            blocks,
            f"/{language}",
            auth=tuple(auth.split(":", 1)) if auth else None,
            root_path=f"{context.root_path.rstrip('/')}/{language}" if context.root_path else None,
            max_file_size=context.limits.max_mb << 20,
            theme=page.theme(),
            css=page.CSS,
            head=page.SCRIPT,
            ssr_mode=False,
            show_error=False,
            footer_links=[],
        )
    return Guard(app, context.sessions, context.limits.max_mb << 20, context.root_path)


def _file(request: Request, token: str, name: str = "") -> Response:
    """A file or picture that this session has been offered. `name` is for the browser: no path is made of it."""
    session = request.scope["state"]["session"]
    headers = {"cache-control": "private, max-age=3600"}
    if token in session.pictures:
        content, kind = session.pictures[token]
        return Response(content, media_type=kind, headers=headers)
    path = session.files.get(token)
    if path is None or not path.is_file():
        return PlainTextResponse("not found", 404)
    return FileResponse(path, headers=headers)  # answers Range, so that videos can be sought


async def _tidy(context: Context) -> None:
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        await asyncio.to_thread(context.sessions.tidy)
        await asyncio.to_thread(context.stage.tidy)


def listen(host: str, port: int) -> socket.socket:
    """The socket to serve on. Raises VtoonError where the port is taken or the host is none of this machine."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        place = socket.socket(family, socket.SOCK_STREAM)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, port))
    except OSError as error:
        raise VtoonError(
            f"{host}:{port} cannot be served on ({error.strerror}); choose another --port or --host"
        ) from None
    place.listen(128)
    return place


def serve(how: Serving, ready: Callable[[str], None], log_level: str = "critical", build: Build = page.build) -> None:
    """Serve until Ctrl-C or SIGTERM. `ready` gets the address once it answers; `log_level` is uvicorn's."""
    place = listen(how.host, how.port)
    with place, serving(how, build) as (app, _):
        config = uvicorn.Config(app, log_level=log_level, timeout_graceful_shutdown=1, lifespan="on")
        server = uvicorn.Server(config)
        host = "localhost" if how.host in ("0.0.0.0", "::") else how.host
        ready(f"http://{host}:{place.getsockname()[1]}{how.root_path}")
        server.run(sockets=[place])
