"""What a user asks of the chain, checked before anything starts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vtoon.errors import VtoonError

FEW = 5  # drawings, up to which a style is taken from single pictures
MANY = 30  # drawings, from which on DualStyleGAN is worth its while
SIZES = tuple(2**k for k in range(6, 11))  # px: of generators that a VToonify is distilled from
BLENDS = ("strokes", "structure", "all")


@dataclass(frozen=True)
class Wish:
    """A style, what it is made of, and what may be spent. None: not said."""

    name: str
    drawings: Path
    faces: Path | None = None
    base: str | None = None  # a generator of faces: a file, or a name such as ffhq256
    clip: Path | None = None
    size: int | None = None  # px of the generator
    blend: str = "strokes"
    pick: int | None = None  # kimg of a snapshot, or the number of a single picture
    pick_style: int = 0  # of DualStyleGAN: which artwork the specialised file and the student draw like
    preset: str = "small"
    budget: float | None = None  # seconds
    base_kimg: float | None = None
    kimg: float | None = None
    pretrain_iter: int | None = None
    iter: int | None = None
    student_iter: int | None = None
    one_iter: int | None = None
    code_iter: int | None = None
    dual_iter: int | None = None
    batch: int = 16  # of the generator's training
    most_channels: int | None = None
    most: int = 500  # faces for the student
    device: str = "auto"
    seed: int = 0


def check(wish: Wish) -> None:
    """Raises VtoonError for what cannot be made, in one line."""
    if not re.fullmatch(r"[A-Za-z][\w-]*", wish.name):
        raise VtoonError(f"{wish.name!r}: a style's name begins with a letter and has letters, digits, _ and - alone")
    if not wish.drawings.is_dir():
        raise VtoonError(f"--drawings {wish.drawings}: not a folder of pictures")
    if not pictures_in(wish.drawings):
        raise VtoonError(f"--drawings {wish.drawings}: no picture in it; one is enough to begin with")
    if wish.faces is None and wish.base is None:
        raise VtoonError("what draws faces is missing: --base GENERATOR, or --faces FOLDER to teach one from nothing")
    if wish.faces is not None and not wish.faces.is_dir():
        raise VtoonError(f"--faces {wish.faces}: not a folder of pictures")
    if wish.faces is not None and len(pictures_in(wish.faces)) < 2:
        raise VtoonError(f"--faces {wish.faces}: too few pictures in it; hundreds are a start, thousands better")
    if wish.clip is not None and not wish.clip.is_file():
        raise VtoonError(f"--clip {wish.clip}: no such file")
    if wish.size is not None and wish.size not in SIZES:
        raise VtoonError(f"--size {wish.size}: it must be {', '.join(map(str, SIZES))} px")
    _check_numbers(wish)


def _check_numbers(wish: Wish) -> None:
    lengths = ("base_kimg", "kimg", "pretrain_iter", "iter", "student_iter", "one_iter", "code_iter", "dual_iter")
    for name in ("budget", *lengths, "batch", "most", "most_channels"):
        value = getattr(wish, name)
        if value is not None and not 0 < value < 1e9:
            raise VtoonError(f"--{name} is {value:g}; it must be above 0")


def pictures_in(folder: Path) -> list[Path]:
    """Image files of a folder and those below it."""
    from vtoon.image import PHOTO_SUFFIXES  # with PyTorch, for which no plan has to wait

    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES and p.is_file())


def seconds_of(text: str) -> float:
    """ "2h", "90m", "1h30m", "45s" to seconds. Raises VtoonError for anything else."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
    if not match or not any(match.groups()):
        raise VtoonError(f"--budget {text!r}: write hours, minutes, seconds, as in 2h, 90m or 1h30m")
    return sum(float(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True))


def shown(seconds: float) -> str:
    """A length of time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"
