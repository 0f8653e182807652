"""`vtoon styles`: the styles of a model, as a list or as a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tyro.conf import arg

from vtoon.cli.common import Device, Flag, Talk, progress_bar, show_notices
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from vtoon.pipeline.stylize import Stylizer

LABEL = 22  # px: height of the line below a drawing


@dataclass(frozen=True)
class Layout:
    """Of a sheet."""

    tile: int = 192  # px: side of a drawing
    columns: int = 6
    detail: float = 80.0  # px between the eyes


LARGE = Layout(tile=320, columns=5, detail=128.0)


@dataclass(frozen=True)
class Styles:
    """List the styles of a model; --sheet draws them all on a photo."""

    ckpt: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the built-in model)")] = None
    """The model; `live` is the quick built-in one."""
    sheet: Annotated[Path | None, arg(metavar="sheet.png", help_behavior_hint="")] = None
    """Write a contact sheet here (palettes included, as with --color_transfer, where the model has them)."""
    photo: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: scikit-image's astronaut)")] = None
    """The portrait on the sheet."""
    looks: Flag = False
    """On the sheet: each look once, large, in its own colours."""
    overwrite: Flag = False
    """Replace a sheet that exists."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.pipeline.stylize import load

        show_notices(self.messages)
        stylizer = load(self.ckpt or "default", self.device)
        if self.sheet is None:
            print(listing(stylizer.styles))
            return
        from vtoon.image import save_image
        from vtoon.pipeline.jobs import SAVED_IMAGES
        from vtoon.system.target import Target

        if self.sheet.suffix.lower() not in SAVED_IMAGES:
            raise VtoonError(f"{self.sheet}: the sheet is a picture; its name must end in {', '.join(SAVED_IMAGES)}")
        target = Target(self.sheet, [self.photo], self.overwrite)
        target.create()  # known before the drawing begins
        target.discard()
        with progress_bar(self.sheet.name, self.messages.quiet) as progress:
            picture = contact_sheet(stylizer, portrait(self.photo), progress, self.looks)
        save_image(self.sheet, picture)
        if not self.messages.quiet:
            count = len(drawings(stylizer, self.looks)) - 1
            print(f"{self.sheet}: {count} style{'s' * (count != 1)}")


def listing(styles: tuple) -> str:
    """Id and name in columns; with look and palette, where a style is made of them."""
    rows = [("id", "name", "look", "palette"), *((str(s.id), s.name, s.look, s.palette) for s in styles)]
    if all(s.name == s.look for s in styles):
        rows = [row[:2] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[row[0].rjust(widths[0]), *map(str.ljust, row[1:], widths[1:])] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def portrait(path: Path | None) -> np.ndarray:
    """The photo to draw on, uint8 [H, W, 3]."""
    from vtoon.image import load_image

    if path:
        return load_image(path)[0]
    try:
        from skimage.data import astronaut
    except ImportError:
        raise VtoonError('the example portrait needs: pip install "vtoon[demo]"; or name one with --photo') from None
    return astronaut()


def drawings(stylizer: Stylizer, looks: bool = False) -> list[tuple[str, dict]]:
    """Label and options of each drawing on the sheet: the least of a style first, then every style, or every look."""
    from vtoon.pipeline.samples import each_style, least

    degree = least(stylizer)
    wanted = each_style(stylizer)
    if looks:
        own = {style.id for style in stylizer.styles if style.name == style.look}
        wanted = [(label.split(" ", 1)[1], options) for label, options in wanted if options["style"] in own]
    return [(f"degree {degree:g}", {"style_degree": degree}), *wanted]


def contact_sheet(
    stylizer: Stylizer, photo: np.ndarray, progress=lambda done, total: None, looks: bool = False
) -> np.ndarray:
    """Every style, or every look, on the photo's face, labelled; the photo comes first. Returns uint8 [H, W, 3]."""
    from vtoon.faces import FaceDetector
    from vtoon.image import grid
    from vtoon.pipeline.samples import close_up

    layout = LARGE if looks else Layout()
    tiles, wanted, faces = [], drawings(stylizer, looks), FaceDetector().detect(photo)
    if not faces:
        raise VtoonError("no face was found in the photo of the sheet; name another with --photo")
    for label, options in wanted:
        drawn = close_up(stylizer, photo, faces, **options, detail=layout.detail)
        tiles.append(_tile(drawn, label, layout.tile))
        progress(len(tiles), len(wanted))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % layout.columns)
    return grid([tiles[i : i + layout.columns] for i in range(0, len(tiles), layout.columns)])


def _tile(image: np.ndarray, label: str, side: int) -> np.ndarray:
    """A square thumbnail with its name below."""
    from vtoon.pipeline.samples import square

    tile = Image.new("RGB", (side, side + LABEL), "white")
    tile.paste(Image.fromarray(square(image)).resize((side, side), Image.Resampling.LANCZOS))
    ImageDraw.Draw(tile).text((side // 2, side + LABEL // 2), label, "black", ImageFont.load_default(14), "mm")
    return np.array(tile)
