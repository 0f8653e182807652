"""What ends a run from outside: Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def handling(handler: Callable[[int, object], None]) -> Iterator[None]:
    """`handler` gets both within the block, which must be in the main thread; after it, who had them before."""
    before = {number: signal.signal(number, handler) for number in STOPPING}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
