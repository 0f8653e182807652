"""How alike two pictures look wherever their parts lie, told by features: shared by training and by search."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BAND = 0.2  # width h of the kernel: how sharply the nearest feature is preferred
TINY = 1e-5


def contextual_loss(drawn: Tensor, meant: Tensor, band: float = BAND) -> Tensor:
    """Every place of `drawn` looks for its like in `meant`, both [N, C, H, W], anywhere; one number, 0 at best.

    Mechrez et al. 2018, "The contextual loss for image transformation with non-aligned data", equations 1 to 5, with
    the cosine distance about the mean feature of `meant`. Places of a and b may differ in number; memory grows with
    their product.
    """
    mean = meant.mean((0, 2, 3), keepdim=True)
    a, b = (F.normalize(x - mean, dim=1).flatten(2) for x in (drawn, meant))
    distance = 1 - a.transpose(1, 2) @ b  # [N, places of a, places of b]
    relative = distance / (distance.amin(2, keepdim=True) + TINY)  # eq. 2
    affinity = torch.softmax((1 - relative) / band, 2)  # eq. 3, 4
    return -(affinity.amax(1).mean(1) + TINY).log().mean()  # eq. 1, 5


def channel_mean_loss(drawn: Tensor, meant: Tensor) -> Tensor:
    """MSE of the channels' means over the picture, [N, C, H, W] each: the first moment of style (Li et al. 2017,
    "Demystifying neural style transfer")."""
    return F.mse_loss(drawn.mean((2, 3)), meant.mean((2, 3)))
