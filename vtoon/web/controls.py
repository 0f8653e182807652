"""What can be chosen beside the file: the gallery of styles, and everything that `vtoon stylize` has a flag for."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from vtoon.faces.crop import PADDING
from vtoon.pipeline.people import Seen
from vtoon.web import fragments
from vtoon.web.clips import thumbnails
from vtoon.web.context import Page
from vtoon.web.dropped import FOLDER, VIDEO
from vtoon.web.models import DEFAULT, LIVE, OWN, STYLES, Menu
from vtoon.web.sessions import Session
from vtoon.web.settings import DETAILS, FORMATS, Settings

QUIET = {"show_progress": "hidden", "queue": True, "api_visibility": "private"}
CHOOSE = """element.addEventListener('change', (event) => {
  if (event.target.type === 'radio') trigger('select', { look: event.target.value });
});"""


class Controls:
    """Made inside a column of the page. `inputs` go to a handler, which gets its `Settings` from their values."""

    def __init__(self, page: Page, tab: str) -> None:
        self.page, self.tab = page, tab
        words, menu = page.words, Menu.of(page.context.models.load(DEFAULT))
        self.look, self.skipped = gr.State(menu.looks[0]), gr.State(())
        self.gallery = gr.HTML(
            self.tiles(None, menu, menu.looks[0], OWN, None), js_on_load=CHOOSE, elem_id=self._id("looks")
        )
        self.palette = gr.Dropdown(self.palettes(menu), value=OWN, label=words("palette"), elem_id=self._id("palette"))
        self.degree = gr.Slider(0, 1, 1, step=0.05, label=words("degree"), elem_id=self._id("degree"))

    def more(self) -> None:
        """What is chosen less often, closed at first."""
        with gr.Accordion(self.page.words("more"), open=False):
            self._more()
        self.watched = [self.degree, self.placement, *self.padding, self.faces, self.detail]  # change the preview alone
        self.watched += [self.steady, self.sound, self.format, self.start, self.end]  # or the command line

    def _more(self) -> None:
        words, video, moving = self.page.words, self.tab == VIDEO, self.tab in (VIDEO, FOLDER)
        built_in = {DEFAULT: words("built_in"), LIVE: words("built_in_quick")}
        models = [(built_in.get(name, name), name) for name in self.page.context.models.names()]
        self.model = gr.Dropdown(models, value=DEFAULT, label=words("model"))
        placements = [(words(name), name) for name in ("paste", "crop", "full")]
        self.placement = gr.Radio(placements, value="paste", label=words("placement"))
        with gr.Row():
            self.faces = gr.Radio(
                [(words(name), name) for name in ("all", "largest")], value="all", label=words("faces")
            )
            details = [(words("auto") if value == "auto" else str(value), value) for value in DETAILS]
            self.detail = gr.Dropdown(details, value="auto", label=words("detail"))
        self._around()
        with gr.Row(visible=moving):
            self.steady = gr.Checkbox(True, label=words("steady"))
            self.sound = gr.Checkbox(True, label=words("sound"))
        with gr.Row(visible=video):
            self.start = gr.Number(0, label=words("from"), minimum=0, step=0.1)
            self.end = gr.Number(0, label=words("to"), minimum=0, step=0.1)
        self.format = gr.Dropdown(list(FORMATS), value=next(iter(FORMATS)), label=words("format"), visible=video)

    def _around(self) -> None:
        """How much of the frame the face region alone has: VToonify's sliders."""
        sides = ("left", "right", "top", "bottom")
        with gr.Row(visible=False) as around:
            self.padding = [
                gr.Slider(128, 256, px, step=8, label=self.page.words(f"padding_{side}"), min_width=200)
                for side, px in zip(sides, PADDING, strict=True)
            ]
        shown = {"inputs": self.placement, "outputs": around}
        self.placement.change(lambda placement: gr.Row(visible=placement == "crop"), **shown, **QUIET)

    @property
    def inputs(self) -> list[gr.components.Component]:
        first = [self.model, self.look, self.palette, self.degree, self.placement, self.faces, self.detail]
        return [*first, self.steady, self.sound, self.format, self.start, self.end, self.skipped, *self.padding]

    def settings(self, values: Sequence) -> Settings:
        """What the values of `inputs` mean. Raises VtoonError where they mean nothing."""
        model, look, palette, degree, placement, faces, detail, steady, sound, form, start, end, skipped, *padding = (
            values
        )
        style, transfer = self.menu(model).find(look, palette)
        settings = Settings(
            model,
            style,
            float(degree),
            transfer,
            placement,
            faces,
            detail,
            steady,
            sound,
            form,
            start or 0.0,
            end or None,
            tuple(skipped),
            tuple(map(int, padding)),
        )
        settings.options()
        return settings

    def choose(self, event: gr.EventData) -> dict:
        """A look of the gallery."""
        return {self.look: str(event.look)}

    def menu(self, model: str) -> Menu:
        return Menu.of(self.page.context.models.load(model))

    def palettes(self, menu: Menu) -> list[tuple[str, str]]:
        """(label, value)."""
        words = self.page.words
        own = (words("own_colours"), OWN)
        return [own, *((words("style_colours") if name == STYLES else name, name) for name in menu.palettes)]

    def tiles(
        self, session: Session | None, menu: Menu, look: str, palette: str, seen: Seen | None, model: str = ""
    ) -> str:
        """The gallery, drawn on the face that is seen."""
        pictures: list[str] = []
        if session and seen:
            context = self.page.context
            drawn = thumbnails(context.models.load(model), menu, seen, palette)
            pictures = [context.show(session, image) for image in drawn]
        name = self._id("look")
        return fragments.gallery(self.page.words, name, menu.looks, look, pictures)

    def redrawn(self, session: Session, seen: Seen | None, values: Sequence) -> dict:
        """The gallery of a model on a face, as an update."""
        model, look, palette, *_ = values
        menu = self.menu(model)
        return {self.gallery: self.tiles(session, menu, look, palette, seen, model)}

    def changed_model(self, model: str) -> dict:
        """Another model has other looks and palettes."""
        menu = self.menu(model)
        return {
            self.look: menu.looks[0],
            self.palette: gr.Dropdown(self.palettes(menu), value=OWN),
        }

    def _id(self, name: str) -> str:
        return f"{self.tab}-{name}"
