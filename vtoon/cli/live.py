"""`vtoon live`: a camera, a stream or a file, drawn as it comes."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import Drawing, Flag, Talk, say_error, show_notices
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from vtoon.live.loop import Live as Loop
    from vtoon.live.loop import Stats
    from vtoon.pipeline.stylize import Stylizer

SAID_EVERY = 2.0  # s
KEYS = "style NAME | degree 0..1 | skip X,Y | colours | mirror | before | snapshot | quit"


@dataclass(frozen=True)
class Live:
    """Draw a camera, a stream or a file as it comes. Frames that come too fast are left out.

    While it runs, a line typed changes it: style NAME, degree 0..1, skip X,Y, colours, mirror, before, snapshot, quit.
    A window has keys: left and right, up and down, M, B, S, C, Q; a click on a face leaves that person as he is.
    """

    source: Annotated[str, Positional, arg(metavar="SOURCE")] = "0"
    """A camera's number, screen (or a part: screen:640x480+100,50), an address (rtsp, rtmp, udp, tcp, srt, http) or a
    file, played over and over."""
    output: Annotated[tuple[str, ...], arg(aliases=["-o"], metavar="TARGET", help_behavior_hint="")] = ()
    """window, a file to record, an address to send to (udp, tcp, srt, rtmp, rtsp), camera for a virtual one; or
    several."""
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
    ckpt: Annotated[
        Path | None,
        arg(metavar="FILE", help_behavior_hint="(default: the quick built-in one; for styles that it lacks the other)"),
    ] = None
    """The model; live and default are the built-in ones."""
    drawing: Drawing = field(default_factory=Drawing)
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        """Raises VtoonError where the source, a target or a value is not there or not allowed."""
        from vtoon.live.loop import Live as Loop
        from vtoon.live.loop import Wish
        from vtoon.live.sink import open_sink
        from vtoon.pipeline.options import StylizeOptions
        from vtoon.pipeline.stylize import load

        show_notices(self.messages)
        if not self.output:
            raise VtoonError("no target: give -o window, -o toon.mp4, -o udp://host:port, -o rtmp://... or -o camera")
        if not 0 < self.fps <= 240:
            raise VtoonError(f"fps is {self.fps:g}; it must be more than 0 and at most 240")
        drawing = {"faces": self.drawing.faces, "detail": self.drawing.detail, "steady": self.drawing.steady}
        chosen = {"style": self.style, "style_degree": self.style_degree, "color_transfer": self.color_transfer}
        options = StylizeOptions(**chosen, placement=self.placement, **drawing)
        stylizer = load(self.ckpt, self.drawing.device) if self.ckpt else self._built_in()
        stylizer.settled(options)
        say = (lambda line: None) if self.messages.quiet else lambda line: say_error(line, "note")
        loop, stopped = Loop(stylizer, Wish(options, self.mirror), self.fps, say), threading.Event()
        keys = partial(_obey, loop, stopped)
        sinks = [open_sink(name, self.fps, self.overwrite, keys) for name in self.output]
        self._watch(loop, loop.run(self.source, sinks, self.seconds), stopped)

    def _built_in(self) -> Stylizer:
        """The quick model where it draws the style that is asked for; a number is meant as `vtoon styles` has it."""
        from vtoon.pipeline.stylize import load

        quick = load("live", self.drawing.device)
        known = self.style is None or self.style in [style.name for style in quick.styles]
        return quick if known else load("default", self.drawing.device)

    def _watch(self, loop: Loop, stats: object, stopped: threading.Event) -> None:
        last, said = None, time.monotonic()
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
        _obey(loop, stopped, line)
        if stopped.is_set():
            return


def _obey(loop: Loop, stopped: threading.Event, line: str) -> None:
    """Do what a line or a key says; what is wrong is said in a line."""
    try:
        if obey(loop, line):
            stopped.set()
    except VtoonError as error:
        say_error(str(error))


def obey(loop: Loop, line: str) -> bool:
    """Do what a line says; returns whether it is to end. Raises VtoonError where it says nothing that is known."""
    word, _, value = line.strip().partition(" ")
    wish = loop.wish
    if word == "style":
        loop.change(replace(wish.options, style=_style(loop, value.strip())))
    elif word == "degree":
        loop.change(replace(wish.options, style_degree=_degree(wish.options.style_degree, value)))
    elif word == "skip":
        _skip(loop, value)
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


def _style(loop: Loop, value: str) -> str | int:
    """A name, or the one after (+1) or before (-1)."""
    if not value.startswith(("+", "-")):
        return value
    count, now = len(loop.stylizer.styles), loop.stylizer.settled(loop.wish.options)[0].id
    try:
        return (now + int(value)) % count
    except ValueError:
        raise VtoonError(f"style is {value!r}; it must be a name, +1 or -1") from None


def _degree(now: float | None, value: str) -> float:
    """A number, or how much more (+0.1) or less (-0.1)."""
    try:
        number = float(value)
    except ValueError:
        raise VtoonError(f"degree is {value!r}; it must be a number between 0 and 1") from None
    if value.startswith(("+", "-")):
        return round(min(max(0.0, (1.0 if now is None else now) + number), 1.0), 2)
    return number


def _skip(loop: Loop, value: str) -> None:
    x, _, y = value.partition(",")
    try:
        left = loop.skip(float(x), float(y))
    except ValueError:
        raise VtoonError(f"skip is {value!r}; it must be X,Y px of a face") from None
    say_error("this person is left as he is" if left else "this person is drawn again", "note")


def snapshot(loop: Loop) -> None:
    """Save what was sent last under the time of day."""
    from vtoon.image import save_image

    if loop.last is not None:
        name = time.strftime("snapshot-%H%M%S.png")
        save_image(name, loop.last)
        say_error(name, "saved")
