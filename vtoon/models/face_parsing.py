"""BiSeNet (Yu et al. 2018, "Bilateral segmentation network for real-time semantic segmentation") for face parsing.

The published 19-class network takes the 1/8 features of its ResNet-18 for the spatial path.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

NUM_CLASSES = 19
WIDTH = 128  # channels of the context path


class ConvBNReLU(nn.Module):
    """Convolution that keeps the size, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class AttentionRefinement(nn.Module):
    """Features weighted by what the whole picture says about their channels (section 3.2, ARM)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(in_channels, WIDTH, 3)
        self.conv_atten = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))).sigmoid()


class ContextPath(nn.Module):
    """ResNet-18, its two coarsest features refined and led back up to 1/8 of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = resnet18(weights=None)
        del self.resnet.fc, self.resnet.avgpool  # the classifier
        self.arm16, self.arm32 = AttentionRefinement(256), AttentionRefinement(512)
        self.conv_head32, self.conv_head16 = ConvBNReLU(WIDTH, WIDTH, 3), ConvBNReLU(WIDTH, WIDTH, 3)
        self.conv_avg = ConvBNReLU(512, WIDTH, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Spatial and context features [N, 128, H/8, W/8] of x [N, 3, H, W]."""
        r = self.resnet
        x = r.layer1(r.maxpool(r.relu(r.bn1(r.conv1(x)))))
        fine = r.layer2(x)  # 1/8
        middle = r.layer3(fine)  # 1/16
        coarse = r.layer4(middle)  # 1/32
        overall = self.conv_avg(coarse.mean((2, 3), keepdim=True))
        context = self.conv_head32(F.interpolate(self.arm32(coarse) + overall, middle.shape[2:]))
        return fine, self.conv_head16(F.interpolate(self.arm16(middle) + context, fine.shape[2:]))


class FeatureFusion(nn.Module):
    """Spatial and context features as one, reweighted by channel (section 3.3, FFM)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convblk = ConvBNReLU(channels, channels, 1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        x = self.convblk(torch.cat([spatial, context], 1))
        return x + x * self.conv2(F.relu(self.conv1(x.mean((2, 3), keepdim=True)))).sigmoid()


class Head(nn.Module):
    """Features to class logits."""

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(in_channels, channels, 3)
        self.conv_out = nn.Conv2d(channels, num_classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """Picture to the logits of the parts of a face. Built without weights: nothing is fetched."""

    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion(2 * WIDTH)
        self.conv_out = Head(2 * WIDTH, 256, num_classes)
        # The heads of the deep supervision (section 3.3): in the published file, of no use after training.
        self.conv_out16, self.conv_out32 = Head(WIDTH, 64, num_classes), Head(WIDTH, 64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, 3, H, W], ImageNet-normalised. Returns logits [N, num_classes, H, W]."""
        logits = self.conv_out(self.ffm(*self.cp(x)))
        return F.interpolate(logits, x.shape[2:], mode="bilinear", align_corners=True)
