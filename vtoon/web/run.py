"""Start, Cancel, and what is seen between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import gradio as gr

from vtoon.errors import VtoonError
from vtoon.web import fragments, work
from vtoon.web.batch import Batch
from vtoon.web.context import Page, session_of, told
from vtoon.web.controls import Controls
from vtoon.web.dropped import FOLDER, PICTURE, VIDEO, Dropped
from vtoon.web.jobs import DONE, RUNNING, Job
from vtoon.web.sessions import Session
from vtoon.web.settings import IN_BROWSERS, Settings, as_line

POLL_SECONDS = 0.4


def line_of(dropped: Dropped, settings: Settings) -> str:
    """The command line that makes the same."""
    if dropped.tab == VIDEO:
        output = work.output_name(dropped.clips[0].path, settings)
    else:
        output = "drawings/" if len(dropped.clips) == 1 else "drawings"
    return as_line(settings.command(dropped.names, output, dropped.tab != PICTURE))


def dropped_of(page: Page, session: Session, token: str | None, tab: str) -> Dropped:
    """Raises VtoonError where it is not this session's."""
    dropped = session.kept.get(token or "")
    if not isinstance(dropped, Dropped):
        raise VtoonError(page.words(f"no_{tab}"))
    return dropped


class Run:
    """Of one tab. The buttons are made where it is made; `results` and `wire` come later."""

    def __init__(self, page: Page, tab: str, history: gr.HTML) -> None:
        self.page, self.tab, self.history = page, tab, history
        words, self.job = page.words, gr.State(None)
        self.start = gr.Button(words("start"), variant="primary", size="lg", elem_id=f"{tab}-start")
        self.cancel = gr.Button(words("cancel"), visible=False, size="lg", elem_id=f"{tab}-cancel")
        self.progress = gr.HTML("", elem_id=f"{tab}-progress")

    def results(self) -> None:
        """What was made, below everything."""
        self.result = gr.HTML("", elem_id=f"{self.tab}-result")
        self.command = gr.HTML("", elem_id=f"{self.tab}-command")

    def wire(self, notice: gr.HTML, dropped: gr.State, controls: Controls) -> None:
        self.notice, self.controls = notice, controls
        quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
        changed = [notice, self.start, self.cancel, self.progress, self.job, self.result, self.command, self.history]
        self.start.click(self._start, [dropped, *controls.inputs], changed, trigger_mode="once", **quiet)
        self.cancel.click(told(notice)(self._cancel), [self.job], [notice], **quiet)

    async def _start(self, request: gr.Request, token: str | None, *values: object) -> AsyncIterator[dict]:
        """Put the work into the queue and tell how it goes. When the browser goes away, the work stops."""
        try:
            session = session_of(request)
            dropped = dropped_of(self.page, session, token, self.tab)
            settings = self.controls.settings(values)
            job = self._submit(session, dropped, settings)
        except VtoonError as error:
            yield {self.notice: fragments.notice(str(error))}
            return
        try:
            yield self._running(session, dropped, job) | {
                self.job: session.keep(job),
                self.notice: "",
                self.result: "",
            }
            while not job.over:
                await asyncio.sleep(POLL_SECONDS)
                if isinstance(job, Batch):
                    job.go_on()
                session.use()
                yield self._running(session, dropped, job)
        finally:
            if not job.over:
                job.cancel()
        finished = await asyncio.to_thread(self._finished, session, dropped, settings, job)
        yield {self.start: gr.Button(visible=True), self.cancel: gr.Button(visible=False), self.job: None} | finished

    def _submit(self, session: Session, dropped: Dropped, settings: Settings) -> Job | Batch:
        context, folder = self.page.context, session.room()
        hands = work.Hands(context.models.load(settings.model), settings, session.tracks)
        sources = [clip.path for clip in dropped.clips]
        if self.tab == FOLDER:
            return self._batch(session, hands, sources, folder)

        def draw(job: Job) -> list[Path]:
            if self.tab == VIDEO:
                return work.draw_video(job, hands, sources[0], folder)
            return work.draw_pictures(job, hands, sources, folder)

        return context.queue.submit(Job(session.id, draw))

    def _batch(self, session: Session, hands: work.Hands, sources: list[Path], folder: Path) -> Batch:
        def drawing(i: int, source: Path) -> Job:
            return Job(session.id, lambda job: work.draw_one(job, hands, source, folder / str(i)))

        batch = Batch(self.page.context.queue, [drawing(i, source) for i, source in enumerate(sources)])
        batch.go_on()
        return batch

    def _running(self, session: Session, dropped: Dropped, job: Job | Batch) -> dict:
        context, now = self.page.context, job.current if isinstance(job, Batch) else job
        picture = now.picture if now and now.state == RUNNING else None
        address = context.show(session, picture, side=640, quality=70) if picture is not None else None
        if isinstance(job, Batch):
            panel = fragments.batch(self.page.words, self._items(session, dropped, job), address)
        else:
            panel = fragments.progress(self.page.words, job, context.queue.ahead(job), address, self.tab != VIDEO)
        return {
            self.start: gr.Button(visible=False),
            self.cancel: gr.Button(visible=True),
            self.progress: panel,
        }

    def _items(self, session: Session, dropped: Dropped, batch: Batch) -> list[tuple[str, Job, str | None]]:
        made = [self._address(session, job.results[0]) if job.results else None for job in batch.jobs]
        return list(zip(dropped.names, batch.jobs, made, strict=True))

    def _address(self, session: Session, path: Path) -> str:
        """The same file keeps its address from one look to the next."""
        known = next((f"{token}/{path.name}" for token, file in session.files.items() if file == path), None)
        return self.page.context.address(known or session.offer(path))

    def _finished(self, session: Session, dropped: Dropped, settings: Settings, job: Job | Batch) -> dict:
        words, line = self.page.words, line_of(dropped, settings)
        if isinstance(job, Batch):
            panel = fragments.batch(words, self._items(session, dropped, job), None)
            made = [path for each in job.jobs for path in each.results]
            if len(made) > 1:
                made.append(work.zipped(made, made[0].parents[1]))
        else:
            panel, made = fragments.ended(words, job, self.tab == PICTURE), job.results
        if job.state != DONE:
            return {self.progress: panel}
        session.finished(made[-1].parent)
        links = [(path.name, self._address(session, path)) for path in made]
        session.history.insert(0, (*links[-1], line))
        del session.history[len(session.works) :]
        return {
            self.progress: panel,
            self.result: self._shown(session, dropped, settings, links),
            self.command: fragments.command(words, line),
            self.history: fragments.history(words, session.history),
        }

    def _shown(self, session: Session, dropped: Dropped, settings: Settings, links: list[tuple[str, str]]) -> str:
        words = self.page.words
        if self.tab == VIDEO:
            original = self._address(session, dropped.clips[0].path)
            return fragments.videos(words, original, links[0][1], links[0][0], settings.format in IN_BROWSERS)
        archive = links.pop() if links[-1][0] == work.ZIP else None
        if self.tab == FOLDER:
            return fragments.archive(words, *archive) if archive else ""
        return fragments.pictures(words, links, archive)

    def _cancel(self, request: gr.Request, token: str | None) -> dict:
        job = session_of(request).kept.get(token or "")
        if isinstance(job, Job | Batch):
            job.cancel()
        return {}
