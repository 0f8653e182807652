"""`vtoon dataset`: pictures as one file to train on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from vtoon.cli.common import Flag, Talk, progress_bar, show_notices
from vtoon.errors import VtoonError


@dataclass(frozen=True)
class Dataset:
    """Pictures as one data set: OUT.zip in StyleGAN2-ADA's layout, OUT.npy packed (the fastest), or else an LMDB folder
    with the published keys. All of them, and plain folders, are read everywhere pictures are asked for.

    Of each picture the middle square is taken. One that cannot be read is named and left out.
    """

    source: Annotated[Path, Positional, arg(metavar="SOURCE")]
    """A folder of pictures, a data set of another kind, or a .tar or .tgz such as cartoonset10k.tgz."""
    out: Annotated[Path, Positional, arg(metavar="OUT")]
    """OUT.zip, OUT.npy, or a new folder for an LMDB."""
    size: Annotated[tuple[int, ...], arg(metavar="PX [PX ...]", help_behavior_hint="")] = (256,)
    """Side of the pictures (default: 256); an LMDB can hold several."""
    quality: Annotated[int, arg(metavar="50..100")] = 100
    """Of JPEG; 100 is PNG, without loss."""
    boxes: Annotated[Path | None, arg(metavar="FILE.txt", help_behavior_hint="")] = None
    """Cut faces out of the folder's pictures: lines of name,left,top,right,bottom, as iCartoonFace has them."""
    margin: Annotated[float, arg(metavar="SHARE")] = 0.35
    """Around a box, of its longer side."""
    min_size: Annotated[int, arg(metavar="PX")] = 0
    """Leave out boxes whose longer side is smaller."""
    overwrite: Flag = False
    """Replace an output that exists."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.train.dataset_files import write_dataset
        from vtoon.train.sources import open_source

        show_notices(self.messages)
        if not self.size or any(not 4 <= size <= 4096 for size in self.size) or not 50 <= self.quality <= 100:
            raise VtoonError(
                f"size is {self.size} and quality {self.quality}; sizes are 4 to 4096 px, quality 50 to 100"
            )
        source = self._boxed() if self.boxes else open_source(self.source, max(self.size))
        with progress_bar("dataset", self.messages.quiet, " pictures") as watch:
            count = write_dataset(source, self.out, list(self.size), self.quality, self.overwrite, watch)
        if not self.messages.quiet:
            sizes = ", ".join(map(str, self.size))
            print(f"{self.out}: {count} pictures of {sizes} px, {len(source) - count} left out")

    def _boxed(self) -> object:
        from vtoon.train.archives import BoxSource

        if not self.source.is_dir():
            raise VtoonError(f"{self.source}: --boxes belong to a folder of pictures")
        if not 0 <= self.margin <= 3:
            raise VtoonError(f"margin is {self.margin:g}; it must be 0 to 3 of the box's side")
        return BoxSource(self.source, self.boxes, self.margin, self.min_size)
