"""`vtoon dual transfer`: one photo in the style of one artwork."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from vtoon.cli.common import Flag, progress_bar, say_error
from vtoon.cli.dual_common import DATA, DESTYLIZE, File, OfPortraits, PathFlag, art_folder, style_file
from vtoon.cli.edit import Edits
from vtoon.cli.studio import ready, steps
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from vtoon.latent.dual import Artist

ENCODED, SEARCHED = 0.75, 1.0  # truncation of an encoder's codes, and of those that were searched for


@dataclass(frozen=True)
class Transfer(OfPortraits):
    """Draw one photo in the style of one artwork: OUTPUT_PATH/NAME_ID_PHOTO.jpg, and beside it an overview.

    Takes published DualStyleGAN files as they are (generator.pt, exstyle_code.npy, refined_exstyle_code.npy,
    encoder.pt, encoder_wplus.pt).
    """

    content: Annotated[Path, arg(metavar="FILE")] = DATA / "content" / "081680.jpg"
    """The photo."""
    style_id: Annotated[int, arg(metavar="ID")] = 53
    """Which artwork."""
    truncation: Annotated[float | None, arg(metavar="PSI", help_behavior_hint="(default: 0.75; searched codes: 1)")] = (
        None
    )
    """How much of the face is kept of the encoder's code; less is closer to the average."""
    name: Annotated[str, arg(metavar="NAME")] = "cartoon_transfer"
    """Of the result."""
    preserve_color: Flag = False
    """The face keeps its own colours."""
    data_path: PathFlag = DATA
    """Where the overview finds the artwork: DATA_PATH/STYLE/images/train."""
    align_face: Flag = False
    """Cut the face out of the photo first; without it, the photo is aligned already."""
    wplus: Flag = False
    """Read the face by encoder_wplus.pt: closer to the photo."""
    encoder: File = None
    """The encoder (default: encoder.pt, with --wplus encoder_wplus.pt, in MODEL_PATH). Without one, a search."""
    steps: Annotated[int, arg(metavar="N")] = 500
    """Of the search."""
    projected_w: Annotated[Path | None, arg(metavar="FILE.npz", help_behavior_hint="")] = None
    """The face's latent, where it was projected before: nothing is read or searched."""
    edit: Edits = ()
    """Move the face before it is drawn, in standard deviations: smile:1.5 yaw:-1 3:2 direction_NAME.npz:1; see
    `vtoon edit`."""
    sheet: Flag = False
    """Also NAME_ID_PHOTO_degrees.jpg: structure by colour, each from 0 to 1."""

    def run(self) -> None:
        from vtoon.image import save_image
        from vtoon.latent.dual import degree_sheet, with_colours
        from vtoon.latent.edit import moved, parse_edits
        from vtoon.latent.invert import aligned
        from vtoon.weights.duals import load_codes_of

        artist, weights = self.begin()
        path = style_file(self.folder, self.exstyle_name)
        codes = load_codes_of(path, artist.net.generator, DESTYLIZE)
        if not 0 <= self.style_id < len(codes):
            raise VtoonError(f"style_id is {self.style_id}; {path} has styles 0 to {len(codes) - 1}")
        face = aligned(self.content, artist.faces.size, self.align_face)
        with progress_bar("edit", self.messages.quiet, " faces") as watch:
            edits = parse_edits(artist.faces, self.edit, watch)
        ready(self.output_path)
        w_plus, how, psi = self._face(artist, face)
        w_plus = moved(w_plus, edits)
        extrinsic = artist.w_of(list(codes.values())[self.style_id])
        extrinsic = with_colours(extrinsic, w_plus) if self.preserve_color else extrinsic
        pair = psi * w_plus, extrinsic
        (read,), (drawn,) = artist.faces.pictures(pair[0]), artist.pictures(*pair, weights)
        target = self.output_path / f"{self.name}_{self.style_id}_{self.content.stem}.jpg"
        save_image(target, drawn)
        artwork = self._artwork(list(codes)[self.style_id], drawn)
        self._overview(target, {"photo": face, "face": read, "artwork": artwork, "drawn": drawn})
        if self.sheet:
            save_image(target.with_stem(f"{target.stem}_degrees"), degree_sheet(artist, *pair))
        if not self.messages.quiet:
            print(f"{target}: style {self.style_id} of {path.name} at {artist.faces.size} px (the face by {how})")

    @staticmethod
    def _overview(target: Path, steps: dict[str, np.ndarray | None]) -> None:
        from vtoon.image import save_image
        from vtoon.latent.sheets import table

        shown = {word: image for word, image in steps.items() if image is not None}
        save_image(target.with_stem(f"{target.stem}_overview"), table([list(shown.values())], list(shown)))

    def _face(self, artist: Artist, face: np.ndarray) -> tuple[Tensor, str, float]:
        """The face's code in W+, [1, L, D], who told it, and its truncation."""
        from vtoon.latent.invert import encode, invert
        from vtoon.latent.project import ProjectOptions
        from vtoon.latent.sampler import load_codes

        searched, encoded = ((psi if self.truncation is None else self.truncation) for psi in (SEARCHED, ENCODED))
        if self.projected_w:
            return load_codes(self.projected_w, artist.faces)[:1], str(self.projected_w), searched
        path = self.encoder or self.model_path / ("encoder_wplus.pt" if self.wplus else "encoder.pt")
        if self.encoder or path.is_file():
            space = "w+" if self.wplus else "auto"
            return encode(path, [face], artist.faces, space), path.name, encoded
        if not self.messages.quiet:
            say_error(f"{path} is not there: the face is searched by the generator, {self.steps} steps", "note")
        options = ProjectOptions(steps=self.steps)
        with steps(self.content.name, self.steps, self.messages.quiet) as watch:
            found, lowered = invert(artist.faces, [face], options, watch=watch)
        return found.w_plus, f"search: {lowered}", searched

    def _artwork(self, name: str, like: np.ndarray) -> np.ndarray | None:
        """The artwork at the drawing's size; None where it is not at hand."""
        from vtoon.latent.invert import aligned

        try:
            return aligned(art_folder(self.data_path, self.style) / name, like.shape[0], align=False)
        except VtoonError:
            return None
