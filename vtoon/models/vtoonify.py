"""VToonify (Yang et al. 2022, "VToonify: controllable high-resolution portrait video style transfer").

One class for the published networks (D: on DualStyleGAN, T: on Toonify) and for the small built-in one. A
fully-convolutional encoder replaces the generator's layers below 32 px; its features are fused into the layers above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS, AdaptiveInstanceNorm, DualStyleGAN, ModResBlock
from vtoon.models.stylegan2 import Generator, published_channels
from vtoon.ops import pixel_norm

BOTTLENECK = 32  # px: where the encoder meets the generator
FIRST_CONV = 6  # generator.convs[6] is the first layer above 32 px
MOD_RES_DILATIONS = (1, 4, 4, 2, 2, 1, 1)  # of res[0..6]; res[0] is in the published files but never used


_WIDEST = 8192  # channels; the widest network known has 512
_ALLOWED = {  # whole numbers, lowest and highest: what a file asks for beyond these is damage
    "in_size": (BOTTLENECK, 4096),
    "out_size": (BOTTLENECK, 4096),
    "in_channels": (1, _WIDEST),
    "out_channels": (3, 48),
    "style_dim": (1, _WIDEST),
    "mapping_layers": (0, 64),
    "stem_channels": (1, _WIDEST),
    "kernel_bank": (0, 1024),
    "feature_norm": (False, True),
    "extrinsic_blocks": (False, True),
}


def _check(name: str, value: object, low: int, high: int) -> int:
    if type(value) is not type(low) or not low <= value <= high:
        raise ValueError(f"{name} is {_shown(value)}; it must be a {type(low).__name__} from {low} to {high}")
    return value


def _shown(value: object) -> str:
    return repr(value)[:40]


@dataclass(frozen=True)
class VToonifyConfig:
    """Everything that decides the network's shape. The defaults are the published VToonify-D."""

    backbone: str = "dualstylegan"  # or "toonify"
    in_size: int = 256  # px, nominal: any multiple of 8 works
    out_size: int = 1024
    in_channels: int = 22  # RGB and 19 parsing logits; 3 without a parsing network
    out_channels: int = 3  # of the picture: 3 for each pixel of a square that is drawn as one; not with dualstylegan
    style_dim: int = 512
    mapping_layers: int = 8
    stem_channels: int = 32
    channels: dict[int, int] = field(default_factory=published_channels)  # resolution -> channels
    feature_norm: bool = False  # PixelNorm in the encoder, for training without a pretrained generator
    kernel_bank: int = 0  # kernels that the style mixes into those of each modulated convolution
    extrinsic_blocks: bool = True  # carry DualStyleGAN's own ModRes blocks, which inference never runs

    def __post_init__(self) -> None:
        if self.backbone not in ("dualstylegan", "toonify"):
            raise ValueError(f"backbone is {self.backbone!r}; it must be 'dualstylegan' or 'toonify'")
        for name, (low, high) in _ALLOWED.items():
            _check(name, getattr(self, name), low, high)
        if self.out_channels != 3 * math.isqrt(self.out_channels // 3) ** 2:
            raise ValueError(f"out_channels is {self.out_channels}; it must be 3, 12, 27 or 48")
        if self.out_channels != 3 and self.backbone == "dualstylegan":
            raise ValueError(f"out_channels is {self.out_channels}; a DualStyleGAN draws 3")
        for name in ("in_size", "out_size"):
            if getattr(self, name).bit_count() != 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a power of two")
        if not isinstance(self.channels, Mapping):
            raise ValueError(f"channels is {_shown(self.channels)}; it must name the channels of each resolution")
        channels = {int(k): _check(f"channels of {k!s:.9} px", v, 1, _WIDEST) for k, v in self.channels.items()}
        missing = {4 << k for k in range(self.out_size.bit_length() - 2)} - channels.keys()
        if missing:
            raise ValueError(f"channels lacks {min(missing)} px")
        object.__setattr__(self, "channels", channels)

    @property
    def num_latents(self) -> int:
        """Rows of a style code."""
        return 2 * int(math.log2(self.out_size)) - 2

    @property
    def fold(self) -> int:
        """Side, px, of the square that is drawn as one pixel."""
        return math.isqrt(self.out_channels // 3)

    @property
    def upscale(self) -> int:
        """Output pixels per input pixel."""
        return self.out_size // self.in_size

    def to_dict(self) -> dict:
        return asdict(self)


class ResBlock(nn.Module):
    """The encoder's residual block, output divided by sqrt 2 to keep the variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.lrelu = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        out = self.lrelu(self.conv2(self.lrelu(self.conv(x))))
        return (out + x) / math.sqrt(2)


class Fusion(nn.Module):
    """Degree-aware fusion: a mask predicted from both features decides how much of the encoder's comes through."""

    def __init__(self, channels: int, label_dim: int = 128) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels * 2, channels, 3, padding=1)
        self.norm = AdaptiveInstanceNorm(channels * 2, label_dim)
        self.conv2 = nn.Conv2d(channels * 2, 1, 3, padding=1)
        self.linear = nn.Sequential(nn.Linear(1, 64), nn.LeakyReLU(0.2), nn.Linear(64, label_dim), nn.LeakyReLU(0.2))

    def forward(self, f_g: Tensor, f_e: Tensor, degree: Tensor) -> tuple[Tensor, Tensor]:
        """Generator and encoder features [N, C, H, W], degree [N, 1] -> fused [N, C, H, W], mask [N, 1, H, W]."""
        seen = self.norm(torch.cat([f_g, (f_g - f_e).abs()], 1), self.linear(degree))
        mask = self.conv2(seen).relu().tanh()
        return self.conv(torch.cat([f_g, f_e * mask], 1)), mask


class VToonify(nn.Module):
    """Photo (and parsing logits) to drawing at `upscale` times the size. H and W must be multiples of 8."""

    def __init__(self, config: VToonifyConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VToonifyConfig()
        self.checkpointing = False  # training with less memory and a third more work
        c, dual = config.channels, config.backbone == "dualstylegan"
        if dual:
            extrinsic = c[BOTTLENECK] if config.extrinsic_blocks else 0
            self.generator = DualStyleGAN(config.out_size, config.style_dim, config.mapping_layers, c, extrinsic)
        else:
            banks = {r: config.kernel_bank for r in c if r > BOTTLENECK}  # the layers below never run
            shape = config.out_size, config.style_dim, config.mapping_layers, c, banks, config.out_channels
            self.generator = Generator(*shape)
        levels = [2**k for k in range(int(math.log2(config.in_size)), int(math.log2(BOTTLENECK)) - 1, -1)]
        self.encoder = self._build_encoder(config, levels)
        fused = levels[::-1]  # 32 px first
        # A network that does not enlarge has no layer above the finest feature to fuse it before: `forward` fuses it
        # between the last two convolutions, into the features only.
        self.fuses_last = config.out_size == config.in_size
        skipped = fused[:-1] if self.fuses_last else fused
        rgb = config.out_channels
        self.fusion_skip = nn.ModuleList(nn.Conv2d(c[r] + rgb, rgb, 3, padding=1) for r in skipped)
        if dual:
            self.fusion_out = nn.ModuleList(Fusion(c[r]) for r in fused)
            self.res = nn.ModuleList(
                ModResBlock(c[BOTTLENECK], config.style_dim, dilation) for dilation in MOD_RES_DILATIONS
            )
        else:
            self.fusion_out = nn.ModuleList(nn.Conv2d(c[r] * 2, c[r], 3, padding=1) for r in fused)
        self._init_new_layers()

    @staticmethod
    def _build_encoder(config: VToonifyConfig, levels: list[int]) -> nn.ModuleList:
        c, act = config.channels, lambda: nn.LeakyReLU(0.2)
        stem, first = config.stem_channels, c[levels[0]]
        encoder = nn.ModuleList()
        encoder.append(
            nn.Sequential(
                nn.Conv2d(config.in_channels, stem, 3, padding=1), act(), nn.Conv2d(stem, first, 3, padding=1), act()
            )
        )
        for above, here in pairwise(levels):
            down = nn.Conv2d(c[above], c[here], 3, stride=2, padding=1)
            encoder.append(nn.Sequential(down, act(), nn.Conv2d(c[here], c[here], 3, padding=1), act()))
        encoder.append(nn.ModuleList(ResBlock(c[BOTTLENECK]) for _ in range(NUM_STRUCTURE_LAYERS - 1)))
        encoder.append(nn.Conv2d(c[BOTTLENECK], config.out_channels, 1))
        return encoder

    def _init_new_layers(self) -> None:
        """Kaiming for the encoder; each fusion starts as 'pass the generator's feature on' (VToonify, section 4.2)."""
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2, mode="fan_in")
                nn.init.zeros_(module.bias)
        for layer in (*self.fusion_out, *self.fusion_skip):
            conv = layer.conv if isinstance(layer, Fusion) else layer
            with torch.no_grad():
                nn.init.kaiming_normal_(conv.weight, a=0.2, mode="fan_in").mul_(0.01)
                nn.init.dirac_(identity := torch.zeros_like(conv.weight))
                conv.weight += identity
                conv.bias.zero_()

    @torch.no_grad()
    def open_fusion(self) -> None:
        """For training without a pretrained generator: let the encoder's features through from the start.

        The initialisation above protects what a pretrained generator knows; with nothing to protect it only starves
        the finer levels, which then stay blurred for thousands of steps.
        """
        for fusion in self.fusion_out:
            conv = fusion.conv if isinstance(fusion, Fusion) else fusion
            nn.init.kaiming_normal_(conv.weight[:, conv.weight.shape[0] :], a=0.2, mode="fan_in")
        # Noise in the first pictures would be unlearned the fastest way there is, by silencing every feature.
        for to_picture in (self.encoder[-1], *(layer.conv for layer in self.synthesis.to_rgbs)):
            to_picture.weight.mul_(0.02)

    @property
    def trained(self) -> nn.ModuleDict:
        """What distillation trains, under the published names; generator and ModRes blocks stay as they are."""
        names = ("encoder", "fusion_out", "fusion_skip")
        return nn.ModuleDict({name: getattr(self, name) for name in names})

    @property
    def idle(self) -> list[nn.Module]:
        """What is in the published files but never runs."""
        dual = self.config.backbone == "dualstylegan"
        return [self.res[0], *self.generator.res[:NUM_STRUCTURE_LAYERS]] if dual else []

    @property
    def synthesis(self) -> Generator:
        """The StyleGAN2 generator inside."""
        return self.generator.generator if isinstance(self.generator, DualStyleGAN) else self.generator

    def zplus2wplus(self, z_plus: Tensor) -> Tensor:
        """[N, L, D] in Z+ to W+, row by row through the mapping network."""
        return self.synthesis.zplus2wplus(z_plus)

    def encode(self, x: Tensor, style: Tensor, degree: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The start for the generator (feature and RGB skip at 1/8 of the size) and the encoder features."""
        features = []
        for block in self.encoder[:-2]:
            x = block(x)
            x = pixel_norm(x) if self.config.feature_norm and features else x
            features.append(x)
        for i, block in enumerate(self.encoder[-2], start=1):
            x = block(x)
            if self.config.backbone == "dualstylegan":
                x = self.res[i](x, self.generator.style(style[:, i]), degree)
            x = pixel_norm(x) if self.config.feature_norm else x
        return x, self.encoder[-1](x), features[::-1]

    def _fuse(self, k: int, f_g: Tensor, f_e: Tensor, degree: Tensor, masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The features of generator and encoder as one, and what comes through of the encoder's."""
        if self.config.backbone == "toonify":
            return self.fusion_out[k](torch.cat([f_g, f_e], 1)), f_e
        out, mask = self.fusion_out[k](f_g, f_e, degree)
        masks.append(mask)
        return out, f_e * mask

    def _level(
        self, k: int, out: Tensor, skip: Tensor, f_e: Tensor | None, last: Tensor | None, style: Tensor, degree: Tensor
    ) -> tuple[Tensor, ...]:
        """Generator level k: fused with the encoder's feature, where there is one, and drawn at twice the size.

        Returns feature, RGB, and the fusion mask, where there is one. `last`: a feature to fuse before the last
        convolution.
        """
        g, i, masks = self.synthesis, FIRST_CONV + 2 * k, []
        if f_e is not None:
            out, f_e = self._fuse(k, out, f_e, degree, masks)
            skip = self.fusion_skip[k](torch.cat([skip, f_e], 1))
        out = g.convs[i](out, style[:, i + 1])
        if last is not None:
            out, _ = self._fuse(-1, out, last, degree, masks)
        out = g.convs[i + 1](out, style[:, i + 2])
        return out, g.to_rgbs[i // 2](out, style[:, i + 3], skip), *masks

    def _run(self, part: Callable[..., tuple[Tensor, ...]], *args: object) -> tuple[Tensor, ...]:
        """A part of the network; when checkpointing, its features are made again in the backward pass instead of kept
        (Chen et al. 2016, "Training deep nets with sublinear memory cost")."""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(part, *args, use_reentrant=False)
        return part(*args)

    def forward(
        self, x: Tensor, style: Tensor, degree: Tensor | None = None, return_masks: bool = False
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """x: [N, in_channels, H, W], RGB in [-1, 1] (then logits / 16); style: W+ [N, L, D]; degree: [N, 1] in [0, 1].

        Returns RGB [N, out_channels, H * upscale, W * upscale], about [-1, 1], and with `return_masks` the
        fusion masks too.
        """
        dual, masks = self.config.backbone == "dualstylegan", []
        degree = x.new_full((x.shape[0], 1), 0.5) if degree is None else degree
        out, skip, features = self._run(self.encode, x, style, degree)
        if dual:
            style = self.generator.transform_color(style)
        for k in range(len(self.synthesis.convs[FIRST_CONV:]) // 2):
            f_e = features[k] if k < len(self.fusion_skip) else None
            last = features[-1] if self.fuses_last and k + 1 == len(self.synthesis.convs[FIRST_CONV:]) // 2 else None
            out, skip, *mask = self._run(self._level, k, out, skip, f_e, last, style, degree)
            masks += mask
        return (skip, masks) if return_masks else skip
