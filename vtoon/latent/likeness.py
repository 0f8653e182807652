"""How alike two pictures are to the eye, and whether they show one person: what projection lowers.

LPIPS' and VGG's weights cannot be had everywhere. The declared stand-in is the inside of dlib's face embedding network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.faces.detect import FaceDetector
from vtoon.image import to_uint8
from vtoon.models.face_embedding import FaceEmbedding, chip_matrix, face_chips
from vtoon.types import Landmarks
from vtoon.weights.dlib_embedding import load_face_embedding

STAND_IN = "the face embedding's features, in place of LPIPS"
LEAST, MOST = 64, 256  # px: what the features need, and above which they are only slower


@dataclass(frozen=True)
class Likeness:
    """A distance of pictures [N, 3, H, W] in [-1, 1] from others: [N], 0 for the same."""

    name: str  # what it is, for the user
    features: Callable[[Tensor], list[Tensor]]

    def distance(self, found: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """[N], of features: squared difference of unit vectors, averaged over the picture, over layers."""
        gaps = [(_unit(a) - _unit(b)).square().sum(1).mean((1, 2)) for a, b in zip(found, wanted, strict=True)]
        return torch.stack(gaps).mean(0)


def find_likeness(device: torch.device) -> Likeness:
    """The best perceptual distance that is here."""
    net = load_face_embedding().to(device)
    return Likeness(STAND_IN, lambda images: net.features(_fitting(images)))


def _fitting(images: Tensor) -> Tensor:
    size = images.shape[-1]
    if size > MOST:
        return F.interpolate(images, (MOST, MOST), mode="area")
    return F.interpolate(images, (2 * LEAST,) * 2, mode="bilinear") if size < 2 * LEAST else images


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-10)


class Identity:
    """Whether drawn faces are the persons of the targets: 1 - cosine of face embeddings, in the target's pose."""

    def __init__(self, targets: Tensor, landmarks: list[Landmarks | None]) -> None:
        """targets: [N, 3, H, W]; a target without landmarks has no say."""
        self._net: FaceEmbedding = load_face_embedding().to(targets.device)
        known = [face is not None for face in landmarks]
        self._known = torch.tensor(known, device=targets.device)
        matrices = [chip_matrix(face) if face is not None else np.eye(2, 3) for face in landmarks]
        self._matrices = torch.tensor(np.stack(matrices), dtype=torch.float32, device=targets.device)
        with torch.no_grad():
            self._wanted = self._embed(targets)

    def distance(self, images: Tensor) -> Tensor:
        """[N] in [0, 2]."""
        return (1 - F.cosine_similarity(self._embed(images), self._wanted)) * self._known

    def _embed(self, images: Tensor) -> Tensor:
        return self._net(face_chips(images, self._matrices))


def find_landmarks(images: Tensor, detector: FaceDetector | None = None) -> list[Landmarks | None]:
    """Of the largest face of each picture [N, 3, H, W]."""
    detector = detector or FaceDetector()
    return [next(iter(detector.detect(image)), None) for image in to_uint8(images)]
