"""A page of its own that serves a tiny model, on a free port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import uvicorn

import vtoon.pipeline.stylize
from vtoon.types import Frame
from vtoon.video import VideoWriter
from vtoon.web.context import Context, Limits
from vtoon.web.server import Serving, listen, serving


@dataclass(frozen=True)
class Served:
    """A page that answers."""

    address: str
    context: Context


@pytest.fixture(scope="session")
def served(tiny_model: Path) -> Iterator[Served]:
    """A running page; at most 1 MB an upload and 6 s a video."""
    with pytest.MonkeyPatch.context() as patch, listen("127.0.0.1", 0) as place:
        patch.setattr(vtoon.pipeline.stylize, "DEFAULT_CHECKPOINT", tiny_model)
        patch.setenv("GRADIO_TEMP_DIR", "")  # put back at the end
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        limits = Limits(max_mb=1, max_minutes=0.1, queue=20)
        with serving(Serving(device="cpu", limits=limits)) as (app, context):
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
            thread.start()
            yield Served(f"http://127.0.0.1:{place.getsockname()[1]}", context)
            server.should_exit = server.force_exit = True
            thread.join(2)  # what still streams to a browser is cut off


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """A face that moves 2 px a frame, 25 frames in a second."""
    path = tmp_path_factory.mktemp("clip") / "face.mp4"
    with VideoWriter(path, rate=25, preset="ultrafast") as writer:
        for i in range(25):
            writer.write(Frame(np.roll(portrait, 2 * i, 1), i))
    return path
