"""A network for one style at one degree: everything that depends on these alone is worked out once.

What remains is plain convolutions. Modulation, demodulation, the noise-free bias and the gain of the leaky ReLU go into
their weights; AdaIN's scale and shift, the style MLPs and the degree labels become constants. `VToonify.forward` stays
the only description of the network: its style-dependent layers are replaced by ones that ignore their style, and by
ones that keep to channels_last, in which the wide convolutions of a CPU take half the time.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS, AdaptiveInstanceNorm
from vtoon.models.stylegan2 import StyledConv, ToRGB
from vtoon.models.vtoonify import FIRST_CONV, Fusion, VToonify
from vtoon.ops import FixedConv2d, ModulatedConv2d, channels_last_, doubled, upfirdn2d
from vtoon.ops.layers import SQRT2
from vtoon.ops.winograd import WinogradConv2d, gains, winograd_bytes
from vtoon.system.memory import free_bytes

SPARE = 0.25  # of the free memory: a VToonify-D takes 1.2 GB more for Winograd's method, its pictures take the rest


class BakedNorm(nn.Module):
    """AdaIN with a fixed style."""

    def __init__(self, norm: AdaptiveInstanceNorm, style: Tensor) -> None:
        super().__init__()
        gamma, beta = norm.style(style)[:, :, None, None].chunk(2, 1)
        self.register_buffer("gamma", gamma)
        self.register_buffer("beta", beta)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return torch.addcmul(self.beta, F.instance_norm(x), self.gamma)


class BakedFusion(nn.Module):
    """A Fusion at a fixed degree.

    The mask is a convolution of normalised features, and both are linear but for the statistics: so each channel's
    mean and variance go into the weights, and the features, the widest of the network, are neither joined nor
    normalised. A 3x3 convolution to one channel is nine products for each pixel, added up where they belong.
    """

    def __init__(self, fusion: Fusion, degree: Tensor) -> None:
        super().__init__()
        self.conv = fusion.conv
        gamma, beta = fusion.norm.style(fusion.linear(degree)).view(2, 2, -1)  # of f_g and of the difference
        self.register_buffer("gamma", gamma)
        self.register_buffer("beta", beta)
        # [2, C, 9]; `fold` spreads each pixel to its neighbours, where a convolution gathers them: hence flipped
        taps = fusion.conv2.weight[0].unflatten(0, (2, -1)).flip(2, 3).flatten(2)
        self.register_buffer("taps", taps)
        self.register_buffer("bias", fusion.conv2.bias)

    def forward(self, f_g: Tensor, f_e: Tensor, degree: Tensor) -> tuple[Tensor, Tensor]:
        spread = self._spread(f_g, 0) + self._spread((f_g - f_e).abs(), 1)
        mask = (F.fold(spread, f_g.shape[2:], 3, padding=1) + self.bias).relu().tanh()
        return self.conv(torch.cat([f_g, f_e * mask], 1)), mask

    def _spread(self, x: Tensor, half: int) -> Tensor:
        """What each pixel of x [N, C, H, W] adds to itself and its neighbours: [N, 9, H * W]."""
        mean = x.mean((2, 3), dtype=torch.float32)
        variance = (x - mean[:, :, None, None]).square().mean((2, 3))  # float32: squares do not fit into 16 bits
        scale = self.gamma[half] * torch.rsqrt(variance + 1e-5)  # [N, C]; epsilon as in instance_norm
        shift = (self.beta[half] - mean * scale) @ self.taps[half]  # [N, 9]
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, H * W, C]
        return (pixels @ (scale[:, :, None] * self.taps[half]) + shift[:, None]).transpose(1, 2)


class BakedConv(nn.Module):
    """A StyledConv with a fixed style and no noise: convolution, bias, leaky ReLU."""

    def __init__(self, layer: StyledConv, style: Tensor) -> None:
        super().__init__()
        # The leaky ReLU is homogeneous: its gain can be taken before it.
        self.conv = FixedConv2d(_modulated(layer.conv, style) * SQRT2, layer.activate.bias * SQRT2)

    def forward(self, x: Tensor, style: Tensor, noise: None = None) -> Tensor:
        return F.leaky_relu_(self.conv(x), 0.2)


class BakedUpConv(nn.Module):
    """The same for one that doubles the size: its filter adds the bias."""

    def __init__(self, layer: StyledConv, style: Tensor) -> None:
        super().__init__()
        weight = (_modulated(layer.conv, style) * SQRT2).transpose(0, 1)
        self.blur = layer.conv.blur
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", layer.activate.bias * SQRT2)

    def forward(self, x: Tensor, style: Tensor, noise: None = None) -> Tensor:
        x = F.conv_transpose2d(x, self.weight, stride=2)
        x = upfirdn2d(x, self.blur.kernel, pad=self.blur.pad, bias=self.bias)
        return F.leaky_relu_(x, 0.2)


class BakedToRGB(nn.Module):
    """A ToRGB with a fixed style."""

    def __init__(self, layer: ToRGB, style: Tensor) -> None:
        super().__init__()
        self.conv = FixedConv2d(_modulated(layer.conv, style), layer.bias.flatten())
        self.upsample = doubled if layer.upsample.binomial else layer.upsample

    def forward(self, x: Tensor, style: Tensor, skip: Tensor) -> Tensor:
        return self.conv(x) + self.upsample(skip)


def _modulated(conv: ModulatedConv2d, style: Tensor) -> Tensor:
    """The weights of a modulated convolution for one style [1, D]: [out, in, k, k]."""
    weight = conv.kernels(style)[0] * conv.modulation(style)[0][None, :, None, None]
    if conv.demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
    return weight


@torch.no_grad()
def bake(net: VToonify, style: Tensor, degree: Tensor) -> VToonify:
    """A network that shares what it can with `net` and draws in one style: w+ [1, L, D], at one degree [1, 1].

    It is called like `net`; the style it is given then is ignored, the degree must be the same.
    """
    table: dict[nn.Module, nn.Module] = {}
    rows = [style[:, i] for i in range(style.shape[1])]
    if net.config.backbone == "dualstylegan":
        structure, colour = net.generator.style, net.generator.res[NUM_STRUCTURE_LAYERS:]
        for i, block in enumerate(net.res[1:], start=1):
            table |= {norm: BakedNorm(norm, structure(rows[i])) for norm in (block.norm, block.norm2)}
        for fusion in net.fusion_out:
            table[fusion] = BakedFusion(fusion, degree)
        rows[NUM_STRUCTURE_LAYERS:] = [
            layer(row) for layer, row in zip(colour, rows[NUM_STRUCTURE_LAYERS:], strict=True)
        ]
        table |= {layer: nn.Identity() for layer in (structure, *colour)}
    convs, to_rgbs = net.synthesis.convs, net.synthesis.to_rgbs
    for i in range(FIRST_CONV, len(convs)):
        kind = BakedUpConv if convs[i].conv.upsample else BakedConv
        table[convs[i]] = kind(convs[i], rows[i + 1])
    for k in range(FIRST_CONV // 2, len(to_rgbs)):
        table[to_rgbs[k]] = BakedToRGB(to_rgbs[k], rows[2 * k + 3])
    return replaced(net, table)


@torch.no_grad()
def for_drawing(net: nn.Module, device: torch.device, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The network on its device in the form that draws fastest, without what never runs; other weights are shared.

    On a CPU, in float32, wide convolutions take half the time by Winograd's method (see `vtoon.ops.winograd`). Their
    kernels then are four times as large: where that is more than a share of the free memory, they stay as they are.
    """
    net = replaced(net, {part: nn.Identity() for part in getattr(net, "idle", ())}).to(device)
    if device.type == "cpu" and dtype is torch.float32:
        wide = [conv for conv in net.modules() if gains(conv)]
        if sum(map(winograd_bytes, wide)) < SPARE * free_bytes(device):
            net = replaced(net, {conv: WinogradConv2d(conv) for conv in wide})
    return channels_last_(net)


def replaced(module: nn.Module, table: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """A copy of a tree of modules with some of them exchanged; the rest of the weights are shared, not copied."""
    if module in table:
        return table[module]
    twin = copy.copy(module)
    twin._modules = {name: child and replaced(child, table) for name, child in module._modules.items()}
    return twin
