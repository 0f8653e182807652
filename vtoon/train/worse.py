"""`views.degrade` for a whole batch on the device: blur, noise, JPEG's blocks, some enlarged.

Images are [N, 3, S, S] in [0, 255], S a multiple of 8. What is random is drawn on the host: the same on every device.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ENLARGED, BLURRED, NOISY, PACKED = 0.33, 0.25, 0.3, 0.35  # shares, as in `views.degrade`
SMALLER = (1.3, 1.6, 2.0, 2.5, 3.0)  # by which factor some were smaller
BLOCK = 8
# JPEG's example tables (ITU-T T.81, annex K): how coarsely each frequency is kept at quality 50.
LUMA_TABLE = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
CHROMA_TABLE = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def worse(rng: np.random.Generator, x: Tensor) -> Tensor:
    """A batch as cameras, codecs and distance would have it; the same shape and range."""
    size = x.shape[-1]
    groups = np.where(rng.random(len(x)) < ENLARGED, rng.integers(1, 1 + len(SMALLER), len(x)), 0)
    out = torch.empty_like(x)
    for group in np.unique(groups):
        index = torch.from_numpy(np.flatnonzero(groups == group)).to(x.device)
        part = x[index]
        if group:
            small = max(BLOCK, round(size / SMALLER[group - 1] / BLOCK) * BLOCK)
            part = F.interpolate(part, size=(small, small), mode="area")
        part = packed(rng, noisy(rng, blurred(rng, part)))
        if group:
            part = F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False)
        out[index] = part
    return out.clamp(0, 255)


def blurred(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Some pictures out of focus, sigma up to 1.2 px."""
    sigma = np.where(rng.random(len(x)) < BLURRED, rng.uniform(0.4, 1.2, len(x)), 1e-3)
    t = np.arange(-3, 4)
    kernel = np.exp(-0.5 * (t / sigma[:, None]) ** 2)
    return filtered(x, torch.from_numpy((kernel / kernel.sum(1, keepdims=True)).astype(np.float32)).to(x.device))


def filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """[N, C, H, W] by a kernel [N or 1, 2 r + 1] along both sides, mirrored at the border. Sums of shifted pictures:
    the number of pictures changes from call to call, for each of which a convolution would look for its best way."""
    reach = kernel.shape[1] // 2
    taps = kernel[:, :, None, None, None].unbind(1)
    x = F.pad(x, (reach,) * 4, mode="reflect")
    height, width = x.shape[2] - 2 * reach, x.shape[3] - 2 * reach
    x = sum(tap * x[..., k : k + width] for k, tap in enumerate(taps))
    return sum(tap * x[..., k : k + height, :] for k, tap in enumerate(taps))


def noisy(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Some pictures with grain, up to 6 levels."""
    level = np.where(rng.random(len(x)) < NOISY, rng.uniform(1, 6, len(x)), 0).astype(np.float32)
    seed = torch.Generator(x.device).manual_seed(int(rng.integers(2**62)))
    grain = torch.randn(x.shape, generator=seed, device=x.device)
    return (x + grain * torch.from_numpy(level).to(x.device)[:, None, None, None]).clamp(0, 255)


def packed(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Some pictures as JPEG leaves them, quality 40 to 95, chroma at half the size."""
    chosen = np.flatnonzero(rng.random(len(x)) < PACKED)
    quality = rng.uniform(40, 95, len(x))[chosen].astype(np.float32)
    if not len(chosen):
        return x
    index = torch.from_numpy(chosen).to(x.device)
    x = x.clone()
    x[index] = jpeg(x[index], torch.from_numpy(quality).to(x.device))
    return x


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """[N, 3, H, W] in [0, 255] through JPEG's transform and rounding; quality [N] in [1, 100].

    Chroma is at half the size where that is a multiple of 8, and whole elsewhere.
    """
    matrix = x.new_tensor(TO_YCC)
    ycc = torch.einsum("ij,njhw->nihw", matrix, x)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    light = _quantised(ycc[:, :1] - 128, _table(LUMA_TABLE, x), scale) + 128
    colour = ycc[:, 1:]
    halved = colour.shape[2] % (2 * BLOCK) == 0 and colour.shape[3] % (2 * BLOCK) == 0
    small = F.avg_pool2d(colour, 2) if halved else colour
    small = _quantised(small, _table(CHROMA_TABLE, x), scale)
    colour = F.interpolate(small, size=colour.shape[2:], mode="bilinear") if halved else small
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(matrix), torch.cat([light, colour], 1)).clamp(0, 255)


def _quantised(x: Tensor, table: Tensor, scale: Tensor) -> Tensor:
    """Blocks of 8x8 px with their frequencies rounded to steps of `table` times `scale` [N]."""
    n, c, h, w = x.shape
    k = torch.arange(BLOCK, device=x.device, dtype=x.dtype)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * torch.pi / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
    basis[0] /= 2**0.5
    blocks = x.reshape(n, c, h // BLOCK, BLOCK, w // BLOCK, BLOCK)
    waves = torch.einsum("ui,ncyixj,vj->ncyuxv", basis, blocks, basis)
    step = (table * scale[:, None, None]).round().clamp_min(1)[:, None, None, :, None, :]
    waves = (waves / step).round() * step
    return torch.einsum("ui,ncyuxv,vj->ncyixj", basis, waves, basis).reshape(n, c, h, w)


def _table(text: str, like: Tensor) -> Tensor:
    return like.new_tensor([float(word) for word in text.split()]).reshape(BLOCK, BLOCK)
