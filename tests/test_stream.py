"""prefetch and batched: order kept, exceptions crossed, no thread left behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.system.stream import batched, prefetch

EARLIER: set[threading.Thread] = set()


@pytest.fixture(autouse=True, scope="module")
def earlier():
    """What other tests of this run have left to the garbage collector."""
    EARLIER.update(threading.enumerate())


def running() -> int:
    return sum(thread.name == "vtoon-prefetch" for thread in set(threading.enumerate()) - EARLIER)


@settings(deadline=None, max_examples=25)
@given(items=st.lists(st.integers()), depth=st.integers(1, 6))
def test_prefetch_keeps_order(items, depth):
    assert list(prefetch(items, depth)) == items
    assert running() == 0


@settings(deadline=None, max_examples=25)
@given(items=st.lists(st.integers()), n=st.integers(1, 6))
def test_batched_keeps_everything(items, n):
    groups = list(batched(items, n))
    assert [item for group in groups for item in group] == items
    assert all(len(group) == n for group in groups[:-1]) and all(groups)


def test_an_exception_crosses_after_the_items_before_it():
    def source():
        yield 1
        yield 2
        raise KeyError("broken")

    seen = []
    with pytest.raises(KeyError, match="broken"):
        for item in prefetch(source()):
            seen.append(item)
    assert seen == [1, 2] and running() == 0


@pytest.mark.parametrize("depth", [1, 4])
def test_an_early_exit_stops_and_closes_the_source(depth):
    closed = []

    def source():
        try:
            n = 0
            while True:
                yield n
                n += 1
        finally:
            closed.append(True)

    ahead = prefetch(prefetch(source(), depth), depth)  # nested
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    ahead.close()
    assert closed == [True] and running() == 0


def test_it_runs_ahead_but_not_far():
    made = []

    def source():
        for n in range(100):
            made.append(n)
            yield n

    ahead = prefetch(source(), depth=3)
    next(ahead)
    for _ in range(200):
        if len(made) >= 4:
            break
        time.sleep(0.01)
    assert 4 <= len(made) <= 5  # one taken, three waiting, one in the producer's hand
    ahead.close()


@pytest.mark.parametrize("wrong", [0, -1])
def test_sizes_are_checked(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        next(prefetch([1], wrong))
    with pytest.raises(ValueError, match="at least 1"):
        next(batched([1], wrong))


def test_python_ends_though_a_stream_was_never_closed():
    code = (
        "from itertools import count\nfrom vtoon.system.stream import prefetch\n"
        "stream = prefetch(count())\nnext(stream)\nprint('done')\n"
        "import builtins\nbuiltins.kept = stream"  # lives until Python itself is taken apart
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stdout.strip() == "done"


def test_what_failed_is_let_go_at_once():
    class Held:
        pass

    def failing(held):
        yield 1
        raise ValueError("broken")

    gc.disable()  # what holds itself alive would stay
    try:
        held = Held()
        seen = weakref.ref(held)
        stream = prefetch(failing(held))
        try:
            list(stream)
        except ValueError:
            pass
        del held, stream
        assert seen() is None
    finally:
        gc.enable()
