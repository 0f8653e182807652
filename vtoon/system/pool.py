"""Work on several items of a stream at the same time, each on its own share of the processor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(function: Callable[[T], R], items: Iterable[T], workers: int, room: Callable[[T], int]) -> Iterator[R]:
    """function(item) of every item, in order, by `workers` threads; by one: by none but the caller's, item by item.

    While an item is worked on, at most `room(item)` are, itself included; as many results are held, and the next item
    is asked for before a result is waited for. An exception of `function` is raised here, after the results before it.
    """
    if workers == 1:
        yield from map(function, items)
        return
    running: deque[Future[R]] = deque()
    with compute_pool(workers) as pool:
        try:
            for item in items:
                most = max(1, min(workers, room(item)))
                done = [running.popleft().result() for _ in range(len(running) + 1 - most)]
                running.append(pool.submit(function, item))  # first: the pool has work while results are made use of
                yield from done
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


@contextmanager
def compute_pool(workers: int) -> Iterator[Executor]:
    """Threads among which PyTorch's are divided; the caller's keeps as many as it has."""
    threads = torch.get_num_threads()
    ready = Barrier(workers + 1)

    def begin() -> None:
        torch.get_num_threads()  # a thread's number is set when it is first asked for: it would undo what follows
        torch.set_num_threads(max(1, threads // workers))
        ready.wait()

    with ThreadPoolExecutor(workers, "vtoon-compute") as pool:
        for _ in range(workers):
            pool.submit(begin)
        ready.wait()
        torch.set_num_threads(threads)  # what a thread sets is also what threads to come begin with
        yield pool
