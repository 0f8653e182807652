"""How alike two pictures are to the eye: LPIPS (Zhang et al. 2018, "The unreasonable effectiveness of deep features").

VGG16's weights cannot be had everywhere. The declared stand-in is the inside of dlib's face embedding network, which
comes with this project's dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.errors import VtoonError, needs_extra
from vtoon.weights.dlib_embedding import load_face_embedding
from vtoon.weights.torchvision_files import fetched, torchvision_file

CHOICES = ("auto", "lpips", "face", "none")
LPIPS = "LPIPS (VGG16)"
STAND_IN = "the face embedding's features, in place of LPIPS"
VGG_FILE = "vgg16-397923af.pth"  # torchvision's name
LEAST, MOST = 64, 256  # px: what the stand-in's features need, and above which they are only slower


@dataclass(frozen=True)
class Likeness:
    """A distance of pictures [N, 3, H, W] in [-1, 1] from others: [N], 0 for the same."""

    name: str  # what it is, for the user and a file's provenance
    features: Callable[[Tensor], list[Tensor]]
    weights: Sequence[Tensor] | None = None  # of each layer's channels [C]; None: layers count alike

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return self.distance(self.features(a), self.features(b))

    def distance(self, found: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """[N], of features: weighted squared difference of unit vectors, averaged over the picture, summed (eq. 1)."""
        gaps = [(_unit(a) - _unit(b)).square() for a, b in zip(found, wanted, strict=True)]
        weights = self.weights or [1 / len(gaps)] * len(gaps)
        shaped = (w[:, None, None] if isinstance(w, Tensor) else w for w in weights)
        return sum((gap * w).sum(1).mean((1, 2)) for gap, w in zip(gaps, shaped, strict=True))


def load_perceptual(choice: str, device: torch.device | str) -> Likeness | None:
    """'lpips', 'face', 'none', or 'auto': LPIPS where its weights can be had, else the stand-in.

    Raises VtoonError where LPIPS was asked for and cannot be had.
    """
    if choice not in CHOICES:
        raise VtoonError(f"perceptual is {choice!r}; choose {', '.join(CHOICES)}")
    if choice == "none":
        return None
    if not takes_lpips(choice):
        net = load_face_embedding().to(device)
        return Likeness(STAND_IN, lambda images: net.features(_fitting(images)))
    return _lpips(torch.device(device))


def takes_lpips(choice: str) -> bool:
    """Whether a choice is LPIPS here; else it is the stand-in, or none."""
    return choice == "lpips" or (choice == "auto" and vgg_file().is_file())


def vgg_file() -> Path:
    """Where torchvision keeps VGG16's weights."""
    return torchvision_file(VGG_FILE)


def _lpips(device: torch.device) -> Likeness:
    with needs_extra("train"):
        import lpips
    with fetched(VGG_FILE, "VGG16"):
        net = lpips.LPIPS(net="vgg", verbose=False).to(device).requires_grad_(False)
    weights = [lin.model[-1].weight.reshape(-1) for lin in net.lins]
    return Likeness(LPIPS, partial(_vgg_features, net), weights)


def _vgg_features(net: nn.Module, images: Tensor) -> list[Tensor]:
    return list(net.net(net.scaling_layer(images)))


def _fitting(images: Tensor) -> Tensor:
    size = images.shape[-1]
    if size > MOST:
        return F.interpolate(images, (MOST, MOST), mode="area")
    return F.interpolate(images, (2 * LEAST,) * 2, mode="bilinear") if size < 2 * LEAST else images


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-10)
