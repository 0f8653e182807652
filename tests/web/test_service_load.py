"""Many clients at once: nothing is lost, nobody gets another's file, memory does not grow."""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path

import pytest
import uvicorn

from vtoon.pipeline.stylize import load
from vtoon.web.context import Limits
from vtoon.web.server import listen
from vtoon.web.service.app import application
from vtoon.web.service.service import Service

BENCH = Path(__file__).parents[2] / "benchmarks" / "serve.py"
CLIENTS = 8


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("benchmark_of_the_service", BENCH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def test_a_crowd_is_served_each_its_own(bench, tmp_path, tiny_model):
    service = Service(tmp_path / "s", load(str(tiny_model), "cpu"), Limits(queue=4))
    tokens = [f"client-{i:03d}" for i in range(CLIENTS)]
    with listen("127.0.0.1", 0) as place:
        config = uvicorn.Config(application(service, tokens, grace=0), log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{place.getsockname()[1]}"
        first = bench.crowd(address, tokens, 1)
        before = bench.memory(address, tokens[0])
        then = bench.crowd(address, tokens, 2, CLIENTS)
        after = bench.memory(address, tokens[0])
        server.should_exit = True
        thread.join(60)
    assert not first.wrong and not then.wrong
    assert first.done == CLIENTS and then.done == 2 * CLIENTS
    assert after < before + 64  # MB
    assert not [path for path in (tmp_path / "s").iterdir() if path.is_dir()]  # all were deleted
