"""Generators as the teachers of `vtoon distill`: a photo is inverted, drawn, and the drawing put back into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import arg

from vtoon.errors import VtoonError
from vtoon.types import Landmarks

CODES = ("refined_exstyle_code.npy", "exstyle_code.npy")  # beside a DualStyleGAN, the better one first
Paint = Callable[[np.ndarray, Landmarks], np.ndarray]


@dataclass(frozen=True)
class Inversion:
    """Where the teacher is a generator: how photos become its latents."""

    base: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """The generator of faces that inverts, where the teacher is a blended one (toon.pt)."""
    encoder: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """A pSp encoder; without one, each face is searched."""
    search: Annotated[int, arg(metavar="N")] = 200
    """Steps of the search."""
    exstyle_path: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: beside the teacher)")] = None
    """A DualStyleGAN's style codes, of which --teacher_style is one."""


def is_generator(path: Path) -> bool:
    """Whether a file holds a StyleGAN2 or a DualStyleGAN, which draw latents, not photos."""
    from vtoon.weights.published import Kind, is_network_pickle, recognise

    if path.suffix not in (".pt", ".pth", ".pkl") or not path.is_file():
        return False
    return is_network_pickle(path) or recognise(path).kind in (Kind.STYLEGAN2, Kind.DUALSTYLEGAN)


def painter(path: Path, how: Inversion, style: str | None, degree: float | None, device: str) -> Paint:
    """Draws the face of a photo. Raises VtoonError where a file is missing or does not fit."""
    from vtoon.weights.published import Kind, is_network_pickle, recognise

    if how.search < 1:
        raise VtoonError(f"search is {how.search}; it must be 1 or more")
    if not is_network_pickle(path) and recognise(path).kind is Kind.DUALSTYLEGAN:
        return _of_dual(path, how, style, degree, device)
    from vtoon.latent.sampler import load_sampler
    from vtoon.latent.toonify import check_pair

    if how.base is None:
        raise VtoonError(f"{path}: a generator; name that of the faces, which it was made of: --base FILE")
    toon, base = load_sampler(path, device), load_sampler(how.base, device)
    check_pair(base, toon)
    return _painter(base, how, toon.pictures)


def _of_dual(path: Path, how: Inversion, style: str | None, degree: float | None, device: str) -> Paint:
    """One artwork's style: structure to a degree, colours in full."""
    try:
        from vtoon.latent.dual import load_artist
    except ImportError:
        raise VtoonError(f"{path}: a DualStyleGAN; this vtoon draws with it as a VToonify-D alone") from None
    from vtoon.weights.published import load_style_codes

    codes = how.exstyle_path or next((path.with_name(name) for name in CODES if path.with_name(name).is_file()), None)
    if codes is None:
        raise VtoonError(f"{path}: no style codes beside it ({' or '.join(CODES)}); name them with --exstyle_path")
    known = list(load_style_codes(codes).values())
    number = style or "0"
    if not number.isdigit() or int(number) >= len(known):
        raise VtoonError(f"--teacher_style {number}: {codes} has styles 0 to {len(known) - 1}")
    artist = load_artist(path, device)
    extrinsic = artist.w_of(known[int(number)][:, : artist.rows])
    weights = artist.weights(structure=degree)
    return _painter(artist.faces, how, lambda w_plus: artist.pictures(w_plus, extrinsic, weights))


def _painter(faces: object, how: Inversion, draw: Callable[[object], list[np.ndarray]]) -> Paint:
    """`faces`: the generator that inverts; `draw`: of latents w+ [1, L, D]."""
    from vtoon.faces.align import align_face
    from vtoon.latent.invert import encode, invert
    from vtoon.latent.project import ProjectOptions
    from vtoon.latent.toonify import put_back

    def paint(photo: np.ndarray, face: Landmarks) -> np.ndarray:
        square = align_face(photo, face, faces.size)
        if how.encoder:
            w_plus = encode(how.encoder, [square], faces)
        else:
            w_plus = invert(faces, [square], ProjectOptions(steps=how.search))[0].w_plus
        return put_back(photo, face, draw(w_plus)[0])

    return paint
