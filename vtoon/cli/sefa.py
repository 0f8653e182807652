"""`vtoon sefa`: directions that a generator's weights tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from vtoon.cli.common import Device, Flag, Talk, show_notices
from vtoon.cli.studio import Ckpt, Folder, OldCkpt, check_frames, generator_of
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from torch import Tensor

    from vtoon.latent.sampler import Sampler

GAP = 24  # px between the sheets of two generators
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]


@dataclass(frozen=True)
class Sefa:
    """Closed-form factorization: the directions in which a generator's layers change most, without training.

    Writes factor.pt, and for each direction looked at a sheet and, with --video, a video.
    """

    ckpt: Ckpt = None
    """The generator: a .pt of StyleGAN2 in PyTorch, or a .pkl of StyleGAN2-ADA."""
    network: OldCkpt = None
    """Old name of CKPT."""
    factor: File = None
    """Take the directions of this factor.pt."""
    output: Folder = Path("output")
    """A folder: factor.pt, direction_00.png and so on."""
    layers: Annotated[str, arg(metavar="all|0-3,7")] = "all"
    """Whose weights are asked, and which layers are moved: the first ones pose and shape, the last ones light."""
    index: Annotated[tuple[int, ...], arg(aliases=["-i"], metavar="N [N ...]")] = (0, 1, 2, 3, 4)
    """Which directions, the strongest is 0."""
    degree: Annotated[float, arg(aliases=["-d"], metavar="D")] = 5.0
    """How far to both sides."""
    samples: Annotated[int, arg(aliases=["-n", "--n_sample"], metavar="N")] = 4
    """Faces, from --seed on."""
    seed: int = 1
    """Of the first face."""
    trunc: Annotated[float, arg(metavar="PSI", aliases=["--truncation"])] = 0.7
    """How far from the mean face."""
    video: Flag = False
    """Also direction_00.mp4: there and back."""
    ckpt2: File = None
    """A second generator, moved the same way beside the first: one fine-tuned from it."""
    directions: File = None
    """Also write directions.npy for VToonify's trainings, [8, layers, D]."""
    count: Annotated[int, arg(metavar="N")] = 8
    """Of directions in that file."""
    length: float = 2.0
    """Of each of them there."""
    frames: Annotated[int, arg(metavar="N")] = 75
    """Of each video."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.latent.sampler import load_sampler, parse_rows
        from vtoon.latent.sefa import check_indices, directions_of, load_factor, save_directions, save_factor
        from vtoon.latent.toonify import check_pair

        show_notices(self.messages)
        if not 1 <= self.samples <= 64 or not 0 <= self.seed < 2**32 - 64:
            raise VtoonError(f"samples is {self.samples} and seed {self.seed}; they must be 1 to 64, and 0 or more")
        check_frames(self.frames)
        sampler = generator_of(self.ckpt, self.network, self.device)
        rows = parse_rows(self.layers, sampler.rows)
        found = load_factor(self.factor, sampler) if self.factor else directions_of(sampler, rows)
        check_indices(self.index, found)
        if self.directions and not 1 <= self.count <= len(found):
            raise VtoonError(f"count is {self.count}; it must be 1 to {len(found)}")
        shown = [sampler]
        if self.ckpt2:
            shown.append(load_sampler(self.ckpt2, self.device))
            check_pair(*shown)
        if not self.factor:
            save_factor(self.output / "factor.pt", found, sampler.path)
            self._say(f"{self.output / 'factor.pt'}: {len(found)} directions of layers {self.layers}")
        if self.directions:
            save_directions(self.directions, self.length * found[: self.count], sampler.rows)
            self._say(f"{self.directions}: {self.count} directions of length {self.length:g}")
        for index in self.index:
            self._show(shown, found[index], index, rows)

    def _show(self, samplers: list[Sampler], direction: Tensor, index: int, rows: list[int]) -> None:
        import numpy as np

        from vtoon.image import save_image
        from vtoon.latent.sefa import direction_sheet, swing
        from vtoon.latent.sheets import near_square
        from vtoon.video import VideoWriter

        codes = samplers[0].latents(range(self.seed, self.seed + self.samples), self.trunc)
        sheets = [direction_sheet(s, codes.to(s.device), direction, self.degree, rows) for s in samplers]
        path = self.output / f"direction_{index:02d}.png"
        between = np.full((sheets[0].shape[0], GAP, 3), 255, np.uint8)
        save_image(path, np.hstack([part for sheet in sheets for part in (between, sheet)][1:]))
        self._say(f"{path}: direction {index}, {-self.degree:+g} to {self.degree:+g}")
        if self.video:
            path = path.with_suffix(".mp4")
            with VideoWriter(path, overwrite=True) as writer:
                for moved in swing(codes, direction, self.degree, rows, self.frames):
                    writer.write(near_square([picture for s in samplers for picture in s.pictures(moved)]))
            self._say(f"{path}: {self.frames} frames")

    def _say(self, line: str) -> None:
        if not self.messages.quiet:
            print(line)
