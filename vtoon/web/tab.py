"""One tab: something is dropped, a frame of it is drawn as the settings change, Start draws it all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gradio as gr

from vtoon.errors import VtoonError
from vtoon.web import fragments, work
from vtoon.web.clips import Clip, Seen, open_clip, preview, safe_name
from vtoon.web.context import Page, session_of, told
from vtoon.web.controls import Controls
from vtoon.web.jobs import DONE, RUNNING, Job
from vtoon.web.sessions import Session
from vtoon.web.settings import IN_BROWSERS, Settings, as_line
from vtoon.web.strings import duration

POLL_SECONDS = 0.4
VIDEO_TYPES = ["video", ".mkv", ".webm", ".mov", ".avi", ".gif", ".ts", ".mts", ".flv", ".wmv", ".m4v", ".mpg", ".mxf"]
PICTURE_TYPES = ["image", ".webp", ".bmp", ".tif", ".tiff"]


@dataclass(frozen=True)
class Dropped:
    """What a tab works on: one video, or some pictures."""

    clips: tuple[Clip, ...]
    room: Path

    @property
    def names(self) -> list[str]:
        return [clip.path.name for clip in self.clips]


class Tab:
    """Video or Picture."""

    def __init__(self, page: Page, history: gr.HTML, video: bool) -> None:
        self.page, self.video, self.history = page, video, history
        self._layout()
        self._wire()

    def _layout(self) -> None:
        words, video = self.page.words, self.video
        kind = "video" if video else "picture"
        self.dropped, self.job = gr.State(None), gr.State(None)
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                self.notice = gr.HTML("", elem_id=f"{kind}-notice")
                self.file = gr.File(
                    label=words("drop_video" if video else "drop_pictures"),
                    file_types=VIDEO_TYPES if video else PICTURE_TYPES,
                    file_count="single" if video else "multiple",
                    height=140,
                    elem_id=f"{kind}-file",
                )
                with gr.Row(visible=False) as self.about:
                    self.card = gr.HTML("", elem_id=f"{kind}-card")
                    self.another = gr.Button(words("another"), size="sm", scale=0, min_width=140)
                self.stage = gr.HTML(fragments.empty(words(f"empty_{kind}")), elem_id=f"{kind}-stage")
                label = words("frame" if video else "shown_picture")
                self.time = gr.Slider(
                    0, 1, 0, step=0.04 if video else 1, label=label, visible=False, elem_id=f"{kind}-time"
                )
            with gr.Column(scale=5, min_width=320):
                self.controls = Controls(self.page, video)
                self.start = gr.Button(words("start"), variant="primary", size="lg", elem_id=f"{kind}-start")
                self.cancel = gr.Button(words("cancel"), visible=False, size="lg", elem_id=f"{kind}-cancel")
                self.progress = gr.HTML("", elem_id=f"{kind}-progress")
                self.controls.more()
        self.result = gr.HTML("", elem_id=f"{kind}-result")
        self.command = gr.HTML("", elem_id=f"{kind}-command")

    def _wire(self) -> None:
        safe, controls = told(self.notice), self.controls
        every = [self.dropped, self.time, *controls.inputs]
        shown, drawn = [self.notice, self.stage, self.command], [self.notice, controls.gallery]
        quiet = {"show_progress": "hidden", "queue": True, "api_visibility": "private"}
        look = partial(dict, fn=safe(self._look), inputs=every, outputs=shown, concurrency_id="preview", **quiet)
        tiles = partial(
            dict,
            fn=told(self.notice, clears=False)(self._tiles),
            inputs=every,
            outputs=drawn,
            concurrency_id="preview",
            **quiet,
        )

        opened = [self.notice, self.file, self.about, self.card, self.dropped, self.time, self.stage, self.result]
        refused = told(self.notice, otherwise=lambda: {self.file: gr.File(value=None)})
        took = self.file.upload(refused(self._open), [self.file], opened, api_visibility="private", concurrency_limit=4)
        took.success(**look()).then(**tiles())
        self.another.click(safe(self._clear), None, [*opened, self.command, self.progress], **quiet)

        self.time.release(**look()).then(**tiles())
        for control in controls.redraw:
            control.input(**look(trigger_mode="always_last"))
        for control in (controls.steady, controls.sound, controls.format, controls.start, controls.end):
            control.input(**look(trigger_mode="always_last"))
        controls.gallery.select(self._choose, None, [controls.look], **quiet).then(**look())
        controls.palette.input(**look()).then(**tiles())
        changed = [self.notice, controls.look, controls.palette]
        controls.model.input(safe(controls.changed_model), [controls.model], changed, **quiet).then(**look()).then(
            **tiles()
        )

        outputs = [
            self.notice,
            self.start,
            self.cancel,
            self.progress,
            self.job,
            self.result,
            self.command,
            self.history,
        ]
        self.start.click(
            self._start, [self.dropped, *controls.inputs], outputs, concurrency_limit=None, **quiet, trigger_mode="once"
        )
        self.cancel.click(safe(self._cancel), [self.job], [self.notice], concurrency_limit=None, **quiet)

    def _open(self, request: gr.Request, uploads: str | Sequence[str] | None) -> dict:
        """Take what was uploaded: checked, described."""
        session, limits, words = session_of(request), self.page.context.limits, self.page.words
        paths = [uploads] if isinstance(uploads, str) else list(uploads or [])
        if not paths:
            raise VtoonError(words("no_input" if self.video else "no_pictures"))
        room = session.room()
        clips = tuple(open_clip(session.adopt(path, room, safe_name(path)), self.kind) for path in paths)
        for clip in clips:
            if clip.info.duration > 60 * limits.max_minutes:
                facts = {"minutes": f"{clip.info.duration / 60:.1f}", "limit": f"{limits.max_minutes:g}"}
                raise VtoonError(words("too_long", name=clip.path.name, **facts))
        first, last = (0, clips[0].last) if self.video else (1, len(clips))
        return {
            self.file: gr.File(value=None, visible=False),
            self.about: gr.Row(visible=True),
            self.card: fragments.card(*self._facts(clips)),
            self.dropped: session.keep(Dropped(clips, room)),
            self.time: gr.Slider(minimum=first, maximum=max(last, first + 0.04), value=first, visible=last > first),
            self.result: "",
        }

    @property
    def kind(self) -> str:
        return "video" if self.video else "image"

    def _facts(self, clips: Sequence[Clip]) -> tuple[str, str]:
        words, info = self.page.words, clips[0].info
        names = ", ".join(clip.path.name for clip in clips[:4]) + (" …" if len(clips) > 4 else "")
        if not self.video:
            one = len(clips) == 1
            return names, words("picture_fact") if one else words("picture_facts", count=len(clips))
        sound = words("with_sound" if info.audio_codecs else "without_sound")
        facts = {"width": info.width, "height": info.height, "duration": duration(info.duration)}
        return names, words("clip_facts", **facts, rate=f"{float(info.rate):g}", sound=sound)

    def _clear(self) -> dict:
        kind = "video" if self.video else "picture"
        return {
            self.file: gr.File(value=None, visible=True),
            self.about: gr.Row(visible=False),
            self.dropped: None,
            self.time: gr.Slider(visible=False, value=0),
            self.stage: fragments.empty(self.page.words(f"empty_{kind}")),
            self.result: "",
            self.command: "",
            self.progress: "",
        }

    def _choose(self, event: gr.EventData) -> dict:
        return {self.controls.look: str(event.look)}

    def _look(self, request: gr.Request, token: str | None, time: float, *values: object) -> dict:
        """The shown frame, before and after, and the command line."""
        session, words = session_of(request), self.page.words
        settings = self.controls.settings(values)
        if token is None:
            return {self.notice: gr.skip()}
        dropped = self._dropped(session, token)
        seen = self._seen(dropped, time)
        before, after = preview(self.page.context.models.load(settings.model), seen, settings)
        count = len(seen.faces)
        note = (
            words("no_face") if not count else words("face_found") if count == 1 else words("faces_found", count=count)
        )
        show = partial(self.page.context.show, session)
        return {
            self.stage: fragments.compare(words, show(before), show(after), after.shape[1::-1], note),
            self.command: fragments.command(words, self._line(dropped, settings)),
        }

    def _tiles(self, request: gr.Request, token: str | None, time: float, *values: object) -> dict:
        session = session_of(request)
        seen = self._seen(self._dropped(session, token), time) if token else None
        return self.controls.redrawn(session, seen, values)

    def _dropped(self, session: Session, token: str) -> Dropped:
        """Raises VtoonError where it is not this session's."""
        dropped = session.kept.get(token)
        if not isinstance(dropped, Dropped):
            raise VtoonError(self.page.words("no_input" if self.video else "no_pictures"))
        return dropped

    def _seen(self, dropped: Dropped, time: float) -> Seen:
        if self.video:
            return dropped.clips[0].at(time)
        return dropped.clips[min(max(1, int(time)), len(dropped.clips)) - 1].at()

    def _line(self, dropped: Dropped, settings: Settings) -> str:
        output = self.controls.output(settings, dropped.clips[0].path)
        if not self.video and len(dropped.clips) == 1:
            output = "drawings/"
        return as_line(settings.command(dropped.names, output, self.video))

    async def _start(self, request: gr.Request, token: str | None, *values: object) -> AsyncIterator[dict]:
        """Put the work into the queue and tell how it goes. When the browser goes away, the work stops."""
        try:
            session = session_of(request)
            dropped = self._dropped(session, token or "")
            settings = self.controls.settings(values)
            job = self._submit(session, dropped, settings)
        except VtoonError as error:
            yield {self.notice: fragments.notice(str(error))}
            return
        try:
            yield self._running(session, job) | {self.job: session.keep(job), self.notice: "", self.result: ""}
            while not job.over:
                await asyncio.sleep(POLL_SECONDS)
                session.seen = max(session.seen, job.started)
                yield self._running(session, job)
        finally:
            if not job.over:
                job.cancel()
        yield {self.start: gr.Button(visible=True), self.cancel: gr.Button(visible=False), self.job: None} | {
            self.progress: fragments.ended(self.page.words, job, not self.video),
            **(self._finished(session, dropped, settings, job) if job.state == DONE else {}),
        }

    def _submit(self, session: Session, dropped: Dropped, settings: Settings) -> Job:
        context = self.page.context
        stylizer, folder = context.models.load(settings.model), session.room()
        sources = [clip.path for clip in dropped.clips]

        def draw(job: Job) -> list[Path]:
            if self.video:
                return work.draw_video(job, stylizer, sources[0], settings, folder)
            return work.draw_pictures(job, stylizer, sources, settings, folder)

        return context.queue.submit(Job(session.id, draw))

    def _running(self, session: Session, job: Job) -> dict:
        context, picture, address = self.page.context, job.picture, None
        if picture is not None and job.state == RUNNING:
            address = context.show(session, picture, side=640, quality=70)
        panel = fragments.progress(self.page.words, job, context.queue.ahead(job), address, not self.video)
        return {
            self.start: gr.Button(visible=False),
            self.cancel: gr.Button(visible=True),
            self.progress: panel,
        }

    def _finished(self, session: Session, dropped: Dropped, settings: Settings, job: Job) -> dict:
        words, address = self.page.words, self.page.context.address
        session.finished(job.results[0].parent)
        made = [(path.name, address(session.offer(path))) for path in job.results]
        line = self._line(dropped, settings)
        session.history.insert(0, (*made[-1], line))
        del session.history[len(session.works) :]
        if self.video:
            original = address(session.offer(dropped.clips[0].path))
            shown = fragments.videos(words, original, made[0][1], made[0][0], settings.format in IN_BROWSERS)
        else:
            archive = made.pop() if made[-1][0] == work.ZIP else None
            shown = fragments.pictures(words, made, archive)
        return {
            self.result: shown,
            self.command: fragments.command(words, line),
            self.history: fragments.history(words, session.history),
        }

    def _cancel(self, request: gr.Request, token: str | None) -> dict:
        job = session_of(request).kept.get(token or "")
        if isinstance(job, Job):
            job.cancel()
        return {}
