"""The smallest network of the built-in kind."""

from vtoon.models.face_net import PARTS
from vtoon.models.vtoonify import VToonifyConfig

TINY = VToonifyConfig(
    backbone="toonify",
    in_size=64,
    out_size=64,
    in_channels=4 + len(PARTS),
    style_dim=8,
    mapping_layers=0,
    stem_channels=4,
    channels={4: 4, 8: 4, 16: 4, 32: 8, 64: 4},
    feature_norm=True,
)
