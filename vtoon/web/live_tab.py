"""The tab Live: the browser's own camera, drawn while it runs."""

from __future__ import annotations

from functools import partial

import gradio as gr

from vtoon.web import fragments
from vtoon.web.context import Page, session_of, told
from vtoon.web.controls import Controls
from vtoon.web.tab import QUIET

LIVE = "live"


class LiveTab:
    """Frames go another way than Gradio's (page.js, camera.py); here is what is chosen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        context, words = page.context, page.words
        root = context.root_path.rstrip("/")
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                self.notice = gr.HTML("", elem_id=f"{LIVE}-notice")
                gr.HTML(fragments.camera(words, f"{root}/live"), elem_id=f"{LIVE}-stage")
            with gr.Column(scale=5, min_width=320):
                self.controls = Controls(page, LIVE)
                self.controls.more()
        self._wire()

    def _wire(self) -> None:
        controls = self.controls
        put = partial(dict, fn=told(self.notice)(self._put), inputs=controls.inputs, outputs=[self.notice], **QUIET)
        for control in [*controls.watched, controls.palette]:
            control.input(**put(trigger_mode="always_last"))
        controls.gallery.select(controls.choose, None, [controls.look], **QUIET).then(**put())
        outputs = [self.notice, controls.look, controls.palette, controls.gallery]
        changed = told(self.notice)(self._changed_model)
        controls.model.input(changed, [controls.model], outputs, **QUIET).then(**put())

    def _put(self, request: gr.Request, *values: object) -> dict:
        """From the next frame on."""
        session_of(request).live = self.controls.settings(values)
        return {}

    def _changed_model(self, model: str) -> dict:
        menu, changed = self.controls.menu(model), self.controls.changed_model(model)
        return {**changed, self.controls.gallery: self.controls.tiles(None, menu, menu.looks[0], "", None, model)}
