"""`python style_transfer.py`: the command that users of VToonify know, with its flags."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg

from vtoon.cli.common import Coding, Drawing, Flag, Talk, demo_clip, guard, say_error, show_notices
from vtoon.cli.stylize import run_jobs, shared_options

Unused = Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: none)")]
PUBLISHED_ONLY = ("style_encoder_path", "exstyle_path", "faceparsing_path", "parsing_map_path")


@dataclass(frozen=True)
class StyleTransfer:
    """Stylize face videos and photos: VToonify's flags, with its meanings and defaults.

    Two defaults differ: --ckpt is the built-in model, --content is the demo clip (made now if it is not there).
    The result is OUTPUT_PATH/<name>_vtoonify_d.<ext> and, as in VToonify, replaces one that exists. Of a folder or
    several inputs, finished ones are skipped unless --overwrite.
    """

    content: Annotated[tuple[str, ...], arg(metavar="PATH", help_behavior_hint="(default: data/demo.mp4)")] = ()
    """Videos, images, folders, quoted globs, image sequences (frames/%04d.png)."""
    style_id: Annotated[str, arg(metavar="ID|NAME")] = "26"
    """Which style; `vtoon styles` lists them."""
    style_degree: Annotated[float, arg(metavar="0..1")] = 0.5
    """How far: 0 is close to the photo, 1 is the full drawing."""
    color_transfer: Flag = False
    """Take the style's colours; without it the face keeps its own."""
    ckpt: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the built-in model)")] = None
    """The model."""
    output_path: Path = Path("output")
    """Folder of the results."""
    scale_image: Flag = False
    """Crop to the face as VToonify does (--placement crop) and keep the crop as <name>_input.<ext>."""
    padding: Annotated[tuple[int, int, int, int], arg(metavar="LEFT RIGHT TOP BOTTOM")] = (200, 200, 200, 200)
    """Of a crop: px around the middle of the eyes, where the eyes are 64 px apart."""
    video: Flag = False
    """Not needed: the content says whether it is a video."""
    cpu: Flag = False
    """The same as --device cpu."""
    batch_size: Annotated[int | Literal["auto"], arg(metavar="N|auto")] = 4
    """Frames drawn at once."""
    backbone: Literal["dualstylegan", "toonify"] = "dualstylegan"
    """Names the result, _vtoonify_d or _vtoonify_t; the model itself knows what it is."""
    style_encoder_path: Unused = None
    """Part of the published models; no effect on the built-in one. So are the next three."""
    exstyle_path: Unused = None
    """Style codes of a published model."""
    faceparsing_path: Unused = None
    """Parsing network of a published model."""
    parsing_map_path: Unused = None
    """Smoothed parsing maps of a published model."""
    placement: Annotated[
        Literal["paste", "crop", "full"] | None,
        arg(metavar="{paste,crop,full}", help_behavior_hint="(default: crop with --scale_image, else paste)"),
    ] = None
    """paste: faces drawn into the whole frame. crop: the face region alone. full: the whole frame is drawn."""
    overwrite: Flag = False
    """In a folder or list, do finished ones again."""
    drawing: Drawing = field(default_factory=Drawing)
    coding: Coding = field(default_factory=Coding)
    messages: Talk = field(default_factory=Talk)

    def run(self) -> int:
        """Returns the exit code: 0 only if every input is done."""
        from vtoon.jobs import Naming, plan
        from vtoon.stylize import StylizeOptions, load

        show_notices(self.messages)
        placement = self.placement or ("crop" if self.scale_image else "paste")
        copy = "_input" if self.scale_image and placement == "crop" else None
        naming = Naming(f"_vtoonify_{self.backbone[0]}", copy, self.coding.codec)
        options = StylizeOptions(
            style=self.style_id,
            style_degree=self.style_degree,
            color_transfer=self.color_transfer,
            placement=placement,
            padding=self.padding,
            **shared_options(self.drawing, self.coding, self.batch_size),
        )
        jobs = plan(self.content or (str(demo_clip()),), os.path.join(self.output_path, ""), naming)
        options = replace(options, overwrite=self.overwrite or jobs[0].alone)
        if not self.messages.quiet:
            for line in self._without_effect(placement, [job.kind for job in jobs]):
                say_error(line, "note")
        stylizer = load(self.ckpt or "default", "cpu" if self.cpu else self.drawing.device)
        return run_jobs(stylizer, jobs, options, self.messages)

    def _without_effect(self, placement: str, kinds: list[str | None]) -> Iterator[str]:
        """One line for each flag that was given and changes nothing here."""
        given = [name for name in PUBLISHED_ONLY if getattr(self, name) is not None]
        if given:
            flags = ", ".join(f"--{name}" for name in given)
            yield f"no effect: {flags} (the built-in kind of model has no such network)"
        if self.backbone == "toonify":
            yield "--backbone toonify only names the result: the model itself knows what it is"
        if self.video and "image" in kinds:
            yield "no effect: --video (the content is an image)"
        if placement != "crop" and self.padding != next(f.default for f in fields(self) if f.name == "padding"):
            yield "no effect: --padding (it belongs to --scale_image or --placement crop)"


def main(args: list[str] | None = None) -> None:
    """Entry of style_transfer.py."""
    config = (tyro.conf.OmitArgPrefixes,)
    command = tyro.cli(StyleTransfer, prog="style_transfer.py", args=args, use_underscores=True, config=config)
    sys.exit(guard(command.run, command.messages.verbose))
