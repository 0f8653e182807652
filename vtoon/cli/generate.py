"""`vtoon generate`, `vtoon mix`, `vtoon morph`: pictures, tables and walks of a generator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from vtoon.cli.common import Device, Flag, Talk, show_notices
from vtoon.cli.studio import Ckpt, Codes, Folder, OldCkpt, check_frames, generator_of, writable
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from torch import Tensor

    from vtoon.latent.sampler import Sampler

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
Seeds = Annotated[str, arg(metavar="1-8,42")]
Rate = Annotated[int, arg(metavar="N", aliases=["--rate"])]


@dataclass(frozen=True)
class Generate:
    """Pictures of seeds or of projected latents: single files, a sheet, or a video that goes from one to the next.

    The same seeds and truncation give the pictures that StyleGAN2-ADA's generate.py gives.
    """

    ckpt: Ckpt = None
    """The generator: a .pt of StyleGAN2 in PyTorch, or a .pkl of StyleGAN2-ADA."""
    network: OldCkpt = None
    """Old name of CKPT."""
    seeds: Seeds = "1-8"
    """Numbers and ranges."""
    trunc: Annotated[str, arg(metavar="0.5,0.7", aliases=["--truncation"])] = "0.7"
    """How far from the mean face, one row of the sheet for each: 0 is the mean itself, 1 is untouched."""
    projected_w: Codes = None
    """Draw the latents of this file (key w) instead of seeds."""
    output: Folder = Path("output")
    """A folder: seed0001.png and so on; sheet.png with --grid; walk.mp4 with --video."""
    grid: Flag = False
    """One sheet instead of single pictures."""
    video: Flag = False
    """A video from each to the next and back to the first."""
    frames: Annotated[int, arg(metavar="N")] = 50
    """Of the video, from one to the next."""
    fps: Rate = 25
    """Of the video."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.latent.sampler import load_codes, parse_numbers, parse_seeds

        show_notices(self.messages)
        seeds, truncs = parse_seeds(self.seeds), parse_numbers(self.trunc, "trunc", -2, 2)
        check_frames(self.frames, self.fps)
        sampler = generator_of(self.ckpt, self.network, self.device)
        if self.projected_w:
            codes = load_codes(self.projected_w, sampler)
            sets, names = [codes], [f"proj{i:02d}" for i in range(len(codes))]
        else:
            sets, names = [sampler.latents(seeds, psi) for psi in truncs], [f"seed{seed:04d}" for seed in seeds]
        endings = [f"_{psi:g}" for psi in truncs] if len(sets) > 1 else [""]
        for line in self._written(sampler, sets, names, endings):
            if not self.messages.quiet:
                print(line)

    def _written(self, sampler: Sampler, sets: list[Tensor], names: list[str], endings: list[str]) -> Iterator[str]:
        from vtoon.image import save_image
        from vtoon.latent.morph import film, walk
        from vtoon.latent.sheets import near_square, table

        if self.video:
            for codes, ending in zip(sets, endings, strict=True):
                path = self.output / f"walk{ending}.mp4"
                frames = film(sampler, walk(codes, self.frames, loop=len(codes) > 2), path, self.fps, overwrite=True)
                yield f"{path}: {frames} frames of {sampler.size} px"
        if self.grid:
            rows = [sampler.pictures(codes) for codes in sets]
            labels = [ending[1:] for ending in endings]
            save_image(self.output / "sheet.png", table(rows, names, labels) if len(rows) > 1 else near_square(rows[0]))
            yield f"{self.output / 'sheet.png'}: {sum(map(len, rows))} pictures of {sampler.size} px"
        if not (self.video or self.grid):
            for codes, ending in zip(sets, endings, strict=True):
                for i, name in enumerate(names):
                    save_image(self.output / f"{name}{ending}.png", sampler.pictures(codes[i : i + 1])[0])
            count, first = len(names) * len(sets), f"{names[0]}{endings[0]}.png"
            yield f"{self.output}: {count} pictures of {sampler.size} px, from {first} on"


@dataclass(frozen=True)
class Mix:
    """Style mixing tables: each face of the rows with some layers of each face of the columns."""

    ckpt: Ckpt = None
    """The generator."""
    network: OldCkpt = None
    """Old name of CKPT."""
    rows: Seeds = "1-4"
    """Seeds of the faces that are kept in the other layers."""
    cols: Seeds = "5-9"
    """Seeds of the faces whose layers are taken."""
    layers: Annotated[tuple[str, ...], arg(metavar="0-3 [4-7 ...]", aliases=["--styles"], help_behavior_hint="")] = ()
    """Which layers are taken, a table for each (default: the lower, middle and upper third)."""
    trunc: Annotated[float, arg(metavar="PSI", aliases=["--truncation"])] = 0.7
    """How far from the mean face."""
    projected_w: Codes = None
    """Latents of this file as rows, before the seeds' own."""
    output: Folder = Path("output")
    """A folder: mix_0-3.png and so on."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        import torch

        from vtoon.image import save_image
        from vtoon.latent.mix import mixing_table
        from vtoon.latent.sampler import load_codes, parse_rows, parse_seeds

        show_notices(self.messages)
        down, across = parse_seeds(self.rows), parse_seeds(self.cols)
        sampler = generator_of(self.ckpt, self.network, self.device)
        third = sampler.rows // 3
        thirds = (f"0-{third - 1}", f"{third}-{2 * third - 1}", f"{2 * third}-{sampler.rows - 1}")
        ranges = {text: parse_rows(text, sampler.rows) for text in self.layers or thirds}
        codes, names = sampler.latents(down, self.trunc), [str(seed) for seed in down]
        if self.projected_w:
            projected = load_codes(self.projected_w, sampler)
            codes, names = torch.cat([projected, codes]), [*(f"w {i}" for i in range(len(projected))), *names]
        for text, chosen in ranges.items():
            words = names, [str(seed) for seed in across]
            sheet = mixing_table(sampler, codes, sampler.latents(across, self.trunc), chosen, words)
            path = self.output / f"mix_{text.replace(' ', '')}.png"
            save_image(path, sheet)
            if not self.messages.quiet:
                print(f"{path}: layers {text} of {len(across)} faces in {len(codes)}")


@dataclass(frozen=True)
class Morph:
    """A video that walks from face to face."""

    ckpt: Ckpt = None
    """The generator."""
    network: OldCkpt = None
    """Old name of CKPT."""
    seeds: Seeds = "1-5"
    """The faces on the way."""
    projected_w: Codes = None
    """Walk through the latents of this file instead of seeds."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT.mp4")] = Path("output/morph.mp4")
    """The video to write."""
    trunc: Annotated[float, arg(metavar="PSI", aliases=["--truncation"])] = 0.7
    """How far from the mean face."""
    frames: Annotated[int, arg(metavar="N")] = 50
    """From one face to the next."""
    fps: Rate = 25
    """Of the video."""
    loop: Flag = False
    """Go back to the first face at the end."""
    spherical: Flag = False
    """Walk on the sphere of z, where random faces are, not straight through w."""
    easing: Literal["linear", "smooth", "sine"] = "smooth"
    """How it sets out and arrives."""
    overwrite: Flag = False
    """Replace an output that exists."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.latent.morph import film, slerp, walk
        from vtoon.latent.sampler import load_codes, parse_seeds

        show_notices(self.messages)
        seeds = parse_seeds(self.seeds)
        check_frames(self.frames, self.fps)
        path = writable(self.output, VIDEOS, self.overwrite)
        if self.spherical and self.projected_w:
            raise VtoonError("--spherical walks through z, and a projected latent has no z: leave one of them out")
        sampler = generator_of(self.ckpt, self.network, self.device)
        if self.spherical:
            way = (sampler.of_noise(z[None], self.trunc)[0] for z in
                   walk(sampler.noise(seeds), self.frames, self.loop, self.easing, slerp))  # fmt: skip
        else:
            codes = load_codes(self.projected_w, sampler) if self.projected_w else sampler.latents(seeds, self.trunc)
            way = walk(codes, self.frames, self.loop, self.easing)
        frames = film(sampler, way, path, self.fps, self.overwrite)
        if not self.messages.quiet:
            print(f"{path}: {frames} frames of {sampler.size} px")
