"""The tab Own style: drawings are chosen, the command that learns them is started, watched, stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import gradio as gr

from vtoon.errors import VtoonError
from vtoon.web import fragments
from vtoon.web.clips import open_clip, safe_name
from vtoon.web.context import Page, session_of, told
from vtoon.web.making import Making, Wanted, keep_drawings
from vtoon.web.sessions import Session
from vtoon.web.settings import as_line

OWN_STYLE = "own_style"
BUDGETS = ("30m", "1h", "2h", "4h", "8h", "24h")
LOOK_SECONDS = 1.0


class OwnStyle:
    """`page.context.local`: whoever sees the page sits at this machine, so a folder of it may be named."""

    def __init__(self, page: Page) -> None:
        self.page, words = page, page.words
        self.notice = gr.HTML("", elem_id=f"{OWN_STYLE}-notice")
        gr.HTML(f'<p class="vt-quiet">{words("own_about")}</p>')
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                self.name = gr.Textbox(label=words("own_name"), max_length=40, elem_id=f"{OWN_STYLE}-name")
                self.files = gr.File(
                    label=words("own_drop"), file_types=["image"], file_count="multiple", elem_id=f"{OWN_STYLE}-file"
                )
                at_hand = {"visible": page.context.local}
                self.folder = gr.Textbox(label=words("own_folder"), elem_id=f"{OWN_STYLE}-folder", **at_hand)
                self.faces = gr.Textbox(label=words("own_faces"), elem_id=f"{OWN_STYLE}-faces", **at_hand)
            with gr.Column(scale=5, min_width=320):
                bases = [(words("own_no_base"), ""), *((name, name) for name in page.context.models.generators())]
                self.base = gr.Dropdown(bases, value=bases[-1][1], label=words("own_base"), elem_id=f"{OWN_STYLE}-base")
                budgets = [(budget, budget) for budget in BUDGETS]
                self.budget = gr.Dropdown(budgets, value="2h", label=words("own_budget"))
                start = gr.Button(words("start"), variant="primary", size="lg", elem_id=f"{OWN_STYLE}-start")
                stop = gr.Button(words("own_stop"), size="lg", elem_id=f"{OWN_STYLE}-stop")
        self.watch = gr.HTML("", elem_id=f"{OWN_STYLE}-watch")
        quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
        chosen = [self.name, self.files, self.folder, self.faces, self.base, self.budget]
        start.click(self._start, chosen, [self.notice, self.watch], trigger_mode="once", **quiet)
        stop.click(told(self.notice)(self._stop), None, [self.notice], **quiet)
        self.quiet = quiet

    def reopened(self, blocks: gr.Blocks) -> None:
        """A page that is loaded again goes on watching."""
        blocks.load(self._again, None, [self.notice, self.watch], **self.quiet)

    async def _start(self, request: gr.Request, *chosen: object) -> AsyncIterator[dict]:
        try:
            session, maker = session_of(request), self.page.context.maker
            maker.check()  # before drawings of the same name are put in place of others
            making = maker.start(session.id, self._wanted(session, *chosen))
        except VtoonError as error:
            yield {self.notice: fragments.notice(str(error))}
            return
        async for shown in self._watched(session, making):
            yield shown

    def _wanted(
        self,
        session: Session,
        name: str,
        uploads: Sequence[str] | None,
        folder: str,
        faces: str,
        base: str,
        budget: str,
    ) -> Wanted:
        """Raises VtoonError where it cannot be made."""
        context = self.page.context
        if budget not in BUDGETS:
            raise VtoonError(f"budget is {budget!r}; it must be one of {', '.join(BUDGETS)}")
        if base and base not in context.models.generators():
            raise VtoonError(f"{base!r} is not one of the generators of this page")
        name = (name or "").strip()
        drawings = self._drawings(session, name, uploads, (folder or "").strip())
        photos = Path(faces.strip()).expanduser() if context.local and (faces or "").strip() else None
        return Wanted(name, drawings, budget, photos, base or "")

    def _drawings(self, session: Session, name: str, uploads: Sequence[str] | None, folder: str) -> Path:
        """The folder they lie in. Raises VtoonError where there are none."""
        if folder and self.page.context.local:
            return Path(folder).expanduser()
        if not uploads:
            raise VtoonError(self.page.words("own_none"))
        room = session.room()
        clips = [open_clip(session.adopt(path, room, safe_name(path)), "image") for path in uploads]
        return keep_drawings(name, [clip.path for clip in clips])

    async def _again(self, request: gr.Request) -> AsyncIterator[dict]:
        session = session_of(request)
        making = self.page.context.maker.of(session.id)
        if making is None:
            yield {self.watch: ""}
            return
        async for shown in self._watched(session, making):
            yield shown

    async def _watched(self, session: Session, making: Making) -> AsyncIterator[dict]:
        while True:
            over = making.over  # before its last lines are read
            session.use()
            yield {self.notice: "", self.watch: self._shown(making)}
            if over:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _shown(self, making: Making) -> str:
        line = as_line(["vtoon", *making.words[3:]]) if making.words[1:2] == ["-m"] else as_line(making.words)
        line = line.replace(os.getcwd() + os.sep, "").replace(os.path.expanduser("~"), "~")
        return fragments.making(self.page.words, making, line)

    def _stop(self, request: gr.Request) -> dict:
        self.page.context.maker.stop(session_of(request).id)
        return {}
