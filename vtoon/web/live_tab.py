"""The tab Live: the browser's own camera, drawn while it runs."""

from __future__ import annotations

from functools import partial

import gradio as gr

from vtoon.web import fragments
from vtoon.web.context import Page, session_of, told
from vtoon.web.controls import QUIET, Controls

LIVE = "live"
FACE = "element.addEventListener('vt-face', () => trigger('select', {}));"  # live.js has seen one


class LiveTab:
    """Frames go another way than Gradio's (page.js, camera.py); here is what is chosen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        context, words = page.context, page.words
        root = context.root_path.rstrip("/")
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                self.notice = gr.HTML("", elem_id=f"{LIVE}-notice")
                camera = fragments.camera(words, f"{root}/live")
                self.stage = gr.HTML(camera, js_on_load=FACE, elem_id=f"{LIVE}-stage")
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
        tiles = partial(dict, fn=self._tiles, inputs=controls.inputs, outputs=[controls.gallery], **QUIET)
        self.stage.select(**tiles())
        controls.palette.input(**tiles())
        outputs = [self.notice, controls.look, controls.palette]
        changed = told(self.notice)(controls.changed_model)
        controls.model.input(changed, [controls.model], outputs, **QUIET).then(**put()).then(**tiles())

    def _put(self, request: gr.Request, *values: object) -> dict:
        """From the next frame on."""
        session_of(request).live = self.controls.settings(values)
        return {}

    def _tiles(self, request: gr.Request, *values: object) -> dict:
        """Every look, on the face before the camera."""
        session = session_of(request)
        return self.controls.redrawn(session, self.page.context.stage.face(session.id), values)
