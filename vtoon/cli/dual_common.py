"""What the commands of `vtoon dual` share: where DualStyleGAN's documentation puts files."""

from __future__ import annotations

from pathlib import Path

from vtoon.errors import VtoonError

DESTYLIZE = "vtoon dual destylize makes it"


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
