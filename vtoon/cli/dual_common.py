"""What the commands of `vtoon dual` share: where DualStyleGAN's documentation puts files, and flags in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.errors import VtoonError

CHECKPOINTS, DATA, LOGS = Path("checkpoint"), Path("data"), Path("log")
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


def check_style(style: str) -> None:
    """Raises VtoonError where it cannot be a folder's name."""
    if not style or Path(style).name != style or style.startswith("."):
        raise VtoonError(f"style {style!r}: it is a folder's name, below data/ and checkpoint/")


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
