"""What the commands of `vtoon dual` share: where DualStyleGAN's documentation puts files, and flags in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import Device, Talk, show_notices
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from torch import Tensor

    from vtoon.latent.dual import Artist

CHECKPOINTS, DATA = Path("checkpoint"), Path("data")
BASE = "stylegan2-ffhq-config-f.pt"
PRETRAINED = "generator-pretrain.pt"
FINETUNED = "finetune-000600.pt"
DESTYLIZE = "vtoon dual destylize makes it"
N = Annotated[int, arg(metavar="N")]
Style = Annotated[str, Positional, arg(metavar="STYLE", help_behavior_hint="")]
PathFlag = Annotated[Path, arg(metavar="PATH")]
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
FileName = Annotated[str, arg(metavar="FILE")]
CodesName = Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: refined, if there)")]
Degree = Annotated[float | None, arg(metavar="0..1", help_behavior_hint="")]
Weights = Annotated[
    tuple[float, ...], arg(metavar="W0 W1 ...", help_behavior_hint="(default: 0.75 for the first seven, 1 for others)")
]
Perceptual = Literal["auto", "vgg", "face"]
Likeness = Literal["auto", "lpips", "face"]


@dataclass(frozen=True)
class OfArtworks:
    """What the commands that find a code of each artwork share."""

    style: Style = "cartoon"
    """The folder of the style, below --data_path and --model_path."""
    model_path: PathFlag = CHECKPOINTS
    """The folder of checkpoints."""
    data_path: PathFlag = DATA
    """The pictures are in DATA_PATH/STYLE/images/train."""
    exstyle_name: FileName = "exstyle_code.npy"
    """Of the extrinsic codes."""
    instyle_name: FileName = "instyle_code.npy"
    """Of the intrinsic codes."""
    batch: N = 1
    """Pictures at once."""
    perceptual: Likeness = "auto"
    """LPIPS as published, its stand-in of face features; auto: LPIPS where VGG16's weights are there already."""
    resume: bool = True
    """Leave out pictures that have their codes; --no_resume does all anew."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    @property
    def folder(self) -> Path:
        return self.model_path / self.style

    def begin(self) -> Path:
        """The folder of the artworks. Raises VtoonError where flags are wrong or there is none."""
        show_notices(self.messages)
        check_style(self.style)
        check_batch(self.batch)
        return art_folder(self.data_path, self.style)

    def show(self, name: str, rows: list, words: list[str]) -> None:
        """A sheet of what was done, if anything was."""
        from vtoon.image import save_image
        from vtoon.latent.sheets import table

        if rows:
            save_image(logs(self.model_path, self.style) / name, table(rows, words))


@dataclass(frozen=True)
class OfPortraits:
    """What the commands that draw share; each has a `name` and a `truncation` of its own."""

    style: Annotated[str, arg(metavar="STYLE")] = "cartoon"
    """The folder of the style, below --model_path."""
    weight: Weights = ()
    """The style's part in each layer: structure in the first seven, colours in the others."""
    structure: Degree = None
    """One degree for all layers of structure."""
    color: Degree = None
    """One degree for all layers of colour."""
    model_path: PathFlag = CHECKPOINTS
    """The folder of checkpoints."""
    model_name: FileName = "generator.pt"
    """The DualStyleGAN, in MODEL_PATH/STYLE, or a path."""
    exstyle_name: CodesName = None
    """The style codes, in MODEL_PATH/STYLE, or a path."""
    output_path: Annotated[Path, arg(metavar="PATH", aliases=["-o"])] = Path("output")
    """The folder for results."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    @property
    def folder(self) -> Path:
        return self.model_path / self.style

    def begin(self) -> tuple[Artist, Tensor]:
        """The DualStyleGAN, and the style's part in each layer. Raises VtoonError where flags are wrong."""
        from vtoon.latent.dual import load_artist

        show_notices(self.messages)
        check_style(self.style)
        if self.truncation is not None and not 0 <= self.truncation <= 2:
            raise VtoonError(f"truncation is {self.truncation:g}; it must be 0 to 2")
        if not self.name or Path(self.name).name != self.name:
            raise VtoonError(f"--name {self.name!r}: it is the beginning of a file's name")
        artist = load_artist(named(self.model_name, self.folder), self.device)
        return artist, artist.weights(self.weight, self.structure, self.color)


def check_style(style: str) -> None:
    """Raises VtoonError where it cannot be a folder's name."""
    if not style or Path(style).name != style or style.startswith("."):
        raise VtoonError(f"style {style!r}: it is a folder's name, below data/ and checkpoint/")


def logs(model_path: Path, name: str) -> Path:
    """Where previews and curves go: log/NAME as published; where files are not in checkpoint/ either, beside them."""
    return Path("log") / name if model_path == CHECKPOINTS else model_path / "log" / name


def art_folder(data_path: Path, style: str) -> Path:
    """The folder of a style's artworks. Raises VtoonError where there is none."""
    for folder in (data_path / style / "images" / "train", data_path / style):
        if folder.is_dir():
            return folder
    raise VtoonError(f"{data_path / style / 'images' / 'train'}: no such folder; put the artworks of the style there")


def named(name: str, folder: Path) -> Path:
    """A file of the style's folder, or one given by its path."""
    return Path(name) if Path(name).name != name else folder / name


def style_file(folder: Path, name: str | None) -> Path:
    """The style codes: the refined ones where nothing else is asked for and they are there."""
    if name is not None:
        return named(name, folder)
    refined = folder / "refined_exstyle_code.npy"
    return refined if refined.is_file() else folder / "exstyle_code.npy"


def check_batch(batch: int) -> None:
    """Raises VtoonError."""
    if not 1 <= batch <= 1000:
        raise VtoonError(f"batch is {batch}; it must be 1 to 1000")
