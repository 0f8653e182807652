"""`vtoon dual generate`: portraits of nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from vtoon.cli.common import Device, Flag, Talk, say_error, show_notices
from vtoon.cli.dual_common import (
    CHECKPOINTS,
    DESTYLIZE,
    CodesName,
    Degree,
    FileName,
    PathFlag,
    Weights,
    check_batch,
    check_style,
    named,
    style_file,
)
from vtoon.cli.studio import ready
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from torch import Tensor

    from vtoon.latent.dual import Artist


@dataclass(frozen=True)
class DualGenerate:
    """Portraits of nobody in styles of no one artwork: OUTPUT_PATH/NAME.jpg.

    Styles are of sampler.pt; without one, those of the artworks, a little moved.
    """

    batch: Annotated[int, arg(metavar="N")] = 8
    """How many."""
    style: Annotated[str, arg(metavar="STYLE")] = "cartoon"
    """The folder of the style, below --model_path."""
    truncation: Annotated[float, arg(metavar="PSI")] = 0.5
    """Of the faces."""
    weight: Weights = ()
    """The style's part in each layer: structure in the first seven, colours in the others."""
    structure: Degree = None
    """One degree for all layers of structure."""
    color: Degree = None
    """One degree for all layers of colour."""
    name: Annotated[str, arg(metavar="NAME")] = "cartoon_generate"
    """Of the result."""
    fix_content: Flag = False
    """One face for all."""
    fix_color: Flag = False
    """The same colours for all."""
    fix_structure: Flag = False
    """The same structure for all."""
    model_path: PathFlag = CHECKPOINTS
    """The folder of checkpoints."""
    model_name: FileName = "generator.pt"
    """The DualStyleGAN, in MODEL_PATH/STYLE, or a path."""
    sampler_name: FileName = "sampler.pt"
    """The sampler of styles, in MODEL_PATH/STYLE, or a path."""
    exstyle_name: CodesName = None
    """The style codes, where there is no sampler."""
    output_path: Annotated[Path, arg(metavar="PATH", aliases=["-o"])] = Path("output")
    """The folder for results."""
    seed: int = 0
    """Of all that is random."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        import torch

        from vtoon.image import save_image
        from vtoon.latent.dual import load_artist
        from vtoon.latent.sheets import near_square, table

        show_notices(self.messages)
        check_style(self.style)
        check_batch(self.batch)
        if not 0 <= self.truncation <= 2:
            raise VtoonError(f"truncation is {self.truncation:g}; it must be 0 to 2")
        if not self.name or Path(self.name).name != self.name:
            raise VtoonError(f"--name {self.name!r}: it is the beginning of a file's name")
        folder = self.model_path / self.style
        artist = load_artist(named(self.model_name, folder), self.device)
        weights = artist.weights(self.weight, self.structure, self.color)
        dice = torch.Generator().manual_seed(self.seed)
        z = torch.randn(self.batch, artist.faces.dim, generator=dice)
        z = z[:1].expand_as(z) if self.fix_content else z
        codes, whose = self._styles(artist, folder, dice)
        w = artist.faces.of_noise(z.to(artist.faces.device))  # truncated toward 0, as published
        intrinsic, extrinsic = self.truncation * w, artist.w_of(codes)
        ready(self.output_path)
        drawn = artist.pictures(intrinsic, extrinsic, weights)
        target = self.output_path / f"{self.name}.jpg"
        save_image(target, near_square(drawn))
        faces = artist.faces.pictures(intrinsic)
        save_image(target.with_stem(f"{target.stem}_overview"), table([faces, drawn], down=["faces", "drawn"]))
        if not self.messages.quiet:
            print(f"{target}: {self.batch} portraits of {artist.faces.size} px, styles by {whose}")

    def _styles(self, artist: Artist, folder: Path, dice: object) -> tuple[Tensor, str]:
        """Codes in Z+ [N, L, D], and whose they are."""
        from vtoon.latent.dual import artworks_codes, sampled_codes
        from vtoon.weights.duals import load_codes_of, load_style_sampler

        path = named(self.sampler_name, folder)
        fixed = self.fix_structure, self.fix_color
        if path.is_file():
            sampler, _ = load_style_sampler(path, artist.net.generator)
            return sampled_codes(sampler, self.batch, dice, *fixed), path.name
        if not self.messages.quiet:
            say_error(
                f"{path} is not there (vtoon dual sampler makes it): styles of the artworks, a little moved", "note"
            )
        codes = load_codes_of(style_file(folder, self.exstyle_name), artist.net.generator, DESTYLIZE)
        return artworks_codes(list(codes.values()), self.batch, dice, *fixed), "the artworks"
