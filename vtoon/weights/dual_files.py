"""DualStyleGAN's published files: which there are, where they go, and whether what lies there is what belongs there.

They are on no hub that can be asked by name; their authors link them from the project's README.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vtoon.errors import VtoonError
from vtoon.weights.lockfile import Lock, sha256
from vtoon.weights.published import Kind, load

HOME = "https://github.com/williamyang1991/DualStyleGAN"
STYLES = {  # and how many artworks each has
    "cartoon": 317,
    "caricature": 199,
    "anime": 174,
    "arcane": 100,
    "comic": 101,
    "pixar": 122,
    "slamdunk": 120,
    "fantasy": 137,
    "illustration": 156,
    "impasto": 120,
}


@dataclass(frozen=True)
class DualFile:
    """One published file."""

    name: str  # below the folder of checkpoints
    use: str
    kind: Kind | None  # None: not read as it is
    codes: int | None = None  # how many it has


SHARED = (
    DualFile("encoder.pt", "reads faces (Z+): transfer, destylize, pretrain", Kind.STYLE_ENCODER),
    DualFile("encoder_wplus.pt", "reads faces (W+): transfer --wplus", Kind.STYLE_ENCODER),
    DualFile("stylegan2-ffhq-config-f.pt", "the StyleGAN2 of photos: destylize, pretrain", Kind.STYLEGAN2),
    DualFile("generator-pretrain.pt", "the pretrained DualStyleGAN: finetune", Kind.DUALSTYLEGAN),
)


def files_of(styles: Sequence[str] = ()) -> Iterator[DualFile]:
    """What all styles share, and the files of each of `styles` (default: all of them). Raises VtoonError."""
    for style in styles:
        if style not in STYLES:
            near = difflib.get_close_matches(style, STYLES, n=1) or ["cartoon"]
            raise VtoonError(f"{style!r}: no published style; did you mean {near[0]}? ({', '.join(STYLES)})")
    yield from SHARED
    for style in styles or STYLES:
        count = STYLES[style]
        yield DualFile(f"{style}/generator.pt", "draws: transfer, generate, refine", Kind.DUALSTYLEGAN)
        yield DualFile(f"{style}/refined_exstyle_code.npy", "its styles, refined: transfer", Kind.STYLE_CODES, count)
        yield DualFile(f"{style}/exstyle_code.npy", "its styles: transfer, finetune, refine", Kind.STYLE_CODES, count)
        yield DualFile(f"{style}/instyle_code.npy", "the faces in them: finetune, refine", Kind.STYLE_CODES, count)
        yield DualFile(f"{style}/finetune-000600.pt", "the fine-tuned StyleGAN2: destylize", Kind.STYLEGAN2)
        yield DualFile(f"{style}/sampler.pt", "not read: vtoon dual sampler makes one", None)


def state_of(file: DualFile, lock: Lock) -> str:
    """ "missing", "there", or what is wrong with it; what is there and right is recorded in the lock."""
    path = lock.path.parent / file.name
    if not path.is_file():
        return "missing"
    if file.kind is None:
        return "there"
    try:
        found = load(path, file.kind)
        if file.codes is not None and len(found.tensors) != file.codes:
            return f"there, with {len(found.tensors)} styles instead of the published {file.codes}"
        lock.check(file.name, sha256(path))
    except VtoonError as error:
        return f"WRONG: {error}"
    return "there"
