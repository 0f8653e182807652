"""Discriminators for distillation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm


class PatchDiscriminator(nn.Module):
    """Real or fake, patch by patch, given the style: a projection discriminator (Miyato & Koyama 2018)
    with a 34-pixel view, spectrally normalised so that it needs no gradient penalty."""

    def __init__(self, num_styles: int, width: int = 32) -> None:
        super().__init__()
        sizes = [(3, width, 2), (width, width * 2, 2), (width * 2, width * 4, 1)]
        self.blocks = nn.ModuleList(
            nn.Sequential(spectral_norm(nn.Conv2d(a, b, 4, stride, padding=1)), nn.LeakyReLU(0.2))
            for a, b, stride in sizes
        )
        self.logit = spectral_norm(nn.Conv2d(width * 4, 1, 3, padding=1))
        self.style = spectral_norm(nn.Embedding(num_styles, width * 4))

    def forward(self, x: Tensor, style: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x: [N, 3, H, W] in [-1, 1]; style: long [N]. Returns logits [N, 1, H/4, W/4] and each block's features."""
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        match = torch.einsum("nchw,nc->nhw", x, self.style(style))[:, None]
        return self.logit(x) + match / x.shape[1] ** 0.5, features
