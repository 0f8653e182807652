"""`vtoon convert`: a published VToonify and its style codes as one safetensors file; a network pickle as a .pt."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from vtoon.cli.common import Companion, Flag, Talk, new_file, show_notices


@dataclass(frozen=True)
class Convert:
    """Make one file of a published VToonify-D or -T: weights, style codes, what it was trained for, where it is from.

    It draws exactly what the .pt draws, and reading it runs nothing. The style encoder and the parsing network stay
    in files of their own. The licence of the weights stays as well: S-Lab License 1.0, non-commercial.

    Of a StyleGAN2-ADA network pickle (.pkl), the generator becomes a .pt for StyleGAN2's tools; its code is not run.
    """

    source: Annotated[Path, Positional, arg(metavar="IN")]
    """The published file, under its own name: that says which style and degree it was trained for."""
    target: Annotated[Path, Positional, arg(metavar="OUT")]
    """The file to write: .safetensors, of a pickle .pt."""
    exstyle_path: Companion = None
    """Style codes (default: exstyle_code.npy beside IN)."""
    half: Flag = False
    """Weights in 16 bits: half the size, drawings a little different."""
    overwrite: Flag = False
    """Replace an output that exists."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.weights.converted import read_vtoonify, write_vtoonify
        from vtoon.weights.published import is_network_pickle

        show_notices(self.messages)
        if is_network_pickle(self.source):
            self._generator()
            return
        with new_file(self.target, ".safetensors", self.source, self.overwrite) as part:
            file = read_vtoonify(self.source, self.exstyle_path)
            write_vtoonify(file, part, self.half)
        if not self.messages.quiet:
            title, size = file.kind.title.removesuffix(" model"), self.target.stat().st_size / 1e6
            print(f"{self.target}: {title}, {len(file.codes)} style codes, {size:.1f} MB")

    def _generator(self) -> None:
        from vtoon.weights.stylegan2_ada import write_generator

        with new_file(self.target, ".pt", self.source, self.overwrite) as part:
            info = write_generator(self.source, part)
        if not self.messages.quiet:
            print(f"{self.target}: StyleGAN2 generator, {info.size} px, {self.target.stat().st_size / 1e6:.1f} MB")
