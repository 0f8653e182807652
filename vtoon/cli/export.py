"""`vtoon export`: a model with one style as an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import Positional, arg

from vtoon.cli.common import Flag, Talk, new_file, say_error, show_notices
from vtoon.errors import VtoonError


@dataclass(frozen=True)
class Export:
    """Write a model with one style as ONNX, for pictures of any size, and compare it with PyTorch.

    The file runs in ONNX Runtime, and here: vtoon stylize clip.mp4 --ckpt FILE.
    """

    output: Annotated[Path, Positional, arg(metavar="FILE.onnx")]
    """The file to write."""
    style: Annotated[str | None, arg(aliases=["-s"], metavar="NAME|ID", help_behavior_hint="(default: 0)")] = None
    """Which drawing; `vtoon styles` lists them."""
    style_degree: Annotated[float | None, arg(metavar="0..1", help_behavior_hint="(default: 1)")] = None
    """How far: 0 is close to the photo, 1 is the full drawing."""
    color_transfer: Flag = False
    """Take the style's palette; without it the face keeps its own colours."""
    face: Annotated[Path | None, arg(metavar="PHOTO", help_behavior_hint="")] = None
    """Whose colours a published model shall draw in; with --color_transfer the style's own are taken and no face is
    needed."""
    ckpt: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the built-in model)")] = None
    """The model."""
    overwrite: Flag = False
    """Replace a file that exists."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        """Raises VtoonError where the file exists, or a published model is given no face."""
        from vtoon.faces import FaceDetector
        from vtoon.image import load_image
        from vtoon.painters.engine import Job
        from vtoon.painters.onnx import export
        from vtoon.pipeline.options import StylizeOptions
        from vtoon.pipeline.stylize import load

        show_notices(self.messages)
        options = StylizeOptions(self.style, self.style_degree, self.color_transfer)
        stylizer = load(self.ckpt or "default", "cpu")
        if stylizer.needs_face(options) and self.face is None:
            raise VtoonError(
                f"{self.ckpt} draws each face in its own colours: name one with --face, or --color_transfer"
            )
        face = Job(load_image(self.face)[0] if self.face else np.zeros((64, 64, 3), np.uint8), 0.0)
        if stylizer.needs_face(options) and not FaceDetector().detect(face.image):
            raise VtoonError(f"{self.face}: no face was found; take a photo that shows one from the front")
        for note in [] if self.messages.quiet else stylizer.notes(options):
            say_error(note, "note")
        style, *_ = stylizer.settled(options)
        with new_file(self.output, ".onnx", stylizer.checkpoint.path, self.overwrite) as part:
            worst = export(stylizer.engine(options).painter, style, part, face)
        if not self.messages.quiet:
            print(f"{self.output}: {style.name}, {worst:.1e} of the mean value off PyTorch")
