"""A browser's camera, drawn by the loop of `vtoon live`: a frame comes with each request, and goes back drawn."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace

import numpy as np

from vtoon.errors import VtoonError, describe
from vtoon.live.loop import Live, Stats, Wish
from vtoon.live.source import Latest
from vtoon.pipeline.people import Seen
from vtoon.pipeline.stylize import Stylizer
from vtoon.web.settings import Settings

FPS = 15.0  # frames/s that are held by the detail
IDLE_SECONDS = 10.0  # without a frame: the browser has gone
WAIT_SECONDS = 30.0  # for the first frame, a network may be loaded
MAX_BYTES, MAX_SIDE = 2 << 20, 1920  # of a frame


class Show:
    """One camera."""

    def __init__(self, user: str, stylizer: Stylizer, settings: Settings) -> None:
        self.user, self.settings, self.seen = user, settings, time.monotonic()
        self._live = Live(stylizer, Wish(settings.options()), FPS)
        self._frames, self._change = Latest(), threading.Condition()
        self._stats: Stats | None = None
        self._failure: str | None = None
        self._over = False
        self._face: Seen | None = None
        self._asked = 0  # requests that wait for their frame
        self._thread = threading.Thread(target=self._run, name="vtoon-web-live", daemon=True)
        self._thread.start()

    def draw(self, image: np.ndarray, mirror: bool, drawn: bool) -> tuple[np.ndarray, Stats]:
        """A frame uint8 [H, W, 3] as it is shown. Raises VtoonError where it cannot be drawn."""
        self._asked += 1
        try:
            return self._drawn(image, mirror, drawn)
        finally:
            self._asked -= 1
            self.seen = time.monotonic()

    def _drawn(self, image: np.ndarray, mirror: bool, drawn: bool) -> tuple[np.ndarray, Stats]:
        self._live.wish.mirror, self._live.wish.drawn = mirror, drawn
        number = self._frames.put(image)
        with self._change:
            self._change.wait_for(lambda: self._over or self._live.number >= number, WAIT_SECONDS)
            if self._failure or self._over or self._live.last is None:
                raise VtoonError(self._failure or "the camera was stopped; start it again")
            return self._live.last, self._stats

    def change(self, settings: Settings) -> None:
        """From the next frame on."""
        if settings.options() != self.settings.options() and self._live.number >= 0:
            self._live.change(replace(settings.options(), detail=self._live.wish.options.detail))
            self.settings = settings

    def fits(self, settings: Settings) -> bool:
        """Whether `change` is enough for these; what fixes the geometry takes a new show."""
        fixed = ("model", "placement", "padding", "faces", "detail", "steady")
        return all(getattr(settings, name) == getattr(self.settings, name) for name in fixed)

    @property
    def face(self) -> Seen | None:
        """The last frame that had one."""
        seen = self._live.seen
        if seen is not None and seen.faces:
            self._face = Seen(seen.frame.image, tuple(face.landmarks for face in seen.faces))
        return self._face

    @property
    def idle(self) -> bool:
        return self._over or (not self._asked and time.monotonic() - self.seen > IDLE_SECONDS)

    def close(self) -> None:
        self._frames.close()
        self._thread.join(WAIT_SECONDS)

    def _run(self) -> None:
        try:
            with contextlib.closing(self._live.run(self._frames, [])) as run:
                for stats in run:
                    with self._change:
                        self._stats = stats
                        self._change.notify_all()
        except VtoonError as error:
            self._failure = str(error)
        except Exception as error:  # a defect of ours is one line, too
            self._failure = describe(error)
        with self._change:
            self._over = True
            self._change.notify_all()


class Stage:
    """At most one show at a time: there is one device."""

    def __init__(self) -> None:
        self._show: Show | None = None
        self._lock = threading.Lock()

    def show(self, user: str, stylizer: Stylizer, settings: Settings) -> Show:
        """The show of a user, as the settings are now. Raises VtoonError while another user's goes on."""
        with self._lock:
            show = self._show
            if show and not show.idle and show.user != user:
                raise VtoonError("another camera is being drawn here; try again when it has stopped")
            if show and (show.idle or not show.fits(settings)):
                show.close()
                show = None
            if show is None:
                show = self._show = Show(user, stylizer, settings)
            show.change(settings)
            return show

    def face(self, user: str) -> Seen | None:
        """What looks may be drawn on: the face before the camera of a user, where there is one."""
        show = self._show
        return show.face if show and show.user == user else None

    def end(self, user: str | None = None) -> None:
        """The show of a user, or whosever it is."""
        with self._lock:
            if self._show and user in (None, self._show.user):
                self._show.close()
                self._show = None

    def tidy(self) -> None:
        """End what nobody looks at."""
        if self._show and self._show.idle:
            self.end()
