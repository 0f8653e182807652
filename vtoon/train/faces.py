"""Persons in generated pictures: faces that lie where FFHQ's alignment puts them, as embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.models.face_embedding import CHIP_MEAN, CHIP_PADDING, CHIP_SIZE, FaceEmbedding, face_chips
from vtoon.models.stylegan2 import Generator
from vtoon.train.losses import triplet_loss
from vtoon.weights.dlib_embedding import load_face_embedding

EYES_APART, EYES_HIGH = 0.25, 0.472  # of an aligned picture's side: eye to eye, and how far down they are
MOST = 256  # px: larger pictures are made smaller first, for the chips are cut bilinearly


def aligned_matrix(size: int) -> Tensor:
    """[1, 2, 3]: pixels of an aligned picture to pixels of a face chip, by the middles of the eyes."""
    corners = torch.tensor(CHIP_MEAN[:4])
    right, left = ((corners[i : i + 2].mean(0) + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * CHIP_SIZE for i in (0, 2))
    scale = (right - left).norm() / (EYES_APART * size)
    shift = (right + left) / 2 - scale * torch.tensor([0.5, EYES_HIGH]) * size
    return torch.cat([torch.eye(2) * scale, shift[:, None]], 1)[None]


class AlignedFaces:
    """Embeddings [N, 128] of aligned pictures [N, 3, S, S] in [-1, 1], differentiable."""

    def __init__(self, device: torch.device) -> None:
        """Raises VtoonError where the network's weights are not installed."""
        self.net: FaceEmbedding = load_face_embedding().to(device)

    def __call__(self, images: Tensor) -> Tensor:
        images = images.float()
        if images.shape[-1] > MOST:
            images = F.interpolate(images, (MOST, MOST), mode="area")
        matrix = aligned_matrix(images.shape[-1]).to(images.device)
        return self.net(face_chips(images, matrix.expand(len(images), -1, -1)))


class TripletTerm:
    """Fine-Tooning's term: drawn persons are nearer to those of one generator than to those of another, which draw the
    same z. The published code takes the cosine itself as the distance, which pushes them apart; here it is 1 - cosine.
    """

    def __init__(
        self, positive: Generator, negative: Generator, weight: float, like: Generator, device: torch.device
    ) -> None:
        """`like`: the generator that is taught. Raises VtoonError where another takes other z."""
        for net in (positive, negative):
            if net.style_dim != like.style_dim:
                raise VtoonError(f"--positive and --negative take z of {net.style_dim} numbers, not {like.style_dim}")
        self.others = [net.to(device).eval().requires_grad_(False) for net in (positive, negative)]
        self.weight, self.embed = weight, AlignedFaces(device)

    def __call__(self, images: Tensor, z: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = [self.embed(net(net.to_w_plus(net.style(z)))) for net in self.others]
        return self.weight * triplet_loss(self.embed(images), *wanted)
