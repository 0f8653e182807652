"""`python style_transfer.py`: the command that users of VToonify know, with its flags."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import arg

from vtoon.cli.common import (
    Coding,
    Companion,
    Cut,
    Drawing,
    Flag,
    Speed,
    Talk,
    demo_clip,
    guard,
    say_error,
    show_notices,
)
from vtoon.cli.stylize import run_jobs, shared_options
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from vtoon.painters.onnx import OnnxModel
    from vtoon.painters.published import PublishedModel
    from vtoon.pipeline.stylize import Stylizer
    from vtoon.weights.checkpoint import Checkpoint

PUBLISHED_ONLY = ("style_encoder_path", "exstyle_path", "faceparsing_path", "parsing_map_path", "exact")


@dataclass(frozen=True)
class StyleTransfer:
    """Stylize face videos and photos: VToonify's flags, with its meanings and defaults.

    Two defaults differ: --ckpt is the built-in model, --content is the demo clip (made now if it is not there).
    The result is OUTPUT_PATH/<name>_vtoonify_d.<ext> and, as in VToonify, replaces one that exists. Of a folder or
    several inputs, finished ones are skipped unless --overwrite.
    """

    content: Annotated[tuple[str, ...], arg(metavar="PATH", help_behavior_hint="(default: data/demo.mp4)")] = ()
    """Videos, images, folders, quoted globs, image sequences (frames/%04d.png)."""
    style_id: Annotated[str | None, arg(metavar="ID|NAME", help_behavior_hint="(default: 26; of fewer, 0)")] = None
    """Which style; `vtoon styles` lists them."""
    style_degree: Annotated[float | None, arg(metavar="0..1", help_behavior_hint="(default: 0.5)")] = None
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
    """What a published model is: VToonify-D or -T. It also names the result, _vtoonify_d or _vtoonify_t."""
    style_encoder_path: Companion = None
    """Style encoder of a published model (default: encoder.pt in the folder above it). The built-in model has none of
    these four."""
    exstyle_path: Companion = None
    """Style codes of a published model (default: exstyle_code.npy beside it)."""
    faceparsing_path: Companion = None
    """Parsing network of a published model (default: faceparsing.pth in the folder above it)."""
    parsing_map_path: Companion = None
    """Smoothed parsing of the clip, made by `vtoon parse` or VToonify's smooth_parsing_map.py (default: smoothed as
    the clip is drawn)."""
    exact: Flag = False
    """A published model frame for frame as the published code: the crop with --scale_image, else the whole frame four
    times as large, nothing smoothed over time."""
    placement: Annotated[
        Literal["paste", "crop", "full"] | None,
        arg(metavar="{paste,crop,full}", help_behavior_hint="(default: see below)"),
    ] = None
    """paste: faces drawn into the whole frame. crop: the face region alone. full: the whole frame is drawn.
    As VToonify does, crop with --scale_image, and full with --exact or --parsing_map_path; else paste."""
    overwrite: Flag = False
    """In a folder or list, do finished ones again."""
    drawing: Drawing = field(default_factory=Drawing)
    speed: Speed = field(default_factory=Speed)
    coding: Coding = field(default_factory=Coding)
    cut: Cut = field(default_factory=Cut)
    messages: Talk = field(default_factory=Talk)

    def run(self) -> int:
        """Returns the exit code: 0 only if every input is done."""
        from vtoon.pipeline.jobs import Naming, plan
        from vtoon.pipeline.options import StylizeOptions

        show_notices(self.messages)
        options = StylizeOptions(
            style_degree=self.style_degree,
            color_transfer=self.color_transfer,
            placement=self._placement(),
            padding=self.padding,
            **shared_options(self.drawing, self.speed, self.coding, self.cut, self.batch_size),
        )
        copy = "_input" if self.scale_image and options.placement == "crop" else None
        naming = Naming(f"_vtoonify_{self.backbone[0]}", copy, self.coding.codec)
        jobs = plan(self.content or (str(demo_clip()),), os.path.join(self.output_path, ""), naming)
        stylizer = self._load("cpu" if self.cpu else self.drawing.device)
        options = replace(options, **self._suited(stylizer.checkpoint), overwrite=self.overwrite or jobs[0].alone)
        if not self.messages.quiet:
            for line in self._without_effect(stylizer, options.placement, [job.kind for job in jobs]):
                say_error(line, "note")
        return run_jobs(stylizer, jobs, options, self.messages)

    def _placement(self, whole: bool = False) -> str:
        return self.placement or ("crop" if self.scale_image else "full" if whole else "paste")

    def _suited(self, model: Checkpoint | PublishedModel | OnnxModel) -> dict:
        """The options that depend on the model. Style and degree are VToonify's defaults, where the model has as many
        styles and was not trained for its own; only published ones can be drawn exactly or with a parsing map."""
        from vtoon.painters.published import PublishedModel
        from vtoon.weights.sizes import Specialty
        from vtoon.weights.styles import DEFAULT_ID

        special = model.special if isinstance(model, PublishedModel) else Specialty()
        style, degree = self.style_id, self.style_degree
        if style is None and special.style_id is None and len(model.bank) > DEFAULT_ID:
            style = DEFAULT_ID
        if degree is None and special.style_degree is None:
            degree = 0.5
        chosen = {"style": style, "style_degree": degree}
        if model.upscale > 1:
            parsing_map = self.parsing_map_path if isinstance(model, PublishedModel) else None
            chosen |= {"exact": self.exact, "parsing_map": parsing_map}
            chosen["placement"] = self._placement(whole=self.exact or bool(parsing_map))
        return chosen

    def _load(self, device: str) -> Stylizer:
        """The model. Raises VtoonError where a published one is not what --backbone says."""
        from vtoon.painters.companions import Companions
        from vtoon.painters.published import PublishedModel
        from vtoon.pipeline.stylize import load

        companions = Companions(self.style_encoder_path, self.exstyle_path, self.faceparsing_path)
        stylizer = load(self.ckpt or "default", device, companions)
        model = stylizer.checkpoint
        if isinstance(model, PublishedModel) and model.config.backbone != self.backbone:
            title = "VToonify-D" if model.dual else "VToonify-T"
            raise VtoonError(f"{self.ckpt}: a {title}, not for --backbone {self.backbone}; use {model.config.backbone}")
        return stylizer

    def _without_effect(self, stylizer: Stylizer, placement: str, kinds: list[str | None]) -> Iterator[str]:
        """One line for each flag that was given and changes nothing here."""
        from vtoon.painters.onnx import OnnxModel

        given = [f"--{name}" for name in PUBLISHED_ONLY if getattr(self, name)]
        given += ["--parse_every"] * (self.speed.parse_every > 1) + ["--compile"] * self.speed.compile
        if stylizer.checkpoint.upscale == 1 and given:
            yield f"no effect: {', '.join(given)} (the built-in kind of model has no use for it)"
        own = [flag for flag in given if flag != "--exact"]
        if stylizer.checkpoint.upscale > 1 and isinstance(stylizer.checkpoint, OnnxModel) and own:
            yield f"no effect: {', '.join(own)} (an exported file has all of that in it)"
        if stylizer.checkpoint.upscale == 1 and self.backbone == "toonify":
            yield "--backbone toonify only names the result: the model itself knows what it is"
        if stylizer.checkpoint.upscale > 1 and self.exact:
            others = ["--dtype"] * (self.speed.dtype not in ("auto", "fp32"))
            others += ["--parse_every"] * (self.speed.parse_every > 1) + ["--placement"] * (self.placement == "paste")
            if others:
                yield f"no effect: {', '.join(others)} (--exact draws as the published code does)"
        if self.video and "image" in kinds:
            yield "no effect: --video (the content is an image)"
        if placement != "crop" and self.padding != next(f.default for f in fields(self) if f.name == "padding"):
            yield "no effect: --padding (it belongs to --scale_image or --placement crop)"


def main(args: list[str] | None = None) -> None:
    """Entry of style_transfer.py."""
    config = (tyro.conf.OmitArgPrefixes,)
    command = tyro.cli(StyleTransfer, prog="style_transfer.py", args=args, use_underscores=True, config=config)
    sys.exit(guard(command.run, command.messages.verbose))
