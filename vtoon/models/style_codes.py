"""The built-in model's stand-in for the pSp encoder: a learned W+ code for each look, moved by size and tone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vtoon.models.face_net import TONES, zoom_of

TONE_GAIN = 4.0  # tones differ by about a quarter between faces


class StyleCodes(nn.Module):
    """w+ = look + log2(eye distance / 96) * zoom + clip(tones) @ tone

    The zoom direction tells the network how large a face it is drawing, so that lines keep their width relative to it;
    the tone directions how light its skin is and how strong its contrast, so that flat tones fall where an artist who
    sees the whole face would put them. Tones beyond those of the training (haze) are taken for the last of them.
    """

    def __init__(self, looks: Sequence[str], rows: int, dim: int) -> None:
        super().__init__()
        self.names = list(looks)
        self.looks = nn.Parameter(torch.randn(len(self.names), rows, dim))
        self.zoom = nn.Parameter(torch.randn(rows, dim) * 0.1)
        self.tone = nn.Parameter(torch.randn(TONES, rows, dim) * 0.1)
        self.register_buffer("tone_range", torch.tensor([[-1.0], [1.0]]).repeat(1, TONES))  # lowest, highest

    def forward(self, look: Tensor, eye_distance: Tensor, tones: Tensor) -> Tensor:
        """look: long [N]; eye_distance: [N, 1] px; tones: [N, 7], see `face_tones`. Returns w+ [N, rows, dim]."""
        tones = tones.clamp(*self.tone_range)
        tone = torch.einsum("nk,krd->nrd", tones * TONE_GAIN, self.tone)
        return self.looks[look] + zoom_of(eye_distance)[:, :, None] * self.zoom + tone

    def grow(self, looks: Sequence[str]) -> StyleCodes:
        """A copy that holds these looks: known ones keep their code, a new one starts near the first."""
        rows, dim = self.zoom.shape
        grown = StyleCodes(looks, rows, dim)
        with torch.no_grad():
            grown.zoom.copy_(self.zoom)
            grown.tone.copy_(self.tone)
            grown.tone_range.copy_(self.tone_range)
            for i, name in enumerate(grown.names):
                known = name in self.names
                source = self.looks[self.names.index(name) if known else 0]
                grown.looks[i] = source if known else source + torch.randn(rows, dim) / math.sqrt(dim)
        return grown
