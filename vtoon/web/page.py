"""The page in one language: its tabs, its colours."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from vtoon.web import fragments
from vtoon.web.context import Context, Page, session_of
from vtoon.web.dropped import FOLDER, PICTURE, VIDEO
from vtoon.web.live_tab import LIVE, LiveTab
from vtoon.web.own_style import OWN_STYLE, OwnStyle
from vtoon.web.strings import LANGUAGES, Words
from vtoon.web.tab import Tab

HERE = Path(__file__).parent
CSS = (HERE / "page.css").read_text()
SCRIPT = "".join(f"<script>{(HERE / name).read_text()}</script>" for name in ("page.js", "live.js"))
INK = gr.themes.Color(
    "#fdf4f1",
    "#fbe4dc",
    "#f6c7b8",
    "#efa48d",
    "#e47a5b",
    "#d2553a",
    "#b23c22",
    "#96301b",
    "#7b2918",
    "#662516",
    "#381109",
)  # vermilion: the red of a seal; white text on 600 has a contrast of 5.9
SANS = ("system-ui", "Segoe UI", "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif")
MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")


def theme() -> gr.Theme:
    """Of fonts that are there already: nothing is fetched."""
    base = gr.themes.Base(primary_hue=INK, neutral_hue="stone", font=SANS, font_mono=MONO, radius_size="md")
    return base.set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_text_color="white",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        color_accent="*primary_600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
    )


def build(context: Context, language: str) -> gr.Blocks:
    """The page of one language, to be mounted at /<language>."""
    page = Page(context, Words(language))
    others = [(name, f"{context.root_path.rstrip('/')}/{name}/") for name in LANGUAGES if name != language]
    with gr.Blocks(title="vtoon", analytics_enabled=False) as blocks:
        gr.HTML(fragments.header(page.words, others))
        history = gr.HTML(fragments.history(page.words, []), render=False)
        with gr.Tabs():
            for tab in (VIDEO, PICTURE, FOLDER):
                with gr.Tab(page.words(tab), id=tab):
                    Tab(page, history, tab)
            with gr.Tab(page.words(LIVE), id=LIVE):
                LiveTab(page)
            if context.maker:
                with gr.Tab(page.words(OWN_STYLE), id=OWN_STYLE):
                    own = OwnStyle(page)
            with gr.Tab(page.words("history"), id="history"):
                history.render()

        def remembered(request: gr.Request) -> str:
            return fragments.history(page.words, session_of(request).history)

        if context.maker:
            own.reopened(blocks)
        blocks.load(remembered, None, history, show_progress="hidden", api_visibility="private")
    return blocks
