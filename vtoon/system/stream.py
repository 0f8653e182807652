"""Streams of frames: run one ahead in a thread, or take it in groups. Memory is bounded by `depth` or `n` items."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
_END = object()


def prefetch(iterable: Iterable[T], depth: int = 4) -> Iterator[T]:
    """Yield the items of `iterable`, which a thread of its own produces up to `depth` items ahead.

    An exception of the producer is raised here, after the items before it. When this generator is closed early, the
    thread is stopped, `iterable` closed (if it is a generator) and the thread joined.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; it must be at least 1")
    ahead: queue.Queue = queue.Queue(depth)
    stop = threading.Event()
    failure: list[BaseException] = []

    def produce() -> None:
        try:
            iterator = iter(iterable)
            try:
                for item in iterator:
                    ahead.put(item)
                    if stop.is_set():
                        break
            finally:
                getattr(iterator, "close", lambda: None)()
        except BaseException as error:  # it crosses to the consumer, KeyboardInterrupt included
            failure.append(error)
        finally:
            ahead.put(_END)

    thread = threading.Thread(target=produce, name="vtoon-prefetch", daemon=True)
    thread.start()
    ended = False
    try:
        while (item := ahead.get()) is not _END:
            yield item
        ended = True
        if failure:
            raise failure.pop()  # kept, it and this frame would hold each other, and all streams before, open
    finally:
        stop.set()
        if not sys.is_finalizing():  # when Python ends, the thread has been ended already and answers no more
            while not ended:  # makes room for a producer that waits in put()
                ended = ahead.get() is _END
            thread.join()


def batched(iterable: Iterable[T], n: int) -> Iterator[list[T]]:
    """Yield lists of `n` consecutive items; the last one may be shorter."""
    if n < 1:
        raise ValueError(f"n is {n}; it must be at least 1")
    iterator = iter(iterable)
    while batch := list(islice(iterator, n)):
        yield batch
