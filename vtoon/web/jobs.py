"""Work that waits its turn: one worker for a device, users take turns, what is cancelled leaves nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vtoon.errors import VtoonError, describe

log = logging.getLogger("vtoon")
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


class Cancelled(BaseException):
    """Unwinds a job's work like Ctrl-C does a command: past every handler of errors, so that nothing half stays."""


@dataclass
class Job:
    """One press of Start. `work(job)` runs in the worker's thread and calls `progress` for every frame."""

    user: str
    work: Callable[[Job], list[Path]]
    state: str = WAITING
    frames: int = 0
    total: int | None = None
    started: float = 0.0
    seconds: float = 0.0
    picture: np.ndarray | None = None  # the last one drawn, uint8 [H, W, 3]
    results: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # lines for the user; the cause where `state` is FAILED
    _stop: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """It ends before its next frame."""
        self._stop.set()

    @property
    def over(self) -> bool:
        return self.state in (DONE, FAILED, CANCELLED)

    def progress(self, frames: int, total: int | None) -> None:
        """Raises Cancelled where the user wants no more."""
        if self._stop.is_set():
            raise Cancelled
        self.frames, self.total = frames, total

    @property
    def rate(self) -> float:
        """Frames a second so far."""
        spent = self.seconds or (time.monotonic() - self.started if self.started else 0.0)
        return self.frames / spent if spent > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds still to go, where that is known."""
        return (self.total - self.frames) / self.rate if self.total and self.rate and self.frames else None

    def run(self) -> None:
        self.state, self.started = RUNNING, time.monotonic()
        try:
            self.progress(0, None)
            self.results = self.work(self)
            ended = DONE if self.results else FAILED
        except Cancelled:
            ended = CANCELLED
        except VtoonError as error:
            self.problems.append(str(error))
            ended = FAILED
        except Exception as error:  # a defect of ours must not end the worker
            log.info("a job of the page", exc_info=True)
            self.problems.append(describe(error))
            ended = FAILED
        self.seconds, self.picture = time.monotonic() - self.started, None
        self.state = ended


class Queue:
    """At most `limit` jobs wait; the next one is of the user who has waited longest for a turn."""

    def __init__(self, limit: int = 20) -> None:
        self.limit = limit
        self._users: OrderedDict[str, deque[Job]] = OrderedDict()  # whose turn is next comes first
        self._running: Job | None = None
        self._change = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> Job:
        """Raises VtoonError where too many wait already."""
        with self._change:
            if self._closed:
                raise VtoonError("the page is closing; start it again")
            waiting = sum(map(len, self._users.values()))
            if waiting >= self.limit:
                raise VtoonError(f"{waiting} works are waiting already, no more are taken (--queue); try again later")
            self._users.setdefault(job.user, deque()).append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="vtoon-web-worker", daemon=True)
                self._thread.start()
            self._change.notify_all()
        return job

    def ahead(self, job: Job) -> int:
        """How many works are done before this one begins."""
        with self._change:
            queues = [list(jobs) for jobs in self._users.values()]
            order = []
            while any(queues):
                order += [jobs.pop(0) for jobs in queues if jobs]
            return (order.index(job) if job in order else 0) + (self._running is not None)

    def cancel_all(self, user: str | None = None) -> None:
        """Of one user, or of all."""
        with self._change:
            jobs = [job for name, queue in self._users.items() if user in (None, name) for job in queue]
            running = self._running
        for job in [*jobs, *([running] if running and user in (None, running.user) else [])]:
            job.cancel()

    def close(self) -> None:
        """What runs is cancelled; returns when the worker has ended."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self.cancel_all()
        if self._thread:
            self._thread.join()

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            with self._change:
                self._running = None

    def _next(self) -> Job | None:
        with self._change:
            while not self._users:
                if self._closed:
                    return None
                self._change.wait()
            user, jobs = self._users.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._users[user] = jobs  # behind the others
            self._running = job
            return job
