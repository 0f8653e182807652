"""StyleGAN2's building blocks in plain PyTorch: nothing to compile."""

from vtoon.ops.affine import affine_resample
from vtoon.ops.fir import Blur, Upsample, doubled, fir_kernel, upfirdn2d
from vtoon.ops.layers import (
    ConvLayer,
    EqualConv2d,
    EqualLinear,
    FixedConv2d,
    FusedLeakyReLU,
    PixelNorm,
    arithmetic,
    channels_last_,
    full_precision,
    limit_activations_,
    pixel_norm,
    sent,
)
from vtoon.ops.modulated import ModulatedConv2d

__all__ = [
    "Blur",
    "ConvLayer",
    "EqualConv2d",
    "EqualLinear",
    "FixedConv2d",
    "FusedLeakyReLU",
    "ModulatedConv2d",
    "PixelNorm",
    "Upsample",
    "affine_resample",
    "arithmetic",
    "channels_last_",
    "doubled",
    "fir_kernel",
    "full_precision",
    "limit_activations_",
    "pixel_norm",
    "sent",
    "upfirdn2d",
]
