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
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.routing import Match

import vtoon
from vtoon.errors import VtoonError
from vtoon.faces.region import DETAIL_RANGE
from vtoon.web.jobs import CANCELLED, DONE, FAILED, RUNNING, WAITING
from vtoon.web.service.door import Door
from vtoon.web.service.fetch import fetched
from vtoon.web.service.service import Full, OtherRequest, Service, TooLong, Wanted
from vtoon.web.service.store import Entry

WATCH_SECONDS, ALIVE_SECONDS, TIDY_SECONDS = 0.25, 15.0, 60.0
STATES = (WAITING, RUNNING, DONE, FAILED, CANCELLED)
STATUS = {Full: 429, TooLong: 413, OtherRequest: 409}  # of errors; 422 of all others
Seconds, Key = Annotated[float, Field(gt=0, allow_inf_nan=False)], Annotated[str, Field(max_length=200)]
Nothing = SkipJsonSchema[None]  # may be left out, but is not null in the description: a form has none
DRAWING = {"video/*": {}, "image/*": {}}
Detail = Annotated[float, Field(ge=DETAIL_RANGE[0], le=DETAIL_RANGE[1])] | Literal["auto"]


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
    app.exception_handler(RequestValidationError)(_unfit)
    app.exception_handler(405)(_allowed)
    _add_jobs(app, service, tuple(hosts))
    door = Door(app, tokens, service.limits.max_mb << 20)
    _add_health(app, service, door)
    _describe(app)
    return door


def _told(_: Request, error: VtoonError) -> JSONResponse:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
    headers = {"retry-after": "10"} if status == 429 else None
    return JSONResponse({"detail": str(error)}, status, headers)


def _unfit(_: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    return JSONResponse({"detail": f"{first['loc'][:2][-1]}: {first['msg']}"}, 422)


def _allowed(request: Request, _: HTTPException) -> JSONResponse:
    """Of a method that an address does not take: those it takes. Starlette names the first route's alone."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    allow = ", ".join(sorted({method for route in routes for method in route.methods}))
    return JSONResponse({"detail": f"{request.method} is not taken here; {allow} is"}, 405, {"allow": allow})


def _add_jobs(app: FastAPI, service: Service, hosts: tuple[str, ...]) -> None:
    def mine(request: Request, job_id: str) -> Entry:
        entry = service.store.get(job_id, request.state.owner)
        if entry is None:
            raise HTTPException(404, "no such job")
        return entry

    gone, refused = {404: {"model": Told}}, {401: {"model": Told}, 422: {"model": Told}}

    @app.post("/v1/jobs", status_code=201, response_model=JobView, tags=["jobs"], responses={
        200: {"model": JobView, "description": "The job of an earlier request with this idempotency key"},
        400: {"model": Told}, 409: {"model": Told}, 413: {"model": Told}, 429: {"model": Told}, **refused,
    })  # fmt: skip
    def post(
        request: Request,
        response: Response,
        file: Annotated[UploadFile | Nothing, File(description="a clip or a picture")] = None,
        url: Annotated[str | Nothing, Form(description="instead of a file, where the service allows hosts")] = None,
        style: Annotated[str, Form()] = "",
        style_degree: Annotated[float, Form(ge=0, le=1)] = 1.0,
        color_transfer: Annotated[bool, Form()] = False,
        placement: Annotated[Literal["paste", "crop", "full"], Form()] = "paste",
        faces: Annotated[Literal["all", "largest"], Form()] = "all",
        detail: Annotated[Detail, Form(description="px between the eyes")] = "auto",
        steady: Annotated[bool, Form()] = True,
        sound: Annotated[bool, Form()] = True,
        format: Annotated[Literal["mp4", "hevc", "av1", "webm", "mov", "mkv"], Form()] = "mp4",
        start: Annotated[float, Form(ge=0, allow_inf_nan=False)] = 0.0,
        end: Annotated[Seconds | Nothing, Form()] = None,
        idempotency_key: Annotated[Key | Nothing, Header()] = None,
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

    @app.get("/v1/jobs/{job_id}", tags=["jobs"], responses=gone | refused)
    def get(request: Request, job_id: str) -> JobView:
        """How far it is."""
        return view(service, mine(request, job_id))

    @app.get("/v1/jobs/{job_id}/events", tags=["jobs"], response_class=StreamingResponse, responses={
        200: {"content": {"text/event-stream": {}}}, **gone, **refused,
    })  # fmt: skip
    async def events(request: Request, job_id: str) -> StreamingResponse:
        """How far it is, told whenever that changes, until it is over."""
        mine(request, job_id)
        return StreamingResponse(_watched(service, request.state.owner, job_id), media_type="text/event-stream")

    @app.get("/v1/jobs/{job_id}/result", tags=["jobs"], response_class=FileResponse, responses={
        200: {"content": DRAWING}, 206: {"content": DRAWING, "description": "The part that Range asks for"},
        400: {"content": {"text/plain": {}}}, 416: {"content": {"text/plain": {}}},
        409: {"model": Told}, **gone, **refused,
    })  # fmt: skip
    def result(request: Request, job_id: str) -> FileResponse:
        """The drawing."""
        entry = mine(request, job_id)
        path = service.result(entry)
        if path is None:
            raise HTTPException(409, f"nothing to fetch: the job is {entry.state}")
        return FileResponse(path, filename=path.name)

    @app.delete("/v1/jobs/{job_id}", status_code=204, tags=["jobs"], responses=gone | refused)
    def delete(request: Request, job_id: str) -> Response:
        """Stop it, and forget everything of it."""
        service.delete(mine(request, job_id))
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

    refused = {"description": "No token", "content": {"application/json": {"schema": Told.model_json_schema()}}}

    @app.get("/metrics", response_class=PlainTextResponse, tags=["service"], responses={401: refused})
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
