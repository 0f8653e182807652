"""The steps of `vtoon style make` that are no other command's: pick, clip, sheet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from vtoon.cli.common import Device, Talk, show_notices
from vtoon.errors import VtoonError

Folder = Annotated[Path, arg(metavar="FOLDER")]


@dataclass(frozen=True)
class Pick:
    """Pick the snapshot of a fine-tuning by KID to the drawings and by how far persons move; OUT.png shows all.

    The score of a snapshot is its KID, as a share of the base generator's, plus half the mean distance of the
    face embeddings of the same seeds before and after. The least is taken.
    """

    run_folder: Annotated[Path, Positional, arg(metavar="RUN")]
    """The fine-tuning's folder: network-snapshot-NNNNNN.pt, or 0.pt, 1.pt ..."""
    base: Annotated[Path | None, arg(metavar="CKPT", help_behavior_hint="")] = None
    """The generator that it began with."""
    data: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: none, identity alone counts)")] = (
        None
    )
    """The drawings, aligned."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT.pt")] = Path("output/picked.pt")
    """The generator that was taken; OUT.json holds the numbers."""
    take: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the best)")] = None
    """Take snapshot N."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.chain.pick import chosen, measured, write
        from vtoon.cli.studio import writable
        from vtoon.latent.sampler import load_sampler

        show_notices(self.messages)
        if self.base is None:
            raise VtoonError("name the generator that the fine-tuning began with: --base CKPT")
        writable(self.output, (".pt",))
        base = load_sampler(self.base, self.device)
        found = measured(self.run_folder, base, self.data)
        best = chosen(found, self.take)
        write(found, best, base, self.output)
        if self.messages.quiet:
            return
        for each in found:
            kid = "" if each.kid is None else f"KID {each.kid:.4g}, "
            mark = " <- taken" if each is best else ""
            print(f"snapshot {each.number}: {kid}identity {each.identity:.3f}, score {each.score:.3f}{mark}")
        if best.kid is not None and best.score >= 1:
            print("none is better than the start, whose score is 1: train longer, or on more drawings")
        print(f"{self.output}: snapshot {best.number}; {self.output.with_suffix('.png').name} shows all of them")


@dataclass(frozen=True)
class Clip:
    """A short video of still pictures of faces that move a little: something to draw where there is no film."""

    faces: Annotated[Path, Positional, arg(metavar="FOLDER")]
    """Pictures of faces."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT.mp4")] = Path("output/faces.mp4")
    """The video to write; one that is there is replaced."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.chain.show import clip_of

        show_notices(self.messages)
        if not self.faces.is_dir():
            raise VtoonError(f"{self.faces}: not a folder of pictures")
        frames = clip_of(self.faces, self.output)
        if not self.messages.quiet:
            print(f"{self.output}: {frames} frames")


@dataclass(frozen=True)
class Sheet:
    """All of a style on one sheet: drawings, the same seeds by each generator, photos, how each model draws them."""

    drawings: Folder
    """Some of them are shown."""
    faces: Folder
    """Photos to draw."""
    generators: Annotated[list[Path], arg(metavar="CKPT [CKPT ...]", help_behavior_hint="")] = field(
        default_factory=list
    )
    """Generators, in the order of the rows."""
    models: Annotated[list[Path], arg(metavar="CKPT [CKPT ...]", help_behavior_hint="")] = field(default_factory=list)
    """Stylizers, in the order of the rows."""
    dual: Annotated[tuple[Path, Path] | None, arg(metavar="CKPT CODES", help_behavior_hint="")] = None
    """A DualStyleGAN and the codes of its styles (.npy): the same seeds, each in another style."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT.png")] = Path("output/sheet.png")
    """The picture to write."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.chain.show import sheet

        show_notices(self.messages)
        for folder in (self.drawings, self.faces):
            if not folder.is_dir():
                raise VtoonError(f"{folder}: not a folder of pictures")
        rows = sheet(self.output, self.drawings, self.faces, self.generators, self.models, self.device, self.dual)
        if not self.messages.quiet:
            print(f"{self.output}: {rows} rows")
