"""`vtoon project`: pictures to latents; `vtoon toonify`: photos drawn by a blended generator."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import FAILED, Device, Flag, Talk, progress_bar, say_error, show_notices
from vtoon.cli.edit import Edits
from vtoon.cli.studio import Codes, Folder, generator_of, ready, steps
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    from vtoon.latent.project import Projection, ProjectOptions
    from vtoon.latent.sampler import Sampler

FILM_EVERY = 5  # steps from frame to frame of a progress video
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Inputs = Annotated[tuple[Path, ...], Positional, arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="")]


@dataclass(frozen=True)
class Search:
    """How latents are searched. A weight of 0 leaves a term out."""

    space: Literal["w", "w+"] = "w+"
    """w+: a row for each layer, nearer to the picture. w: one row, easier to edit."""
    steps: Annotated[int, arg(metavar="N", aliases=["--step", "--num_steps"])] = 500
    """Of Adam."""
    lr: float = 0.05
    """Its learning rate at the peak."""
    perceptual: Annotated[float, arg(metavar="WEIGHT", aliases=["--vgg"])] = 1.0
    """Of the perceptual distance."""
    pixel: Annotated[float, arg(metavar="WEIGHT", aliases=["--mse"])] = 1.0
    """Of the mean squared difference."""
    identity: Annotated[float, arg(metavar="WEIGHT")] = 0.1
    """Of the distance of the face embeddings."""
    noise: Annotated[float, arg(metavar="SHARE")] = 0.05
    """Of the latents' spread, added while searching."""
    noise_ramp: Annotated[float, arg(metavar="SHARE")] = 0.75
    """Of the steps, after which none is added."""
    noise_regularize: Annotated[float, arg(metavar="WEIGHT")] = 1e5
    """Against pictures hidden in the noise maps; 0 does not touch them."""
    near: Annotated[float, arg(metavar="WEIGHT")] = 0.05
    """Keeps the rows of w+ near one another, where editing works."""
    truncation: Annotated[float, arg(metavar="PSI")] = 0.7
    """Of the encoder's start."""
    seed: int = 303
    """Of what is random."""
    w_plus: Flag = False
    """Old name of --space w+."""

    def options(self) -> ProjectOptions:
        from vtoon.latent.project import ProjectOptions

        known = {name: value for name, value in vars(self).items() if name != "w_plus"}
        return ProjectOptions(**known | ({"space": "w+"} if self.w_plus else {}))


@dataclass(frozen=True)
class Project:
    """Find the latents whose pictures are most like yours: projected_w.npz (key w), proj.png, target.png.

    Several pictures are searched at once, each result in a folder of its own.
    """

    images: Inputs = ()
    """Photos or drawings."""
    ckpt: Annotated[Path | None, arg(metavar="FILE", aliases=["--network"], help_behavior_hint="")] = None
    """The generator: a .pt of StyleGAN2 in PyTorch, or a .pkl of StyleGAN2-ADA."""
    output: Folder = Path("output")
    """The folder for results."""
    init: Literal["mean", "encoder"] = "mean"
    """Where the search begins: at the mean face, or where --encoder puts the picture."""
    encoder: Annotated[Path | None, arg(metavar="FILE", aliases=["--e_ckpt"], help_behavior_hint="")] = None
    """A pSp encoder (encoder.pt, encoder_wplus.pt); naming one means --init encoder."""
    encoder_space: Literal["auto", "z+", "w+"] = "auto"
    """Of its codes; auto goes by its name: wplus or not."""
    align: bool = True
    """Align the largest face first; --no-align takes the middle square as it is."""
    target_image: Annotated[Path | None, arg(metavar="FILE", aliases=["--target"], help_behavior_hint="")] = None
    """Old name of IMAGE."""
    video: Annotated[Flag, arg(aliases=["--save_video"])] = False
    """Also proj.mp4: the target beside the search."""
    search: Search = field(default_factory=Search)
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.latent.invert import aligned, encode, invert

        show_notices(self.messages)
        options = self.search.options()
        images = [*self.images, *([self.target_image] if self.target_image else [])]
        if not images:
            raise VtoonError("no picture: vtoon project IMAGE --ckpt GENERATOR")
        if self.init == "encoder" and self.encoder is None:
            raise VtoonError("--init encoder needs the encoder's file: --encoder encoder.pt")
        sampler = generator_of(self.ckpt, None, self.device)
        faces = [aligned(path, sampler.size, self.align) for path in images]
        start = encode(self.encoder, faces, sampler, self.encoder_space) if self.encoder else None
        ready(self.output)
        places = self._places(images)
        with ExitStack() as stack:
            bar = stack.enter_context(steps("project", options.steps, self.messages.quiet))
            film = self._film(stack, places, faces, options.steps) if self.video else lambda step, seen: None
            found, lowered = invert(sampler, faces, options, start, watch=lambda s, x: (bar(s), film(s, x)))
        self._write(places, faces, found, lowered, sampler)

    def _places(self, images: list[Path]) -> list[Path]:
        from vtoon.latent.align import unique_stems

        if len(images) == 1:
            return [self.output]
        stems = unique_stems([str(path) for path in images])
        return [self.output / stems[str(path)] for path in images]

    def _film(
        self, stack: ExitStack, places: list[Path], faces: list[np.ndarray], total: int
    ) -> Callable[[int, Tensor], None]:
        import numpy as np

        from vtoon.image import to_uint8
        from vtoon.video import VideoWriter

        writers = [stack.enter_context(VideoWriter(place / "proj.mp4", overwrite=True)) for place in places]

        def film(step: int, seen: Tensor) -> None:
            if step % FILM_EVERY == 0 or step == total - 1:
                for writer, face, image in zip(writers, faces, to_uint8(seen), strict=True):
                    writer.write(np.hstack([face, image]))

        return film

    def _write(
        self, places: list[Path], faces: list[np.ndarray], found: Projection, lowered: str, sampler: Sampler
    ) -> None:
        from vtoon.image import save_image, to_tensor, to_uint8
        from vtoon.latent.project import psnr
        from vtoon.latent.sampler import save_codes

        for i, place in enumerate(places):
            save_image(place / "target.png", faces[i])
            save_image(place / "proj.png", to_uint8(found.images[i : i + 1])[0])
            save_codes(place / "projected_w.npz", found.w_plus[i : i + 1])
            if not self.messages.quiet:
                decibel = float(psnr(found.images[i : i + 1].cpu(), to_tensor(faces[i])))
                print(f"{place / 'projected_w.npz'}: {sampler.size} px, {decibel:.1f} dB ({lowered})")


@dataclass(frozen=True)
class Toonify:
    """Draw photos with a blended generator: align, invert, draw, paste back.

    The inversion is by the generator of faces that the blended one was made of: --base.
    """

    images: Inputs = ()
    """Photos; of each the largest face."""
    ckpt: Annotated[Path | None, arg(metavar="FILE", aliases=["--network"], help_behavior_hint="")] = None
    """The blended or fine-tuned generator that draws."""
    base: File = None
    """The generator of faces that inverts (default: the one that draws)."""
    output: Folder = Path("output")
    """The folder for results: <name>_toon.png."""
    projected_w: Codes = None
    """The latent of the photo, where it was projected before: nothing is searched."""
    encoder: Annotated[Path | None, arg(metavar="FILE", aliases=["--e_ckpt"], help_behavior_hint="")] = None
    """A pSp encoder: the search begins where it puts the face."""
    edit: Edits = ()
    """Move the face before it is drawn, in standard deviations: smile:1.5 yaw:-1 3:2 direction_NAME.npz:1; see
    `vtoon edit`."""
    sheet: Flag = False
    """Also <name>_steps.png: the aligned face, its inversion, its drawing."""
    search: Search = field(default_factory=Search)
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> int:
        """Returns the exit code: 0 where every photo is drawn."""
        from vtoon.latent.align import unique_stems
        from vtoon.latent.edit import parse_edits
        from vtoon.latent.sampler import load_sampler
        from vtoon.latent.toonify import check_pair

        show_notices(self.messages)
        if not self.images:
            raise VtoonError("no photo: vtoon toonify PHOTO --ckpt blended.pt --base faces.pt")
        if self.projected_w and len(self.images) > 1:
            raise VtoonError("--projected_w is the latent of one photo; name that one alone")
        options = self.search.options()
        toon = generator_of(self.ckpt, None, self.device)
        base = load_sampler(self.base, self.device) if self.base else toon
        check_pair(base, toon)
        with progress_bar("edit", self.messages.quiet, " faces") as watch:
            edits = parse_edits(base, self.edit, watch)
        ready(self.output)
        code = 0
        for photo, stem in unique_stems([str(path) for path in self.images]).items():
            try:
                self._draw(Path(photo), stem, base, toon, options, edits)
            except VtoonError as error:
                if len(self.images) == 1:
                    raise
                say_error(str(error))
                code = FAILED
        return code

    def _draw(self, photo: Path, stem: str, base: Sampler, toon: Sampler, options: ProjectOptions, edits: list) -> None:
        from vtoon.image import save_image
        from vtoon.latent.sheets import table
        from vtoon.latent.toonify import toonify

        with steps(photo.name, options.steps, self.messages.quiet) as watch:
            made = toonify(photo, base, toon, options, self.projected_w, self.encoder, edits, watch)
        path = self.output / f"{stem}_toon.png"
        save_image(path, made.image)
        if self.sheet:
            shown = [[made.aligned, made.inverted, made.drawn]]
            save_image(self.output / f"{stem}_steps.png", table(shown, ["photo", "inverted", "drawn"]))
        if not self.messages.quiet:
            print(f"{path}: drawn by {toon.path.name} at {toon.size} px (inverted by {made.lowered})")
