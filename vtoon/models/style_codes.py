"""The built-in model's stand-in for the pSp encoder: learned W+ codes, combined by arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

ZOOM_CENTRE = 96.0  # px between the eyes at which the zoom direction has no effect


class StyleCodes(nn.Module):
    """Codes of looks and palettes, and the directions between a photo and a drawing.

    w+ = photo + degree * (look + palette - photo) + log2(eye distance / 96) * zoom

    The look shapes the drawing, the palette (zero for the first one, 'own') recolours it, and the zoom direction tells
    the network how large a face it is drawing, so that lines keep their width relative to the face.
    """

    def __init__(self, looks: Sequence[str], palettes: Sequence[str], rows: int, dim: int) -> None:
        super().__init__()
        self.look_names, self.palette_names = list(looks), list(palettes)
        self.photo = nn.Parameter(torch.randn(rows, dim))
        self.looks = nn.Parameter(torch.randn(len(self.look_names), rows, dim))
        self.palettes = nn.Parameter(torch.randn(len(self.palette_names), rows, dim) * 0.5)
        self.zoom = nn.Parameter(torch.randn(rows, dim) * 0.1)

    def forward(self, look: Tensor, palette: Tensor, degree: Tensor, eye_distance: Tensor) -> Tensor:
        """look, palette: long [N]; degree: [N, 1] in [0, 1]; eye_distance: [N, 1] px. Returns w+ [N, rows, dim]."""
        own = (palette > 0).to(self.palettes.dtype)[:, None, None]
        drawing = self.looks[look] + own * self.palettes[palette]
        zoom = torch.log2(eye_distance / ZOOM_CENTRE)[:, :, None] * self.zoom
        return self.photo + degree[:, :, None] * (drawing - self.photo) + zoom

    def grow(self, looks: Sequence[str], palettes: Sequence[str]) -> StyleCodes:
        """A copy that holds these looks and palettes: known ones keep their code, a new look starts from the first."""
        rows, dim = self.photo.shape
        grown = StyleCodes(looks, palettes, rows, dim)
        with torch.no_grad():
            grown.photo.copy_(self.photo)
            grown.zoom.copy_(self.zoom)
            for i, name in enumerate(grown.look_names):
                known = name in self.look_names
                source = self.looks[self.look_names.index(name) if known else 0]
                grown.looks[i] = source if known else source + torch.randn(rows, dim) / math.sqrt(dim)
            for i, name in enumerate(grown.palette_names):
                if name in self.palette_names:
                    grown.palettes[i] = self.palettes[self.palette_names.index(name)]
        return grown
