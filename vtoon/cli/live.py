"""`vtoon live`: a camera, a stream or a file, drawn as it comes."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import Drawing, Flag, Talk, say_error, show_notices
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from vtoon.live.loop import Live as Loop
    from vtoon.live.loop import Stats

SAID_EVERY = 2.0  # s
KEYS = "style NAME | degree 0..1 | colours | mirror | before | snapshot | quit"


@dataclass(frozen=True)
class Live:
    """Draw a camera, a stream or a file as it comes. Frames that come too fast are left out.

    While it runs, a line typed changes it: style NAME, degree 0..1, colours, mirror, before, snapshot, quit.
    """

    source: Annotated[str, Positional, arg(metavar="SOURCE")] = "0"
    """A camera's number, an address (rtsp, rtmp, udp, tcp, srt, http) or a file, played over and over."""
    output: Annotated[tuple[str, ...], arg(aliases=["-o"], metavar="TARGET", help_behavior_hint="")] = ()
    """A file to record, an address to send to (udp, tcp, srt, rtmp, rtsp), camera for a virtual one; or several."""
    style: Annotated[str | None, arg(aliases=["-s"], metavar="NAME|ID", help_behavior_hint="(default: 0)")] = None
    """Which drawing; `vtoon styles` lists them."""
    style_degree: Annotated[float | None, arg(metavar="0..1", help_behavior_hint="(default: 1)")] = None
    """How far: 0 is close to the photo, 1 is the full drawing."""
    color_transfer: Flag = False
    """Take the style's palette; without it the face keeps its own colours."""
    placement: Literal["paste", "crop", "full"] = "paste"
    """paste: faces drawn into the whole frame. crop: the face region alone. full: the whole frame is drawn."""
    fps: float = 15.0
    """Frames/s to hold: --detail auto becomes coarser for it."""
    mirror: Flag = False
    """As a mirror shows it."""
    seconds: Annotated[float | None, arg(metavar="N", help_behavior_hint="(default: until Ctrl-C)")] = None
    """End after so long."""
    overwrite: Flag = False
    """Replace a recording that exists."""
    ckpt: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the built-in model)")] = None
    """The model."""
    drawing: Drawing = field(default_factory=Drawing)
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        """Raises VtoonError where the source, a target or a value is not there or not allowed."""
        from vtoon.live.loop import Live as Loop
        from vtoon.live.loop import Wish
        from vtoon.live.sink import open_sink
        from vtoon.pipeline.stylize import StylizeOptions, load

        show_notices(self.messages)
        if not self.output:
            raise VtoonError("no target: give -o toon.mp4, -o udp://host:port, -o rtmp://... or -o camera")
        if not 0 < self.fps <= 240:
            raise VtoonError(f"fps is {self.fps:g}; it must be more than 0 and at most 240")
        drawing = {"faces": self.drawing.faces, "detail": self.drawing.detail, "steady": self.drawing.steady}
        chosen = {"style": self.style, "style_degree": self.style_degree, "color_transfer": self.color_transfer}
        options = StylizeOptions(**chosen, placement=self.placement, **drawing)
        stylizer = load(self.ckpt or "default", self.drawing.device)
        stylizer.settled(options)
        sinks = [open_sink(name, self.fps, self.overwrite) for name in self.output]
        say = (lambda line: None) if self.messages.quiet else lambda line: say_error(line, "note")
        loop = Loop(stylizer, Wish(options, self.mirror), self.fps, say)
        self._watch(loop, loop.run(self.source, sinks, self.seconds))

    def _watch(self, loop: Loop, stats: object) -> None:
        stopped, last, said = threading.Event(), None, time.monotonic()
        if sys.stdin is not None and sys.stdin.isatty():
            threading.Thread(target=_listen, args=(loop, stopped), daemon=True).start()
        with contextlib.closing(stats):
            for last in stats:
                if stopped.is_set():
                    break
                if not self.messages.quiet and time.monotonic() - said > SAID_EVERY:
                    said = time.monotonic()
                    print(summary(last), file=sys.stderr)
        if last and not self.messages.quiet:
            print(summary(last))


def summary(stats: Stats) -> str:
    """Figures in one line."""
    rate, late = f"{stats.fps:.1f} frames/s", f"latency {1000 * stats.p50:.0f} ms (p95 {1000 * stats.p95:.0f} ms)"
    return f"{stats.frames} frames, {rate}, {late}, {stats.dropped} left out, detail {stats.detail}"


def _listen(loop: Loop, stopped: threading.Event) -> None:
    """Obey what is typed, a line each."""
    say_error(KEYS, "type")
    for line in sys.stdin:
        try:
            if obey(loop, line):
                stopped.set()
                return
        except VtoonError as error:
            say_error(str(error))


def obey(loop: Loop, line: str) -> bool:
    """Do what a line says; returns whether it is to end. Raises VtoonError where it says nothing that is known."""
    word, _, value = line.strip().partition(" ")
    wish = loop.wish
    if word == "style":
        loop.change(replace(wish.options, style=value.strip()))
    elif word == "degree":
        try:
            loop.change(replace(wish.options, style_degree=float(value)))
        except ValueError:
            raise VtoonError(f"degree is {value!r}; it must be a number between 0 and 1") from None
    elif word == "colours":
        loop.change(replace(wish.options, color_transfer=not wish.options.color_transfer))
    elif word == "mirror":
        wish.mirror = not wish.mirror
    elif word == "before":
        wish.drawn = not wish.drawn
    elif word == "snapshot":
        snapshot(loop)
    elif word and word != "quit":
        raise VtoonError(f"{word!r} is not known; type {KEYS}")
    return word == "quit"


def snapshot(loop: Loop) -> None:
    """Save what was sent last under the time of day."""
    from vtoon.image import save_image

    if loop.last is not None:
        name = time.strftime("snapshot-%H%M%S.png")
        save_image(name, loop.last)
        say_error(name, "saved")
