"""The built-in model: a small VToonify and the codes of its looks and palettes."""

from __future__ import annotations

from torch import Tensor, nn

from vtoon.models.style_codes import StyleCodes
from vtoon.models.vtoonify import VToonify, VToonifyConfig

# Under 10 GFLOP at 256x256. Most of it is spent at 64 and 128 px, where lines and textures are made.
SMALL = VToonifyConfig(
    in_size=256,
    out_size=256,
    in_channels=3,
    style_dim=64,
    mapping_layers=0,
    stem_channels=12,
    channels={4: 4, 8: 4, 16: 4, 32: 80, 64: 80, 128: 44, 256: 16},
    normalize=False,
    mask_activation="sigmoid",
    feature_norm=True,
    extrinsic_blocks=False,
)


class BuiltinVToonify(nn.Module):
    """Photo to drawing at the same size, by look, palette and degree."""

    def __init__(self, looks: list[str], palettes: list[str], config: VToonifyConfig = SMALL) -> None:
        super().__init__()
        self.net = VToonify(config)
        self.net.open_fusion()
        self.codes = StyleCodes(looks, palettes, config.num_latents, config.style_dim)

    def forward(self, x: Tensor, look: Tensor, palette: Tensor, degree: Tensor, eye_distance: Tensor) -> Tensor:
        """x: [N, 3, H, W] in [-1, 1]; look, palette: long [N]; degree [N, 1] in [0, 1]; eye_distance [N, 1] px."""
        return self.net(x, self.codes(look, palette, degree, eye_distance), degree)
