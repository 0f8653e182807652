"""What VGG19 (Simonyan & Zisserman 2015) sees in pictures: the features of DualStyleGAN's perceptual, contextual and
style terms.

Its weights are torchvision's and cannot be had everywhere. The declared stand-in is, as for LPIPS, the inside of dlib's
face embedding network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.errors import VtoonError
from vtoon.weights.dlib_embedding import load_face_embedding
from vtoon.weights.torchvision_files import fetched, torchvision_file

VGG_FILE = "vgg19-dcbb9e9d.pth"  # torchvision's name
CHOICES = ("auto", "vgg", "face")
VGG19 = "VGG19"
STAND_IN = "the face embedding's features, in place of VGG19"
ENDS = (1, 6, 11)  # relu1_1, relu2_1, relu3_1 among torchvision's layers
STAND_IN_LAYERS = (0, 3, 7)  # strides 2, 4, 8
SIZE = 256  # px: larger pictures are made smaller first
LEAST = 128  # px: what the stand-in needs
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB in 0..1


@dataclass(frozen=True)
class Sight:
    """Features of pictures [N, 3, S, S] in [-1, 1] at three levels, [N, C, s, s] each, from fine to coarse."""

    name: str  # what it is, for the user and a file's provenance
    features: Callable[[Tensor], list[Tensor]]


class Vgg19(nn.Module):
    """The first layers, frozen."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.layers = layers[: ENDS[-1] + 1].eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        x, found = ((reduced(images.float()) + 1) / 2 - self.mean) / self.std, []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in ENDS:
                found.append(x)
        return found


def load_vgg19(choice: str, device: torch.device | str) -> Sight:
    """'vgg', 'face', or 'auto': VGG19 where its weights are here already, else the stand-in.

    Raises VtoonError where VGG19 was asked for and cannot be had.
    """
    if choice not in CHOICES:
        raise VtoonError(f"perceptual is {choice!r}; choose {', '.join(CHOICES)}")
    if choice == "face" or (choice == "auto" and not vgg19_file().is_file()):
        net = load_face_embedding().to(device)
        return Sight(STAND_IN, lambda images: net.features(_enlarged(reduced(images.float())), STAND_IN_LAYERS))
    return Sight(VGG19, _vgg19().to(device))


def vgg19_file() -> Path:
    """Where torchvision keeps VGG19's weights."""
    return torchvision_file(VGG_FILE)


def _vgg19() -> Vgg19:
    from torchvision.models import VGG19_Weights, vgg19

    with fetched(VGG_FILE, "VGG19"):
        return Vgg19(vgg19(weights=VGG19_Weights.IMAGENET1K_V1).features)


def reduced(images: Tensor, size: int = SIZE) -> Tensor:
    """Pictures [N, C, S, S] of at most `size` px, by area."""
    return F.interpolate(images, (size, size), mode="area") if images.shape[-1] > size else images


def _enlarged(images: Tensor) -> Tensor:
    return F.interpolate(images, (LEAST, LEAST), mode="bilinear") if images.shape[-1] < LEAST else images
