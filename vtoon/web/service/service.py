"""What the service does with jobs, whoever asks: take, draw by the one pipeline, keep, forget, go on after a start."""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from vtoon.errors import VtoonError
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.stylize import Stylizer
from vtoon.web.clips import described, safe_name
from vtoon.web.context import Limits
from vtoon.web.jobs import CANCELLED, DONE, FAILED, RUNNING, WAITING, Job, Queue
from vtoon.web.service.store import Entry, Store, Taken
from vtoon.web.settings import Settings
from vtoon.web.work import Hands, draw_pictures, draw_video

log = logging.getLogger("vtoon")
INPUT, RESULT = "input", "result"  # folders of a job
TRIES = 3  # of a job that ends the service each time
CHUNK = 1 << 20  # bytes
COUNTLESS = 10**9  # the queue's own limit: the service counts by the store
CONTAINERS = {"mp4": "MP4 (H.264)", "hevc": "MP4 (HEVC)", "av1": "MP4 (AV1)", "webm": "WebM (VP9)"}
CONTAINERS |= {"mov": "MOV (ProRes)", "mkv": "MKV (H.264)"}


class Full(VtoonError):
    """Too many wait."""


class TooLong(VtoonError):
    """A video is longer than allowed."""


class OtherRequest(VtoonError):
    """An idempotency key was used before, for something else."""


@dataclass(frozen=True)
class Wanted:
    """How something is to be drawn: the settings of `vtoon stylize` that a client may choose."""

    style: str = ""  # number or name; "" is the model's first
    style_degree: float = 1.0
    color_transfer: bool = False
    placement: str = "paste"
    faces: str = "all"
    detail: float | str = "auto"
    steady: bool = True
    sound: bool = True
    format: str = "mp4"
    start: float = 0.0
    end: float | None = None

    def settings(self, stylizer: Stylizer) -> Settings:
        """Raises VtoonError where a value is not allowed."""
        if self.format not in CONTAINERS:
            raise VtoonError(f"format is {self.format!r}; it must be one of {', '.join(CONTAINERS)}")
        style = int(self.style) if self.style.isascii() and self.style.isdigit() else self.style or None
        found, _, _ = stylizer.settled(StylizeOptions(style=style, style_degree=self.style_degree))
        values = {key: value for key, value in vars(self).items() if key not in ("style", "style_degree", "format")}
        settings = Settings("default", found, self.style_degree, format=CONTAINERS[self.format], **values)
        settings.options()
        return settings


@dataclass(eq=False)
class Kept(Job):
    """A job that tells when it begins and how it ended."""

    begun: Callable[[], None] = lambda: None
    over_with: Callable[[], None] = lambda: None

    def run(self) -> None:
        self.begun()
        super().run()
        self.over_with()


@dataclass
class Counted:
    """What /metrics tells beside the store."""

    ended: Counter = field(default_factory=Counter)  # by state
    frames: int = 0
    seconds: float = 0.0
    uploaded: int = 0  # bytes


class Service:
    """One model on one device, one folder."""

    def __init__(self, folder: Path, stylizer: Stylizer, limits: Limits, keep_hours: float = 24.0) -> None:
        """Goes on with what an earlier service of this folder has left. Raises VtoonError for a folder that is none."""
        self.folder, self.stylizer, self.limits, self.keep_hours = folder, stylizer, limits, keep_hours
        self.store, self.counted = Store(folder / "jobs.sqlite"), Counted()
        self._queue, self._live, self._lock = Queue(COUNTLESS), {}, threading.Lock()
        self.stopping = False
        for entry in self.store.unfinished():
            if entry.tries >= TRIES:
                reason = f"the service ended {entry.tries} times while it drew this; the file is given up"
                self.store.set(entry.id, state=FAILED, problems=[reason], ended=time.time())
            else:
                self.store.set(entry.id, state=WAITING)
                self._submit(entry)

    def take(self, owner: str, key: str | None, name: str, file: BinaryIO, wanted: Wanted) -> tuple[Entry, bool]:
        """A job for an upload, and whether it is new. With a key that the owner has used before it is the job of then.

        Raises VtoonError where settings or file are not such as can be drawn; Full, TooLong, OtherRequest.
        """
        wanted.settings(self.stylizer)
        id_ = secrets.token_urlsafe(16)
        room = self.folder / id_
        room.mkdir(mode=0o700)
        path = room / INPUT / safe_name(name)
        try:
            path.parent.mkdir()
            digest = hashlib.sha256(repr(wanted).encode())
            with path.open("wb") as target:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
            entry = Entry(id_, owner, key, digest.hexdigest(), path.name, vars(wanted))
            if key and (found := self.store.by_key(owner, key)):
                raise Taken(found)
            self._check(path)
            self._add(entry)
            self.counted.uploaded += path.stat().st_size
            return entry, True
        except Taken as taken:
            shutil.rmtree(room, ignore_errors=True)
            if taken.entry.digest != entry.digest:
                raise OtherRequest(f"the idempotency key {key!r} was used for another request") from None
            return taken.entry, False
        except BaseException as error:
            shutil.rmtree(room, ignore_errors=True)
            if isinstance(error, OSError):
                raise VtoonError(f"{path.name}: cannot be kept ({error.strerror})") from None
            raise

    def _check(self, path: Path) -> None:
        info = described(path)
        if info.kind == "video" and info.duration > 60 * self.limits.max_minutes:
            most = f"this service takes {self.limits.max_minutes:g} (--max_minutes)"
            raise TooLong(f"{path.name} is {info.duration / 60:.1f} minutes long; {most}")

    def _add(self, entry: Entry) -> None:
        with self._lock:
            waiting = self.store.counts().get(WAITING, 0)
            if waiting >= self.limits.queue:
                raise Full(f"{waiting} jobs are waiting already, no more are taken (--queue); try again later")
            if self.stopping:
                raise Full("the service is ending; try again later")
            self._submit(self.store.add(entry))

    def _submit(self, entry: Entry) -> None:
        room = self.folder / entry.id

        def work(job: Job) -> list[Path]:
            source, result = room / INPUT / entry.name, room / RESULT
            shutil.rmtree(result, ignore_errors=True)
            result.mkdir()
            hands = Hands(self.stylizer, Wanted(**entry.wanted).settings(self.stylizer))
            if described(source).kind == "video":
                return draw_video(job, hands, source, result)
            return draw_pictures(job, hands, [source], result)

        job = Kept(entry.owner, work)
        job.begun = lambda: self.store.set(entry.id, state=RUNNING, tries=entry.tries + 1)
        job.over_with = lambda: self._ended(entry, job)
        self._live[entry.id] = job
        self._queue.submit(job)

    def _ended(self, entry: Entry, job: Job) -> None:
        del self._live[entry.id]
        room = self.folder / entry.id
        if self.store.get(entry.id) is None:  # deleted meanwhile
            shutil.rmtree(room, ignore_errors=True)
            return
        if job.state == CANCELLED and self.stopping:
            self.store.set(entry.id, state=WAITING, tries=entry.tries)  # it did nothing wrong
            return
        made = job.results[0].name if job.state == DONE else None
        facts = {"frames": job.frames, "seconds": job.seconds, "ended": time.time(), "problems": job.problems}
        shutil.rmtree(room / INPUT, ignore_errors=True)
        self.store.set(entry.id, state=job.state, result=made, **facts)
        self.counted.ended[job.state] += 1
        self.counted.frames += job.frames
        self.counted.seconds += job.seconds

    def live(self, id_: str) -> Job | None:
        """What is waiting or being drawn."""
        return self._live.get(id_)

    def ahead(self, id_: str) -> int:
        """How many are drawn before it."""
        job = self._live.get(id_)
        return self._queue.ahead(job) if job is not None else 0

    def result(self, entry: Entry) -> Path | None:
        """The drawing, where there is one."""
        path = self.folder / entry.id / RESULT / (entry.result or "")
        return path if entry.result and path.is_file() else None

    def delete(self, entry: Entry) -> None:
        """The job and its files; what is being drawn is stopped first."""
        self.store.remove(entry.id)
        job = self._live.get(entry.id)
        if job is not None:
            job.cancel()
        if job is None or job.over:
            shutil.rmtree(self.folder / entry.id, ignore_errors=True)

    def tidy(self) -> None:
        """Forget what ended long ago."""
        for entry in self.store.ended_before(time.time() - 3600 * self.keep_hours):
            self.delete(entry)

    def stop(self, grace: float = 0.0) -> None:
        """Nothing new begins. What is being drawn is finished if that takes no more than `grace` seconds; else it
        begins again with the next service of this folder, as does what waits."""
        with self._lock:
            self.stopping = True
        for id_, job in list(self._live.items()):
            if job.state == WAITING:
                log.info("left for the next start: %s", id_)
                job.cancel()
        end = time.monotonic() + grace
        while any(job.state == RUNNING for job in list(self._live.values())) and time.monotonic() < end:
            time.sleep(0.05)
        self._queue.close()
        self.store.close()
