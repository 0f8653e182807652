"""`vtoon edit`: a face moved along directions: smile, yaw, eyes, the weights' own, or between two folders."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import Device, Talk, progress_bar, show_notices
from vtoon.cli.studio import Codes, Folder, generator_of, ready, steps
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from torch import Tensor

    from vtoon.latent.direction import Direction
    from vtoon.latent.sampler import Sampler

TOGETHER = 8  # pictures of a folder that are projected at once
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Pictures = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]
Edits = Annotated[tuple[str, ...], arg(metavar="DIRECTION:AMOUNT [...]", help_behavior_hint="")]


@dataclass(frozen=True)
class Edit:
    """Move a face along directions, by amounts in standard deviations: <name>_edit.png, <name>_slider.png.

    The moved latent, <name>_edited_w.npz, is drawn by every command that takes --projected_w; directions that were
    measured are kept in direction_<name>.npz. `vtoon toonify --edit` and `vtoon dual transfer --edit` do it on the way.
    """

    photo: Annotated[Path | None, Positional, arg(metavar="PHOTO", help_behavior_hint="")] = None
    """A photo, of which the largest face is taken."""
    ckpt: Annotated[Path | None, arg(metavar="FILE", aliases=["--network"], help_behavior_hint="")] = None
    """The generator of faces."""
    direction: Annotated[tuple[str, ...], arg(metavar="N|FILE|NAME [...]", help_behavior_hint="")] = ()
    """yaw, smile, eyes (measured on faces that the generator draws), the number of one of the weights' own directions,
    or a file: direction_NAME.npz, factor.pt#3, directions.npy#0."""
    amount: Annotated[tuple[float, ...], arg(metavar="-3..3 [...]")] = (2.0,)
    """How far along each of them; one number counts for all."""
    more: Pictures = None
    """Pictures of faces that have what is wanted, for example with a hat,"""
    less: Pictures = None
    """and of faces that have not: the direction between them is one more."""
    method: Literal["logistic", "means"] = "logistic"
    """How it is told: by logistic regression, or the difference of the means."""
    folder_steps: Annotated[int, arg(metavar="N")] = 100
    """Of the search for each of their latents."""
    layers: Annotated[str | None, arg(metavar="all|0-3,7", help_behavior_hint="(default: see below)")] = None
    """Which layers are moved: all, but of yaw, smile, eyes and folders those that shape, 0-6."""
    ckpt2: File = None
    """A second generator, fine-tuned or blended from the first, that draws the same beside it."""
    output: Folder = Path("output")
    """The folder for results."""
    projected_w: Codes = None
    """The latent of the photo, where it was projected before: nothing is searched."""
    encoder: Annotated[Path | None, arg(metavar="FILE", aliases=["--e_ckpt"], help_behavior_hint="")] = None
    """A pSp encoder: its code is the photo's latent."""
    align: bool = True
    """Align the largest face first; --no-align takes the middle square as it is."""
    steps: Annotated[int, arg(metavar="N", aliases=["--step"])] = 500
    """Of the search for the photo's latent."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.image import save_image
        from vtoon.latent.edit import moved, slider_sheet
        from vtoon.latent.sampler import load_sampler, save_codes
        from vtoon.latent.toonify import check_pair

        show_notices(self.messages)
        amounts = self._amounts()
        sampler = generator_of(self.ckpt, None, self.device)
        shown = [sampler]
        if self.ckpt2:
            shown.append(load_sampler(self.ckpt2, self.device))
            check_pair(*shown)
        ready(self.output)
        edits = list(zip(self._directions(sampler), amounts, strict=True))
        w_plus, stem = self._face(sampler)
        edited = moved(w_plus, edits)
        pictures = [one.pictures(edited.to(one.device))[0] for one in shown]
        save_image(self.output / f"{stem}_edit.png", pictures[-1])
        save_image(self.output / f"{stem}_slider.png", slider_sheet(shown, w_plus, edits))
        save_codes(self.output / f"{stem}_edited_w.npz", edited)
        if not self.messages.quiet:
            words = ", ".join(f"{found.name} {amount:+g}" for found, amount in edits)
            print(f"{self.output / f'{stem}_edit.png'}: {words} (drawn by {shown[-1].path.name})")

    def _amounts(self) -> list[float]:
        """One for each direction. Raises VtoonError for numbers that cannot be, before anything is read."""
        from vtoon.latent.edit import checked_amount

        if (self.more is None) != (self.less is None):
            raise VtoonError("--more and --less belong together: two folders of pictures")
        count = len(self.direction) + (self.more is not None)
        if not count:
            raise VtoonError("no direction: vtoon edit PHOTO --ckpt FACES --direction smile --amount 2")
        if len(self.amount) not in (1, count):
            raise VtoonError(f"{len(self.amount)} amounts for {count} directions; give as many, or one for all")
        if not 1 <= self.steps <= 10**6 or not 1 <= self.folder_steps <= 10**6:
            raise VtoonError(f"steps is {self.steps}, folder_steps {self.folder_steps}; they must be 1 to 1000000")
        amounts = [checked_amount(amount) for amount in self.amount]
        if self.photo is None and self.projected_w is None:
            raise VtoonError("no photo: vtoon edit PHOTO --ckpt FACES --direction smile --amount 2")
        return amounts * count if len(amounts) < count else amounts

    def _face(self, sampler: Sampler) -> tuple[Tensor, str]:
        """w+ [1, L, D], and what results are named after."""
        from vtoon.latent.invert import aligned, encode, invert
        from vtoon.latent.project import ProjectOptions
        from vtoon.latent.sampler import load_codes

        stem = (self.photo or self.projected_w).stem
        if self.projected_w:
            return load_codes(self.projected_w, sampler)[:1], stem
        face = aligned(self.photo, sampler.size, self.align)
        if self.encoder:
            return encode(self.encoder, [face], sampler), stem
        with steps(self.photo.name, self.steps, self.messages.quiet) as watch:
            return invert(sampler, [face], ProjectOptions(steps=self.steps), watch=watch)[0].w_plus, stem

    def _directions(self, sampler: Sampler) -> list[Direction]:
        from vtoon.latent.attributes import ATTRIBUTES
        from vtoon.latent.direction import save_direction
        from vtoon.latent.edit import direction
        from vtoon.latent.sampler import parse_rows

        rows = parse_rows(self.layers, sampler.rows) if self.layers else None
        found: list[Direction] = []
        for word in self.direction:
            with progress_bar(word, self.messages.quiet, " faces") as watch:
                found.append(direction(sampler, word, rows, watch))
            if word in ATTRIBUTES:
                save_direction(self.output / f"direction_{word}.npz", found[-1])
                self._say(f"{self.output / f'direction_{word}.npz'}: {word}, told by {found[-1].told}")
        if self.more:
            found.append(self._between(sampler, rows))
        return found

    def _between(self, sampler: Sampler, rows: list[int] | None) -> Direction:
        from vtoon.latent.direction import renamed, save_direction
        from vtoon.latent.edit import between
        from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS

        rows = list(range(min(NUM_STRUCTURE_LAYERS, sampler.rows))) if rows is None else rows
        sets = [self._latents(folder, sampler) for folder in (self.more, self.less)]
        found = renamed(between(sampler, *sets, rows, self.method), self.more.name)
        path = self.output / f"direction_{self.more.name}.npz"
        save_direction(path, found)
        self._say(f"{path}: from {self.less} to {self.more}, {found.told}")
        return found

    def _latents(self, folder: Path, sampler: Sampler) -> Tensor:
        """w [N, D] of the faces of a folder; pictures without one are left out, and said."""
        import torch

        from vtoon.image import IMAGE_SUFFIXES
        from vtoon.latent.invert import aligned, encode, invert
        from vtoon.latent.project import ProjectOptions

        if not folder.is_dir():
            raise VtoonError(f"{folder}: no such folder of pictures")
        faces = []
        for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES):
            try:
                faces.append(aligned(path, sampler.size, self.align))
            except VtoonError as error:
                self._say(f"left out: {error}")
        if len(faces) < 2:
            raise VtoonError(f"{folder}: pictures with a face: {len(faces)}; at least 2 are needed, better 20")
        if self.encoder:
            return encode(self.encoder, faces, sampler).mean(1)
        options, parts = ProjectOptions(space="w", steps=self.folder_steps), []
        with progress_bar(folder.name, self.messages.quiet, " pictures") as bar:
            for first in range(0, len(faces), TOGETHER):
                parts.append(invert(sampler, faces[first : first + TOGETHER], options)[0].w_plus[:, 0])
                bar(min(first + TOGETHER, len(faces)), len(faces))
        return torch.cat(parts)

    def _say(self, line: str) -> None:
        if not self.messages.quiet:
            print(line)
