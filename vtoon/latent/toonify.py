"""A photo drawn by a blended generator: aligned, inverted with the generator of faces, drawn, pasted back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.faces.align import align_face, align_matrix
from vtoon.faces.paste import CORE, blend_mask, paste_back
from vtoon.latent.direction import Direction
from vtoon.latent.edit import moved
from vtoon.latent.invert import encode, face_of, invert
from vtoon.latent.project import ProjectOptions
from vtoon.latent.sampler import Sampler, load_codes
from vtoon.types import CropBox, Landmarks

EDGE = 0.08  # of the aligned square's side: over this the drawing fades out at its border


@dataclass(frozen=True)
class Toon:
    """The steps of one photo."""

    aligned: np.ndarray  # uint8 [size, size, 3]
    inverted: np.ndarray  # the same face, edited, as the generator of faces draws it
    drawn: np.ndarray
    image: np.ndarray  # uint8 [H, W, 3], the photo with the drawing in it
    w_plus: Tensor  # [1, L, D], edited
    lowered: str  # by which terms it was inverted, in words


def check_pair(base: Sampler, toon: Sampler) -> None:
    """Raises VtoonError where one generator's latents are none of the other's."""
    if (base.rows, base.dim) != (toon.rows, toon.dim):
        raise VtoonError(
            f"{toon.path} takes latents [{toon.rows}, {toon.dim}], {base.path} gives [{base.rows}, {base.dim}]; "
            "give the generator that it was made of"
        )


def toonify(
    photo: Path,
    base: Sampler,
    toon: Sampler,
    options: ProjectOptions,
    codes: Path | None = None,
    encoder: Path | None = None,
    edits: Sequence[tuple[Direction, float]] = (),
    watch: Callable[[int, Tensor], None] = lambda step, images: None,
) -> Toon:
    """The largest face of a photo drawn by `toon`. `codes`: its latent, where it was projected before (then nothing is
    searched); `encoder`: the search starts at what it says; `edits`: the face is moved so before it is drawn. Raises
    VtoonError where there is no face, or files do not fit."""
    check_pair(base, toon)
    image, landmarks = face_of(photo)
    face = align_face(image, landmarks, base.size)
    if codes:
        w_plus, lowered = load_codes(codes, base)[:1], f"the latent of {codes}"
    else:
        start = encode(encoder, [face], base) if encoder else None
        found, lowered = invert(base, [face], options, start, watch=watch)
        w_plus = found.w_plus
    w_plus = moved(w_plus, edits)
    (inverted,), (drawn,) = base.pictures(w_plus), toon.pictures(w_plus.to(toon.device))
    return Toon(face, inverted, drawn, put_back(image, landmarks, drawn), w_plus, lowered)


def put_back(photo: np.ndarray, landmarks: Landmarks, drawn: np.ndarray) -> np.ndarray:
    """The drawing of the aligned face, uint8 [size, size, 3], at its place in the photo, uint8 [H, W, 3]."""
    height, width = photo.shape[:2]
    size = drawn.shape[0]
    matrix = align_matrix(landmarks, size)  # photo px to px of the drawing
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    toon = cv2.warpAffine(drawn, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    y, x = np.mgrid[:size, :size].astype(np.float32) + 0.5
    rim = np.minimum(np.minimum(x, size - x), np.minimum(y, size - y)) / (EDGE * size)
    square = cv2.warpAffine(np.clip(rim, 0, 1), matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    box = CropBox(1.0, height, width, 0, 0, width, height)
    mask, core = (blend_mask(landmarks, (height, width), box, reach) for reach in (1.0, CORE))
    return paste_back(photo, toon, box, mask * square, core * square)[0]
