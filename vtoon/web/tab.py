"""One tab: something is dropped, a frame of it is drawn as the settings change, Start draws it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import gradio as gr

from vtoon.web import fragments
from vtoon.web.clips import preview
from vtoon.web.context import Page, session_of, told
from vtoon.web.controls import QUIET, Controls
from vtoon.web.dropped import FOLDER, PICTURE, VIDEO, Dropped, facts, take
from vtoon.web.people import left_out, persons, switched
from vtoon.web.run import Run, dropped_of, line_of
from vtoon.web.sessions import Session
from vtoon.web.settings import Settings

VIDEO_TYPES = ["video", ".mkv", ".webm", ".mov", ".avi", ".gif", ".ts", ".mts", ".flv", ".wmv", ".m4v", ".mpg", ".mxf"]
PICTURE_TYPES = ["image", ".webp", ".bmp", ".tif", ".tiff"]
TYPES = {VIDEO: VIDEO_TYPES, PICTURE: PICTURE_TYPES, FOLDER: [*VIDEO_TYPES, *PICTURE_TYPES]}
SWITCH = """element.addEventListener('change', (event) => {
  const face = event.target.dataset.face;
  if (face !== undefined) trigger('select', { face: Number(face), drawn: event.target.checked });
});"""


class Tab:
    """VIDEO, PICTURE or FOLDER."""

    def __init__(self, page: Page, history: gr.HTML, tab: str) -> None:
        self.page, self.tab = page, tab
        self.dropped = gr.State(None)
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                self._input()
            with gr.Column(scale=5, min_width=320):
                self.controls = Controls(page, tab)
                self.run = Run(page, tab, history)
                self.controls.more()
        self.run.results()
        self._wire()
        self.run.wire(self.notice, self.dropped, self.controls)

    def _input(self) -> None:
        words, tab = self.page.words, self.tab
        self.notice = gr.HTML("", elem_id=f"{tab}-notice")
        self.file = gr.File(
            label=words(f"drop_{tab}"),
            file_types=TYPES[tab],
            file_count="single" if tab == VIDEO else "multiple",
            height=140,
            elem_id=f"{tab}-file",
        )
        with gr.Row(visible=False) as self.about:
            self.card = gr.HTML("", elem_id=f"{tab}-card")
            self.another = gr.Button(words("another"), size="sm", scale=0, min_width=140)
        self.stage = gr.HTML(fragments.empty(words(f"empty_{tab}")), js_on_load=SWITCH, elem_id=f"{tab}-stage")
        step, label = (0.04, "frame") if tab == VIDEO else (1, "shown_picture")
        self.time = gr.Slider(0, 1, 0, step=step, label=words(label), visible=False, elem_id=f"{tab}-time")

    def _wire(self) -> None:
        controls, every = self.controls, [self.dropped, self.time, *self.controls.inputs]
        safe, seen = told(self.notice), [self.notice, self.stage, self.run.command]
        look = partial(dict, fn=safe(self._look), inputs=every, outputs=seen, concurrency_id="preview", **QUIET)
        drawn = {"inputs": every, "outputs": [self.notice, controls.gallery], "concurrency_id": "preview"}
        tiles = partial(dict, fn=told(self.notice, clears=False)(self._tiles), **drawn, **QUIET)

        opened = [self.notice, self.file, self.about, self.card, self.dropped, self.time, self.stage, self.run.result]
        opened.append(controls.skipped)
        refused = told(self.notice, otherwise=lambda: {self.file: gr.File(value=None)})
        took = self.file.upload(refused(self._open), [self.file], opened, api_visibility="private", concurrency_limit=4)
        took.success(**look()).then(**tiles())
        self.another.click(safe(self._clear), None, [*opened, self.run.command, self.run.progress], **QUIET)

        self.time.release(**look()).then(**tiles())
        for control in controls.watched:
            control.input(**look(trigger_mode="always_last"))
        self.stage.select(safe(self._switch), every, [self.notice, controls.skipped], **QUIET).then(**look()).then(
            **tiles()
        )
        controls.gallery.select(controls.choose, None, [controls.look], **QUIET).then(**look())
        controls.palette.input(**look()).then(**tiles())
        changed = [self.notice, controls.look, controls.palette]
        another = controls.model.input(safe(controls.changed_model), [controls.model], changed, **QUIET)
        another.then(**look()).then(**tiles())

    def _open(self, request: gr.Request, uploads: str | Sequence[str] | None) -> dict:
        """Take what was uploaded: checked, described."""
        session = session_of(request)
        dropped = take(self.page, session, self.tab, uploads)
        first, last = dropped.times
        return {
            self.file: gr.File(value=None, visible=False),
            self.about: gr.Row(visible=True),
            self.card: fragments.card(*facts(self.page, dropped)),
            self.dropped: session.keep(dropped),
            self.time: gr.Slider(minimum=first, maximum=max(last, first + 0.04), value=first, visible=last > first),
            self.run.result: "",
            self.controls.skipped: (),
        }

    def _clear(self) -> dict:
        return {
            self.file: gr.File(value=None, visible=True),
            self.about: gr.Row(visible=False),
            self.dropped: None,
            self.time: gr.Slider(visible=False, value=0),
            self.stage: fragments.empty(self.page.words(f"empty_{self.tab}")),
            self.run.result: "",
            self.run.command: "",
            self.run.progress: "",
            self.controls.skipped: (),
        }

    def _switch(
        self, request: gr.Request, event: gr.EventData, token: str | None, time: float, *values: object
    ) -> dict:
        """A face of the shown frame is to be drawn, or to stay as it is."""
        dropped, skipped = self._dropped(session_of(request), token), self.controls.settings(values).skipped
        return {self.controls.skipped: switched(dropped, time, skipped, int(event.face), bool(event.drawn))}

    def _look(self, request: gr.Request, token: str | None, time: float, *values: object) -> dict:
        """The shown frame, before and after, its faces, and the command line."""
        session, settings = session_of(request), self.controls.settings(values)
        if token is None:
            return {self.notice: gr.skip()}
        dropped = self._dropped(session, token)
        return {
            self.stage: self._stage(session, dropped, time, settings),
            self.run.command: fragments.command(self.page.words, line_of(dropped, settings)),
        }

    def _stage(self, session: Session, dropped: Dropped, time: float, settings: Settings) -> str:
        words, seen, show = self.page.words, dropped.at(time), partial(self.page.context.show, session)
        left = left_out(dropped, time, settings.options().skip_faces)
        before, after = preview(self.page.context.models.load(settings.model), seen, settings, left)
        count, name = len(seen.faces), f"{self.tab}-face"
        note = words("no_face") if not count else words("face_found" if count == 1 else "faces_found", count=count)
        if not count or settings.placement == "full":
            return fragments.compare(words, show(before), show(after), after.shape[1::-1], note)
        people = persons(seen, left)
        over = fragments.badges(name, people) if settings.placement == "paste" else ""
        shown = fragments.compare(words, show(before), show(after), after.shape[1::-1], note, over)
        return shown + fragments.switches(words, name, people)

    def _tiles(self, request: gr.Request, token: str | None, time: float, *values: object) -> dict:
        session, seen = session_of(request), None
        if token:
            dropped, skipped = self._dropped(session, token), self.controls.settings(values).options().skip_faces
            seen, left = dropped.at(time), left_out(dropped, time, skipped)
            drawn = tuple(face for face, place in zip(seen.faces, left, strict=True) if place is None)
            seen = replace(seen, faces=drawn or seen.faces, _looks={})
        return self.controls.redrawn(session, seen, values)

    def _dropped(self, session: Session, token: str | None) -> Dropped:
        return dropped_of(self.page, session, token, self.tab)
