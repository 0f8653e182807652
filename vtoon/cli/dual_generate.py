"""`vtoon dual generate`: portraits of nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from vtoon.cli.common import Flag, say_error
from vtoon.cli.dual_common import DESTYLIZE, FileName, OfPortraits, check_batch, named, style_file
from vtoon.cli.studio import ready

if TYPE_CHECKING:
    from torch import Tensor

    from vtoon.latent.dual import Artist


@dataclass(frozen=True)
class DualGenerate(OfPortraits):
    """Portraits of nobody in styles of no one artwork: OUTPUT_PATH/NAME.jpg.

    Styles are of sampler.pt; without one, those of the artworks, a little moved.
    """

    batch: Annotated[int, arg(metavar="N")] = 8
    """How many."""
    truncation: Annotated[float, arg(metavar="PSI")] = 0.5
    """Of the faces."""
    name: Annotated[str, arg(metavar="NAME")] = "cartoon_generate"
    """Of the result."""
    fix_content: Flag = False
    """One face for all."""
    fix_color: Flag = False
    """The same colours for all."""
    fix_structure: Flag = False
    """The same structure for all."""
    sampler_name: FileName = "sampler.pt"
    """The sampler of styles, in MODEL_PATH/STYLE, or a path."""
    seed: int = 0
    """Of all that is random."""

    def run(self) -> None:
        import torch

        from vtoon.image import save_image
        from vtoon.latent.sheets import near_square, table

        check_batch(self.batch)
        artist, weights = self.begin()
        dice = torch.Generator().manual_seed(self.seed)
        z = torch.randn(self.batch, artist.faces.dim, generator=dice)
        z = z[:1].expand_as(z) if self.fix_content else z
        codes, whose = self._styles(artist, dice)
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

    def _styles(self, artist: Artist, dice: object) -> tuple[Tensor, str]:
        """Codes in Z+ [N, L, D], and whose they are."""
        from vtoon.latent.dual import artworks_codes, sampled_codes
        from vtoon.weights.duals import load_codes_of, load_style_sampler

        path = named(self.sampler_name, self.folder)
        fixed = self.fix_structure, self.fix_color
        if path.is_file():
            sampler, _ = load_style_sampler(path, artist.net.generator)
            return sampled_codes(sampler, self.batch, dice, *fixed), path.name
        if not self.messages.quiet:
            say_error(
                f"{path} is not there (vtoon dual sampler makes it): styles of the artworks, a little moved", "note"
            )
        codes = load_codes_of(style_file(self.folder, self.exstyle_name), artist.net.generator, DESTYLIZE)
        return artworks_codes(list(codes.values()), self.batch, dice, *fixed), "the artworks"
