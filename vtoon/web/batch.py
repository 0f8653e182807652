"""Many works of one press of Start, one in the queue at a time: others take their turns between them."""

from __future__ import annotations

from collections.abc import Sequence

from vtoon.errors import VtoonError
from vtoon.web.jobs import CANCELLED, DONE, FAILED, WAITING, Job, Queue


class Batch:
    """`go_on` is called again and again until it is `over`."""

    def __init__(self, queue: Queue, jobs: Sequence[Job]) -> None:
        self._queue, self.jobs = queue, jobs
        self._next, self._stopped = 0, False

    def go_on(self) -> None:
        """Put the next work into the queue when the last one is over; where the queue is full, later."""
        if self._stopped or (self._next and not self.jobs[self._next - 1].over) or self._next == len(self.jobs):
            return
        try:
            self._queue.submit(self.jobs[self._next])
        except VtoonError:
            return
        self._next += 1

    def cancel(self) -> None:
        """What is drawn stays; what is being drawn, and what comes after, does not."""
        self._stopped = True
        for job in self.jobs[: self._next]:
            job.cancel()
        for job in self.jobs[self._next :]:
            job.state = CANCELLED

    @property
    def over(self) -> bool:
        return all(job.over for job in self.jobs)

    @property
    def state(self) -> str:
        """DONE where anything is."""
        if not self.over:
            return WAITING
        states = {job.state for job in self.jobs}
        return next(state for state in (DONE, CANCELLED, FAILED) if state in states)

    @property
    def current(self) -> Job | None:
        """The one in the queue, or at work."""
        job = self.jobs[self._next - 1] if self._next else None
        return job if job and not job.over else None

    @property
    def seconds(self) -> float:
        return sum(job.seconds for job in self.jobs)
