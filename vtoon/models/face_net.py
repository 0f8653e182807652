"""What a drawing has to know of the whole face: where its parts are, how each look reshapes it, its tone.

The network that draws sees a neighbourhood; an artist knows whose cheek it is. One small network looks at the whole
face first (the published VToonify has a parsing network and the pSp encoder for this). Shape and appearance are learned
apart, as in WarpGAN (Shi et al. 2019): the photo is warped by a predicted field and only then drawn, so that the
network which draws finds each line where it has to be.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.flow.warp import backward_warp_tensor
from vtoon.image import luma

PARTS = ("eyes", "mouth", "lips", "drawn", "jaw", "skin", "oval", "near")  # soft masks, see train/looks/regions.py
SKIN, NEAR = PARTS.index("skin"), PARTS.index("near")
TONES = 7
POOL = 4  # the face is seen, and its parts are told, at a quarter of its size
CELL = 8  # px of the photo for each value of a field
CHANNELS = (16, 24, 48)  # at 1/8, 1/16 and 1/32
DEPTH = 2 ** len(CHANNELS)  # px of its input for one of its coarsest
DILATIONS = (1, 2, 4, 1)
ZOOM_CENTRE = 96.0  # px between the eyes of a face of middle size
SHARPNESS = 12.0  # of the soft minimum and maximum of a tone


def zoom_of(eye_distance: Tensor) -> Tensor:
    """How large a face is drawn, in octaves: 0 at 96 px between the eyes."""
    return torch.log2(eye_distance / ZOOM_CENTRE)


class FaceNet(nn.Module):
    """A small U-Net over the whole face."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        fine, middle, coarse = CHANNELS
        self.down1, self.down2 = _level(4, fine), _level(fine, middle)
        self.down3 = _level(middle, coarse)
        self.trunk = nn.ModuleList(nn.Conv2d(coarse, coarse, 3, padding=d, dilation=d) for d in DILATIONS)
        self.up2, self.up1 = _conv(coarse + middle, middle), _conv(middle + fine, fine)
        self.up0 = _conv(fine + 4, fine // 2)
        self.fields = nn.Conv2d(fine, 2 * looks, 3, padding=1)
        self.parts = nn.Conv2d(fine // 2, len(PARTS), 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.fields.weight)

    def forward(self, x: Tensor, eye_distance: Tensor) -> tuple[Tensor, Tensor]:
        """x: [N, 3, H, W] in [-1, 1], a quarter of the photo's size; eye_distance: [N, 1] px in the photo.

        Returns the fields [N, looks, 2, H / 2, W / 2] (rounded up), (dx, dy) of each look's backward map at degree 1 in
        eye distances, and the logits of the parts [N, 8, H, W].
        """
        height, width = x.shape[-2:]
        x = torch.cat([x, zoom_of(eye_distance)[:, :, None, None].expand(-1, 1, height, width)], 1)
        # Of a side that cannot be halved three times, what is enlarged again would not lie over what it came from.
        x = F.pad(x, (0, -width % DEPTH, 0, -height % DEPTH), mode="replicate")
        fine = self.down1(x)
        middle = self.down2(fine)
        out = self.down3(middle)
        for conv in self.trunk:
            out = out + F.leaky_relu(conv(out), 0.2)
        out = self.up2(torch.cat([_resized(out, middle), middle], 1))
        out = self.up1(torch.cat([_resized(out, fine), fine], 1))
        parts = self.parts(self.up0(torch.cat([_resized(out, x), x], 1)))
        fields = self.fields(out)[..., : -(-height // 2), : -(-width // 2)]
        return fields.unflatten(1, (-1, 2)), parts[..., :height, :width]


def face_tones(x: Tensor, parts: Tensor) -> Tensor:
    """The tone of a face [N, 7]: mean colour of its skin; mean, spread, darkest and lightest luminance of the head.

    x: [N, 3, h, w] in [-1, 1]; parts: [N, 8, h, w] in [0, 1].
    """
    light = luma(x)
    skin, near = parts[:, SKIN], parts[:, NEAR]

    def mean(values: Tensor, weight: Tensor) -> Tensor:
        return (values * weight).sum((-2, -1)) / (weight.sum((-2, -1)) + 1e-3)

    average = mean(light, near)
    spread = (mean(light.square(), near) - average.square()).clamp_min(0).sqrt()
    low, high = (-s * mean((-s * SHARPNESS * light).exp(), near).clamp_min(1e-6).log() / SHARPNESS for s in (1.0, -1.0))
    return torch.cat([mean(x, skin[:, None]), torch.stack([average, spread, low, high], 1)], 1)


def warp(x: Tensor, field: Tensor) -> Tensor:
    """Pull the pixels of x [N, C, H, W] by a backward map [N, 2, h, w] of any size, in px of x.

    Beyond the border, the border is repeated.
    """
    # Two channels side by side in memory take seven times as long to enlarge.
    offsets = F.interpolate(field.contiguous(), size=x.shape[-2:], mode="bilinear", align_corners=False)
    return backward_warp_tensor(x, offsets)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.LeakyReLU(0.2))


def _level(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs, stride=2), _conv(outputs, outputs))


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
