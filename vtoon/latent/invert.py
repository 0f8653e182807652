"""From a picture file to what projection takes: found, aligned, sized; and a start from the encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.faces.align import align_face
from vtoon.faces.detect import FaceDetector
from vtoon.faces.drawn import search
from vtoon.image import load_image, to_tensor
from vtoon.latent.likeness import Identity, find_landmarks
from vtoon.latent.project import Projection, ProjectOptions, project
from vtoon.latent.sampler import Sampler
from vtoon.painters.companions import load_encoder
from vtoon.types import Landmarks
from vtoon.weights.perceptual import load_perceptual

ENCODER_SIZE = 256  # px


def face_of(path: str | Path, hint: str = "") -> tuple[np.ndarray, Landmarks]:
    """A picture, uint8 [H, W, 3], and its largest face. Raises VtoonError where it shows none; `hint`: what to do."""
    image = load_image(path)[0]
    faces, _ = search(FaceDetector(), image)
    if not faces:
        raise VtoonError(f"{path}: no face was found{hint}")
    return image, faces[0]


def aligned(path: str | Path, size: int, align: bool = True) -> np.ndarray:
    """What is projected of a picture, uint8 [size, size, 3]: its largest face aligned, or the middle square of it."""
    if align:
        return align_face(*face_of(path, "; if it is aligned already, add --no-align"), size)
    image = load_image(path)[0]
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side])
    return np.array(square.resize((size, size), Image.Resampling.LANCZOS))


@torch.no_grad()
def encode(encoder_path: Path, images: list[np.ndarray], sampler: Sampler, space: str = "auto") -> Tensor:
    """A start for the search, w+ [N, L, D], by a pSp encoder. `space` of its codes: z+, w+, or auto: by its name.

    The published encoder.pt tells Z+, encoder_wplus.pt W+. Raises VtoonError where it is for another generator.
    """
    encoder = load_encoder(encoder_path).to(sampler.device)
    small = [np.array(Image.fromarray(i).resize((ENCODER_SIZE,) * 2, Image.Resampling.LANCZOS)) for i in images]
    codes = encoder(to_tensor(np.stack(small), sampler.device))
    if tuple(codes.shape[1:]) != (sampler.rows, sampler.dim):
        raise VtoonError(
            f"{encoder_path}: codes of {list(codes.shape[1:])}; {sampler.path} takes [{sampler.rows}, {sampler.dim}]"
        )
    wplus = space == "w+" or (space == "auto" and "wplus" in encoder_path.stem)
    return codes if wplus else sampler.net.zplus2wplus(codes)


def invert(
    sampler: Sampler, images: list[np.ndarray], options: ProjectOptions, start: Tensor | None = None, **watch: object
) -> tuple[Projection, str]:
    """Aligned pictures, uint8 [size, size, 3], to latents; and what was lowered, in words."""
    targets = to_tensor(np.stack(images), sampler.device)
    likeness = load_perceptual("auto", sampler.device) if options.perceptual else None
    landmarks = find_landmarks(targets) if options.identity else []
    identity = Identity(targets, landmarks) if any(landmarks) else None
    found = project(sampler, targets, options, likeness, identity, start, **watch)
    words = [likeness.name if likeness else "", "pixels" if options.pixel else "", "identity" if identity else ""]
    return found, ", ".join(word for word in words if word)
