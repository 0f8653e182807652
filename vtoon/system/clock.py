"""Where the time goes: seconds spent inside each stage of a pipeline, waiting for the stage before left out."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import TypeVar

T = TypeVar("T")


class StageClock:
    """Adds up exclusive times: a stage that pulls from another in the same thread does not count the other's time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._thread, self._lock = local(), Lock()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Time of the block, less what nested measurements of this thread take."""
        outer = getattr(self._thread, "inner", 0.0)
        self._thread.inner, started = 0.0, time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            with self._lock:
                self.seconds[name] += spent - self._thread.inner
            self._thread.inner = outer + spent

    def stage(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The same items; the time to make each is added to `name`."""
        iterator = iter(items)
        while True:
            try:
                with self.measure(name):
                    item = next(iterator)
            except StopIteration:
                return
            yield item
