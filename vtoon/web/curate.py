"""The page of `vtoon curate`: a grid of aligned faces, those that were missed, those that were removed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path

import gradio as gr

from vtoon.errors import VtoonError
from vtoon.image import REMOVED
from vtoon.latent.curate import FACES, MISSED, VIEWS, Collection, Looked, Tile, paths_of
from vtoon.web import fragments
from vtoon.web.context import Context, Page, session_of
from vtoon.web.sessions import SHOWN, Session
from vtoon.web.strings import LANGUAGES, Words

HERE = Path(__file__).parent
STYLE, SCRIPT = f"<style>{(HERE / 'curate.css').read_text()}</style>", (HERE / "curate.js").read_text()
PER_PAGE = 48  # tiles; a session keeps those of the page before, too
Change = Callable[[str, int], dict]  # view, page -> {component: value}, shown before the grid
ADDRESSES = "tiles"  # what a session remembers the addresses of its tiles by


def build(collection: Collection, context: Context, language: str) -> gr.Blocks:
    """The page of one language, to be mounted at /<language>."""
    page = Page(context, Words(language))
    others = [(name, f"{context.root_path.rstrip('/')}/{name}/") for name in LANGUAGES if name != language]
    title = f"vtoon curate · {collection.folder.resolve().name}"
    with gr.Blocks(title=title, analytics_enabled=False) as blocks:
        gr.HTML(STYLE + fragments.header(page.words, others, "curate_tagline"))
        gr.HTML(fragments.card(collection.folder.resolve().name, page.words("curate_keys")))
        Curating(page, collection, blocks)
    return blocks


class Curating:
    """What is seen and pressed."""

    def __init__(self, page: Page, collection: Collection, blocks: gr.Blocks) -> None:
        self.page, self.collection = page, collection
        words = page.words
        views = [(words(f"view_{name}"), name) for name in VIEWS]
        self.view = gr.Radio(views, value=FACES, label=words("curate_views"), elem_id="curate-view")
        with gr.Row():
            small = {"size": "sm", "scale": 0, "min_width": 130}
            self.undo = gr.Button(words("undo"), elem_id="curate-undo", **small)
            self.back = gr.Button(words("page_back"), elem_id="curate-back", visible=False, **small)
            self.on = gr.Button(words("page_on"), elem_id="curate-on", visible=False, **small)
        self.notice = gr.HTML("", elem_id="curate-notice")
        self.number = gr.State(0)
        self.state = gr.HTML("", elem_id="curate-state")
        self.grid = gr.HTML("", js_on_load=SCRIPT, elem_id="curate-grid")
        self._wire(blocks)

    def _wire(self, blocks: gr.Blocks) -> None:
        outputs = [self.notice, self.number, self.state, self.grid, self.back, self.on]
        how = {
            "inputs": [self.view, self.number],
            "outputs": outputs,
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_id": "curate",
        }
        wired = partial(dict, **how)
        blocks.load(**wired(fn=self._safe(_nothing)))
        self.view.change(**wired(fn=self._safe(lambda view, number: {self.number: 0})))
        self.undo.click(**wired(fn=self._safe(self._undo)))
        self.back.click(**wired(fn=self._safe(partial(self._turn, by=-1))))
        self.on.click(**wired(fn=self._safe(partial(self._turn, by=1))))
        self.grid.select(self._pressed, **how)

    def _safe(self, change: Change) -> Callable[..., dict]:
        """A handler that does `change` and shows the grid as it is then."""

        def call(request: gr.Request, view: str, number: int) -> dict:
            return self._after(change, request, view, number)

        return call

    def _after(self, change: Change, request: gr.Request, view: str, number: int) -> dict:
        session = session_of(request)
        try:
            done = {self.notice: "", self.number: number} | change(view, number)
        except VtoonError as error:
            done = {self.notice: fragments.notice(str(error)), self.number: number}
        return done | self._shown(session, view, done[self.number])

    def _pressed(self, event: gr.EventData, request: gr.Request, view: str, number: int) -> dict:
        """A click on a tile, or a key."""
        acts: dict[str, Change] = {
            "undo": self._undo,
            "on": partial(self._turn, by=1),
            "back": partial(self._turn, by=-1),
            "do": partial(self._do, name=str(event.name)),
        }
        return self._after(acts.get(str(event.act), _nothing), request, view, number)

    def _turn(self, view: str, number: int, by: int) -> dict:
        return {self.number: number + by}

    def _undo(self, view: str, number: int) -> dict:
        name = self.collection.undo()
        words = self.page.words
        return {self.notice: fragments.notice(words("undone", name=name) if name else words("nothing_undone"), "note")}

    def _do(self, view: str, number: int, name: str) -> dict:
        act = {FACES: self.collection.remove, MISSED: self.collection.take, REMOVED: self.collection.put_back}[view]
        act(name)
        return {self.notice: fragments.notice(self.page.words(f"did_{view}", name=name), "note")}

    def _shown(self, session: Session, view: str, number: int) -> dict:
        words, tiles = self.page.words, self.collection.tiles(view)
        pages = max(1, -(-len(tiles) // PER_PAGE))
        number = min(max(0, number), pages - 1)
        counts = {name: len(self.collection.names(name)) for name in VIEWS}
        state = f"{words('curate_state', **counts)} · {words('curate_page', page=number + 1, pages=pages)}"
        part = tiles[number * PER_PAGE : (number + 1) * PER_PAGE]
        inside = "".join(self._tile(session, view, tile) for tile in part)
        empty = fragments.empty(words(f"empty_{view}"))
        return {
            self.number: number,
            self.state: f'<p class="vt-quiet vc-state" role="status">{escape(state)}</p>',
            self.grid: f'<div class="vc-grid">{inside}</div>' if part else empty,
            self.back: gr.Button(visible=pages > 1, interactive=number > 0),
            self.on: gr.Button(visible=pages > 1, interactive=number + 1 < pages),
        }

    def _tile(self, session: Session, view: str, tile: Tile) -> str:
        words = self.page.words
        try:
            looked, about = self.collection.tile(view, tile.name), tile.about
        except VtoonError as error:
            looked, about = None, str(error)
        able = view != MISSED or tile.takes
        label = escape(words(f"do_{view}" if able else "cannot_take", name=tile.name))
        doubtful = view == FACES and looked is not None and looked.points is None
        inside = self._face(session, view, tile.name, looked) if looked else ""
        inside += f'<span class="vc-doubt">{escape(words("doubtful"))}</span>' if doubtful else ""
        why = f'<span class="vc-why">{escape(about)}</span>' if about else ""
        off = "" if able else ' aria-disabled="true"'
        return (
            f'<button type="button" data-name="{escape(tile.name)}" title="{label}" aria-label="{label}"{off}>'
            f'<span class="vc-face">{inside}</span><span class="vc-name">{escape(tile.name)}</span>{why}</button>'
        )

    def _face(self, session: Session, view: str, name: str, looked: Looked) -> str:
        height, width = looked.image.shape[:2]
        image = f'<img src="{escape(self._address(session, view, name, looked))}" alt="" loading="lazy">'
        if looked.points is None:
            return image
        lines = "".join(
            f'<polyline points="{" ".join(f"{x},{y}" for x, y in line)}"/>' for line in paths_of(looked.points)
        )
        return f'{image}<svg viewBox="0 0 {width} {height}" aria-hidden="true">{lines}</svg>'

    def _address(self, session: Session, view: str, name: str, looked: Looked) -> str:
        """The same as before, as long as the session has the picture."""
        known = session.kept.setdefault(ADDRESSES, {})
        address = known.get((view, name))
        if address is None or address[0] is not looked or address[1].rsplit("/", 1)[-1] not in session.pictures:
            address = looked, self.page.context.show(session, looked.image, side=looked.image.shape[0], quality=80)
            known[view, name] = address
            while len(known) > SHOWN:
                known.pop(next(iter(known)))
        return address[1]


def _nothing(view: str, number: int) -> dict:
    return {}
