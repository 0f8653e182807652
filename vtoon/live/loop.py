"""One frame after the other, each as soon as it is there: follow the faces, draw, steady with the past, send."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector, FaceTracker, RegionPlanner, largest_only
from vtoon.faces.detect import QUICK
from vtoon.flow import estimate_flow, steady_with_past
from vtoon.live.sink import MILLISECOND, Sink
from vtoon.live.source import Captured, Latest, Newest
from vtoon.painters.engine import Engine, Job
from vtoon.painters.published import PublishedModel
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.people import People
from vtoon.pipeline.placement import Paste
from vtoon.pipeline.stylize import Stylizer
from vtoon.types import Frame, Rendered, TrackedFrame

DETAILS = (64.0, 80.0, 96.0, 112.0, 128.0)  # px between the eyes, of the automatic detail
FIRST_DETAIL = 2  # of these
WATCHED = 12  # frames whose time decides
KEPT = 500  # latencies that are remembered
ROOM = 0.55  # of a frame's time, under which the next finer detail is tried


@dataclass(frozen=True)
class Stats:
    """How the last seconds went."""

    frames: int  # drawn since the beginning
    dropped: int  # left out since the beginning
    fps: float
    p50: float  # s from a frame's coming to its being sent
    p95: float
    detail: float | str


@dataclass
class Wish:
    """What may be changed while it runs."""

    options: StylizeOptions
    mirror: bool = False
    drawn: bool = True  # False: the frame as it came
    people: People | None = None  # who is left as he is


@dataclass
class Detail:
    """Holds the wanted rate by how finely faces are drawn."""

    wanted: float  # frames/s
    level: int = FIRST_DETAIL
    _spent: deque[float] = field(default_factory=lambda: deque(maxlen=WATCHED))

    def after(self, seconds: float) -> float | None:
        """A frame took so long: the detail to change to, or None."""
        self._spent.append(seconds)
        count, budget = len(self._spent), 1 / self.wanted
        hopeless = count >= 3 and sum(self._spent) > 2 * WATCHED * budget
        if count < WATCHED and not hopeless:
            return None
        mean = sum(self._spent) / count
        finer = min(self.level + 1, len(DETAILS) - 1)
        step = -1 if mean > budget and self.level else 0
        if mean * (DETAILS[finer] / DETAILS[self.level]) ** 2 < ROOM * budget and finer > self.level:
            step = 1
        if not step:
            return None
        self.level += step
        self._spent.clear()
        return DETAILS[self.level]


class Live:
    """A source, drawn into sinks, until it is stopped."""

    def __init__(
        self, stylizer: Stylizer, wish: Wish, fps: float, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.stylizer, self.wish, self.fps, self._say = stylizer, wish, fps, say
        self._held = Detail(fps) if wish.options.detail == "auto" and wish.options.placement == "paste" else None
        self._latencies: deque[float] = deque(maxlen=KEPT)
        self._times: deque[float] = deque(maxlen=60)
        self._coming: deque[Captured] = deque()
        self.frames = 0
        self.number = -1  # of the source's frames, what was sent last
        self.seen: TrackedFrame | None = None  # the last one, every face that is in it
        self.last: np.ndarray | None = None  # uint8 [H, W, 3], what was sent last

    def run(self, source: str | Latest, sinks: Sequence[Sink], seconds: float | None = None) -> Iterator[Stats]:
        """Figures after every frame. `seconds`: end after so long. Raises VtoonError where a source or sink fails."""
        with contextlib.ExitStack() as open_now:
            for sink in sinks:
                open_now.enter_context(sink)
            self._warm_up()
            self.frames = 0
            for kept in (self._coming, self._latencies, self._times):  # of an earlier run
                kept.clear()
            newest = open_now.enter_context(Newest(source) if isinstance(source, str) else source)
            begun, looked = None, time.monotonic()
            for drawn in self._drawn(newest):
                captured = self._coming.popleft()
                begun = captured.seconds if begun is None else begun
                self.last = drawn.image if self.wish.drawn else captured.image
                self.number = captured.number
                for sink in sinks:
                    sink.write(self.last, captured.seconds - begun)
                now = time.monotonic()
                self._note(captured, now, now - max(looked, captured.seconds))
                yield self._stats(newest)
                looked = time.monotonic()
                if seconds is not None and looked - begun >= seconds:
                    return

    def _warm_up(self) -> None:
        """What is made or read at first use is so before frames are waited for."""
        self._engine = self._new_engine(self.wish.options)
        FaceDetector().find(np.zeros((240, 320), np.uint8), QUICK)
        if not isinstance(self.stylizer.checkpoint, PublishedModel):  # these want a face
            still = self.stylizer.engine(self.wish.options)
            still.draw([Job(np.zeros((256, 256, 3), np.uint8), DETAILS[FIRST_DETAIL])])

    def change(self, options: StylizeOptions) -> None:
        """Another style or degree from the next frame on. Raises VtoonError for one that does not exist."""
        self._engine.painter = self._new_engine(options).painter
        self.wish.options = options

    def _new_engine(self, options: StylizeOptions) -> Engine:
        causal = not isinstance(self.stylizer.checkpoint, PublishedModel)  # these smooth their parsing ahead in time
        return self.stylizer.engine(options, moving=causal)

    def _drawn(self, newest: Latest) -> Iterator[Rendered]:
        options = self.wish.options
        options = replace(options, detail=DETAILS[self._held.level]) if self._held else options
        tracked = self._wanted(FaceTracker().track(self._frames(newest)))
        tracked = largest_only(tracked) if options.faces == "largest" else tracked
        first = next(tracked, None)
        if first is None:
            return
        face = first.faces[0].landmarks if first.faces else None
        self._placement = self.stylizer.place(options, face, first.frame.image.shape[:2])

        def all_of_them() -> Iterator:
            yield first
            yield from tracked

        drawn = self.stylizer.render(all_of_them(), self._placement, self._engine, 1)
        yield from steady_with_past(drawn, estimate_flow) if options.steady else drawn

    def _wanted(self, tracked: Iterator[TrackedFrame]) -> Iterator[TrackedFrame]:
        """The faces that are drawn: it may change with every frame."""
        for frame in tracked:
            self.seen = frame
            yield self.wish.people.without(frame) if self.wish.people else frame

    def skip(self, x: float, y: float) -> bool:
        """Leave the person at x, y px of the last frame as he is, and know him when he comes back; or draw him again.
        Returns whether he is left. Raises VtoonError where there is no face."""
        if self.seen is None:
            raise VtoonError("there is no frame yet")
        people = self.wish.people or People([])
        self.wish.people = people
        return people.switch(self.seen, x, y)

    def _frames(self, newest: Latest) -> Iterator[Frame]:
        for captured in newest:
            if self.wish.mirror:
                captured = replace(captured, image=np.ascontiguousarray(captured.image[:, ::-1]))
            self._coming.append(captured)
            yield Frame(captured.image, round(captured.seconds * 1000), MILLISECOND)

    def _note(self, captured: Captured, now: float, spent: float) -> None:
        self.frames += 1
        self._times.append(now)
        self._latencies.append(now - captured.seconds)
        changed = self._held.after(spent) if self._held else None
        if changed is not None and isinstance(self._placement, Paste):
            self._placement.planner = RegionPlanner(changed)
            self._say(f"detail is {changed:g} px now, to hold {self.fps:g} frames/s")

    def _stats(self, newest: Latest) -> Stats:
        passed = self._times[-1] - self._times[0]
        rate = (len(self._times) - 1) / passed if passed > 0 else 0.0
        p50, p95 = np.percentile(self._latencies, (50, 95))
        detail = DETAILS[self._held.level] if self._held else self.wish.options.detail
        return Stats(self.frames, newest.dropped, rate, float(p50), float(p95), detail)
