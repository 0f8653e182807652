"""The service by HTTP: jobs are posted, asked for, watched, fetched, deleted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from html import escape
from typing import Annotated, Literal

import psutil
from fastapi import FastAPI, File, Form, Header, HTTPException, Request, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

import vtoon
from vtoon.errors import VtoonError
from vtoon.web.jobs import CANCELLED, DONE, FAILED, RUNNING, WAITING
from vtoon.web.service.door import Door
from vtoon.web.service.fetch import fetched
from vtoon.web.service.service import Full, OtherRequest, Service, TooLong, Wanted
from vtoon.web.service.store import Entry

WATCH_SECONDS, ALIVE_SECONDS, TIDY_SECONDS = 0.25, 15.0, 60.0
STATES = (WAITING, RUNNING, DONE, FAILED, CANCELLED)
STATUS = {Full: 429, TooLong: 413, OtherRequest: 409}  # of errors; 422 of all others


class Told(BaseModel):
    """What went wrong, in one line."""

    detail: str


class JobView(BaseModel):
    """A job."""

    id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    name: str = Field(description="of the file that was sent")
    ahead: int = Field(description="jobs that are drawn before this one")
    frames: int = Field(description="drawn so far")
    total: int | None = Field(description="frames in all, where that is known")
    seconds: float = Field(description="of work")
    problems: list[str]
    result: str | None = Field(description="address of the drawing")


def view(service: Service, entry: Entry) -> JobView:
    """As it is now."""
    job = service.live(entry.id)
    return JobView(
        id=entry.id,
        state=entry.state,
        name=entry.name,
        ahead=service.ahead(entry.id) if entry.state == WAITING else 0,
        frames=job.frames if job else entry.frames,
        total=job.total if job else (entry.frames if entry.state == DONE else None),
        seconds=round(job.seconds if job else entry.seconds, 3),
        problems=list(entry.problems),
        result=f"/v1/jobs/{entry.id}/result" if entry.result else None,
    )


def application(
    service: Service, tokens: Sequence[str] = (), hosts: Sequence[str] = (), grace: float = 30.0
) -> Callable:
    """Everything that answers. `hosts`: from which addresses may be fetched; `grace`: s for what is being drawn when
    the service ends."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_tidy(service))
        yield
        task.cancel()
        await asyncio.to_thread(service.stop, grace)

    app = FastAPI(title="vtoon", version=vtoon.__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.exception_handler(VtoonError)(_told)
    _add_jobs(app, service, tuple(hosts))
    door = Door(app, tokens, service.limits.max_mb << 20)
    _add_health(app, service, door)
    _describe(app)
    return door


def _told(_: Request, error: VtoonError) -> JSONResponse:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
    headers = {"retry-after": "10"} if status == 429 else None
    return JSONResponse({"detail": str(error)}, status, headers)


def _add_jobs(app: FastAPI, service: Service, hosts: tuple[str, ...]) -> None:
    def mine(request: Request, id_: str) -> Entry:
        entry = service.store.get(id_, request.state.owner)
        if entry is None:
            raise HTTPException(404, "no such job")
        return entry

    gone, refused = {404: {"model": Told}}, {401: {"model": Told}}

    @app.post("/v1/jobs", status_code=201, response_model=JobView, tags=["jobs"], responses={
        200: {"model": JobView, "description": "The job of an earlier request with this idempotency key"},
        400: {"model": Told}, 409: {"model": Told}, 413: {"model": Told}, 422: {"model": Told},
        429: {"model": Told}, **refused,
    })  # fmt: skip
    def post(
        request: Request,
        response: Response,
        file: Annotated[UploadFile | None, File(description="a clip or a picture")] = None,
        url: Annotated[str | None, Form(description="instead of a file; off unless the service allows hosts")] = None,
        style: Annotated[str, Form()] = "",
        style_degree: Annotated[float, Form(ge=0, le=1)] = 1.0,
        color_transfer: Annotated[bool, Form()] = False,
        placement: Annotated[Literal["paste", "crop", "full"], Form()] = "paste",
        faces: Annotated[Literal["all", "largest"], Form()] = "all",
        detail: Annotated[float | Literal["auto"], Form()] = "auto",
        steady: Annotated[bool, Form()] = True,
        sound: Annotated[bool, Form()] = True,
        format: Annotated[Literal["mp4", "hevc", "av1", "webm", "mov", "mkv"], Form()] = "mp4",
        start: Annotated[float, Form(ge=0, allow_inf_nan=False)] = 0.0,
        end: Annotated[float | None, Form(allow_inf_nan=False)] = None,
        idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
    ) -> JobView:
        """Draw a clip or a picture."""
        chosen = style, style_degree, color_transfer, placement, faces, detail, steady, sound, format, start, end
        wanted = Wanted(*chosen)
        if (file is None) == (url is None):
            raise VtoonError("send one file, or one url")
        with contextlib.ExitStack() as stack:
            if file is None:
                name, content = stack.enter_context(fetched(url, hosts, service.limits.max_mb << 20))
            else:
                name, content = file.filename or "clip", file.file
            entry, new = service.take(request.state.owner, idempotency_key or None, name, content, wanted)
        response.status_code = 201 if new else 200
        response.headers["location"] = f"/v1/jobs/{entry.id}"
        return view(service, service.store.get(entry.id) or entry)

    @app.get("/v1/jobs", tags=["jobs"], responses=refused)
    def listed(request: Request) -> list[JobView]:
        """Your jobs, newest first."""
        return [view(service, entry) for entry in service.store.of(request.state.owner)]

    @app.get("/v1/jobs/{id_}", tags=["jobs"], responses=gone | refused)
    def get(request: Request, id_: str) -> JobView:
        """How far it is."""
        return view(service, mine(request, id_))

    @app.get("/v1/jobs/{id_}/events", tags=["jobs"], response_class=StreamingResponse, responses={
        200: {"content": {"text/event-stream": {}}}, **gone, **refused,
    })  # fmt: skip
    async def events(request: Request, id_: str) -> StreamingResponse:
        """How far it is, told whenever that changes, until it is over."""
        mine(request, id_)
        return StreamingResponse(_watched(service, request.state.owner, id_), media_type="text/event-stream")

    @app.get("/v1/jobs/{id_}/result", tags=["jobs"], response_class=FileResponse, responses={
        200: {"content": {"application/octet-stream": {}}}, 409: {"model": Told}, **gone, **refused,
    })  # fmt: skip
    def result(request: Request, id_: str) -> FileResponse:
        """The drawing."""
        entry = mine(request, id_)
        path = service.result(entry)
        if path is None:
            raise HTTPException(409, f"nothing to fetch: the job is {entry.state}")
        return FileResponse(path, filename=path.name)

    @app.delete("/v1/jobs/{id_}", status_code=204, tags=["jobs"], responses=gone | refused)
    def delete(request: Request, id_: str) -> Response:
        """Stop it, and forget everything of it."""
        service.delete(mine(request, id_))
        return Response(status_code=204)


async def _watched(service: Service, owner: str, id_: str) -> AsyncIterator[str]:
    """Server-sent events."""
    before, quiet = "", 0.0
    while not service.stopping:
        entry = await asyncio.to_thread(service.store.get, id_, owner)
        if entry is None:
            yield 'event: deleted\ndata: {"detail": "no such job"}\n\n'
            return
        now = view(service, entry)
        data = json.dumps(now.model_dump())
        over = now.state in (DONE, FAILED, CANCELLED)
        if data != before or quiet >= ALIVE_SECONDS:
            yield f"event: {'end' if over else 'progress'}\ndata: {data}\n\n" if data != before else ": alive\n\n"
            before, quiet = data, 0.0
        if over:
            return
        await asyncio.sleep(WATCH_SECONDS)
        quiet += WATCH_SECONDS


def _add_health(app: FastAPI, service: Service, door: Door) -> None:
    @app.get("/healthz", response_class=PlainTextResponse, tags=["service"], responses={503: {}})
    def healthy() -> PlainTextResponse:
        """Whether jobs are taken."""
        return PlainTextResponse("ending", 503) if service.stopping else PlainTextResponse("ok")

    @app.get("/metrics", response_class=PlainTextResponse, tags=["service"], responses={401: {"model": Told}})
    def metrics() -> PlainTextResponse:
        """For Prometheus."""
        return PlainTextResponse(exposition(service, door), media_type="text/plain; version=0.0.4")


def exposition(service: Service, door: Door) -> str:
    """Prometheus' text format."""
    counts, counted = service.store.counts(), service.counted
    resident = psutil.Process(os.getpid()).memory_info().rss
    families = [
        ("vtoon_jobs", "gauge", "Jobs that are kept, by state.",
         [(f'{{state="{s}"}}', counts.get(s, 0)) for s in STATES]),
        ("vtoon_jobs_ended_total", "counter", "Jobs that ended since the start.",
         [(f'{{state="{s}"}}', counted.ended[s]) for s in STATES[2:]]),
        ("vtoon_frames_total", "counter", "Frames drawn.", [("", counted.frames)]),
        ("vtoon_work_seconds_total", "counter", "Seconds of drawing.", [("", round(counted.seconds, 3))]),
        ("vtoon_upload_bytes_total", "counter", "Bytes taken.", [("", counted.uploaded)]),
        ("vtoon_http_responses_total", "counter", "Answers, by status.",
         [(f'{{code="{code}"}}', number) for code, number in sorted(door.answered.items())]),
        ("process_resident_memory_bytes", "gauge", "Memory of the process.", [("", resident)]),
    ]  # fmt: skip
    lines = []
    for name, kind, about, values in families:
        lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *(f"{name}{label} {n}" for label, n in values)]
    return "\n".join(lines) + "\n"


def _describe(app: FastAPI) -> None:
    """The OpenAPI description, with the token, and a page of it that asks for nothing from elsewhere."""
    plain = app.openapi

    def described() -> dict:
        about = plain()
        about.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, methods in about["paths"].items():
            for operation in methods.values():
                operation["security"] = [] if path == "/healthz" else [{"token": []}]
        return about

    app.openapi = described

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        rows = []
        for path, methods in described()["paths"].items():
            for method, operation in methods.items():
                about = escape(operation.get("description", ""))
                rows.append(f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{about}</td></tr>")
        style = (
            "body{font:16px system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}td{padding:.3rem .8rem .3rem 0}"
        )
        return HTMLResponse(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>vtoon</title><style>{style}</style>'
            f"<h1>vtoon {vtoon.__version__}</h1><table>{''.join(rows)}</table>"
            '<p>All of it, for tools: <a href="openapi.json">openapi.json</a></p></html>'
        )


async def _tidy(service: Service) -> None:
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        await asyncio.to_thread(service.tidy)
