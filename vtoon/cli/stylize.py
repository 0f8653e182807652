"""`vtoon stylize`: videos and photos in, drawings out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import FAILED, Coding, Cut, Drawing, Flag, Speed, Talk, progress_bar, say_error, show_notices

if TYPE_CHECKING:  # PyTorch takes seconds to import, which --help need not wait for
    from vtoon.pipeline.jobs import Job
    from vtoon.pipeline.options import StylizeOptions
    from vtoon.pipeline.stylize import Stylizer


@dataclass(frozen=True)
class Stylize:
    """Draw the faces of videos and photos.

    A finished output is never touched without --overwrite: alone it is an error, in a folder or a list it is skipped.
    """

    inputs: Annotated[tuple[str, ...], Positional, arg(metavar="INPUT [INPUT ...]", help_behavior_hint="")] = ()
    """Videos, images, folders (all videos and images in them), quoted globs, image sequences (frames/%04d.png),
    pipes (- is standard input)."""
    output: Annotated[str, arg(aliases=["-o"], metavar="PATH")] = "output"
    """A folder; or, for one input, a file whose extension names the format."""
    style: Annotated[str | None, arg(aliases=["-s"], metavar="NAME|ID", help_behavior_hint="(default: 0)")] = None
    """Which drawing; `vtoon styles` lists them."""
    style_degree: Annotated[float | None, arg(metavar="0..1", help_behavior_hint="(default: 1)")] = None
    """How far: 0 is close to the photo, 1 is the full drawing."""
    color_transfer: Flag = False
    """Take the style's palette; without it the face keeps its own colours."""
    placement: Literal["paste", "crop", "full"] = "paste"
    """paste: faces drawn into the whole frame. crop: the face region alone. full: the whole frame is drawn."""
    padding: Annotated[tuple[int, int, int, int], arg(metavar="LEFT RIGHT TOP BOTTOM")] = (200, 200, 200, 200)
    """Of a crop: px around the middle of the eyes, where the eyes are 64 px apart."""
    batch_size: Annotated[int | Literal["auto"], arg(metavar="N|auto")] = "auto"
    """Frames drawn at once."""
    overwrite: Flag = False
    """Replace outputs that exist."""
    ckpt: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the built-in model)")] = None
    """The model; `live` is the quick built-in one."""
    drawing: Drawing = field(default_factory=Drawing)
    speed: Speed = field(default_factory=Speed)
    coding: Coding = field(default_factory=Coding)
    cut: Cut = field(default_factory=Cut)
    messages: Talk = field(default_factory=Talk)

    def run(self) -> int:
        """Returns the exit code: 0 only if every input is done."""
        from vtoon.pipeline.jobs import Naming, plan
        from vtoon.pipeline.options import StylizeOptions
        from vtoon.pipeline.stylize import load

        show_notices(self.messages)
        options = StylizeOptions(
            style=self.style,
            style_degree=self.style_degree,
            color_transfer=self.color_transfer,
            placement=self.placement,
            padding=self.padding,
            overwrite=self.overwrite,
            **shared_options(self.drawing, self.speed, self.coding, self.cut, self.batch_size),
        )
        jobs = plan(self.inputs, self.output, Naming(codec=self.coding.codec))
        return run_jobs(load(self.ckpt or "default", self.drawing.device), jobs, options, self.messages)


def shared_options(drawing: Drawing, speed: Speed, coding: Coding, cut: Cut, batch_size: int | str) -> dict:
    """The flags that both commands have, as StylizeOptions calls them."""
    return {
        "faces": drawing.faces,
        "detail": drawing.detail,
        "steady": drawing.steady,
        "batch_size": None if batch_size == "auto" else batch_size,
        **vars(speed),
        **vars(coding),
        **vars(cut),
    }


def run_jobs(stylizer: Stylizer, jobs: list[Job], options: StylizeOptions, talk: Talk) -> int:
    """Do the jobs with a progress bar each, say what became of them, return the exit code."""
    from vtoon.pipeline.batch import SKIPPED, one_line, stylize_all, table

    @contextmanager
    def watch(job: Job) -> Iterator:
        with progress_bar(Path(job.source).name, talk.quiet) as update:
            yield update

    for note in [] if talk.quiet else stylizer.notes(options):
        say_error(note, "note")
    results = []
    for result in stylize_all(stylizer, jobs, options, watch):
        results.append(result)
        if not result.good:
            say_error(result.reason)
        if len(jobs) == 1 and not talk.quiet and (result.frames or result.status == SKIPPED):
            print(one_line(result))
        if not result.faces and result.frames and options.placement != "full" and not talk.quiet:
            print(f"{result.job.output}: no face was found, so nothing was drawn")
    if len(jobs) > 1 and not talk.quiet:
        print(table(results))
    return 0 if all(result.good for result in results) else FAILED
