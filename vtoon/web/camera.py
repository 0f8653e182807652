"""The addresses of the tab Live: a frame is sent and comes back drawn."""

from __future__ import annotations

import asyncio
import io
import json

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from PIL import Image

from vtoon.errors import VtoonError
from vtoon.live.loop import Stats
from vtoon.web.context import Context
from vtoon.web.models import DEFAULT, OWN, Menu
from vtoon.web.sessions import Session
from vtoon.web.settings import Settings
from vtoon.web.show import MAX_BYTES, MAX_SIDE

QUALITY = 85  # JPEG


def add_camera(app: FastAPI, context: Context) -> None:
    """Make the application answer to a browser's camera."""

    @app.post("/live/frame")
    async def frame(request: Request, mirror: int = 0, drawn: int = 1) -> Response:
        session, content = request.scope["state"]["session"], b""
        async for part in request.stream():
            content += part
            if len(content) > MAX_BYTES:
                return PlainTextResponse(f"a frame may have {MAX_BYTES >> 20} MB", 413)
        try:
            picture, told = await asyncio.to_thread(_drawn, context, session, content, bool(mirror), bool(drawn))
        except VtoonError as error:
            return PlainTextResponse(str(error), 422)
        headers = {"cache-control": "no-store", "x-vtoon": json.dumps(told)}
        return Response(picture, media_type="image/jpeg", headers=headers)

    @app.post("/live/end")
    async def end(request: Request) -> Response:
        await asyncio.to_thread(context.stage.end, request.scope["state"]["session"].id)
        return PlainTextResponse("ended")


def _drawn(context: Context, session: Session, content: bytes, mirror: bool, drawn: bool) -> tuple[bytes, dict]:
    """A JPEG, and what is said with it."""
    image = _decoded(content)
    settings = session.live or first_settings(context)
    show = context.stage.show(session.id, context.models.load(settings.model), settings)
    drawing, stats = show.draw(image, mirror, drawn)
    buffer = io.BytesIO()
    Image.fromarray(drawing).save(buffer, "jpeg", quality=QUALITY)
    return buffer.getvalue(), {**_figures(stats), "face": show.face is not None}


def first_settings(context: Context) -> Settings:
    """What is drawn before anything is chosen."""
    menu = Menu.of(context.models.load(DEFAULT))
    style, transfer = menu.find(menu.looks[0], OWN)
    return Settings(DEFAULT, style, color_transfer=transfer)


def _decoded(content: bytes) -> np.ndarray:
    """uint8 [H, W, 3]. Raises VtoonError where it is no JPEG, or larger than a camera's."""
    try:
        picture = Image.open(io.BytesIO(content), formats=("jpeg",))
        if max(picture.size) > MAX_SIDE:
            raise VtoonError(f"a frame of {picture.size[0]}x{picture.size[1]} px; at most {MAX_SIDE} are drawn")
        return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise VtoonError(f"the frame is not a JPEG ({error})") from None


def _figures(stats: Stats) -> dict[str, float]:
    detail = stats.detail if isinstance(stats.detail, int | float) else 0
    return {"fps": round(stats.fps, 1), "ms": round(1000 * stats.p50), "detail": detail}
