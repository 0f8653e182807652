"""What a generator from nothing can learn before there is a discriminator (Bojanowski et al. 2018, "Optimizing the
latent space of generative networks").

One page. A GAN from nothing spends its first hundred thousand pictures on finding out what a face is. Here each picture
has a place given to it, its principal components c (of unit variance, so that normal numbers lie among them), and

    G   minimises  sum_l w_l |L_l(G([c, n])) - L_l(picture)|,    n: normal numbers, L_l: levels of the Laplacian pyramid

first at 32 px, then at each doubling. Of the mapping network only the last layer is taught: the others are set to let
c through. What comes out are faces as blurred as 64 numbers tell them: sharpening them is what D is for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.image import grid, to_uint8
from vtoon.models.stylegan2 import Generator
from vtoon.ops import arithmetic, sent
from vtoon.ops.layers import SQRT2
from vtoon.train.dataset import Dataset
from vtoon.train.distributed import world_size
from vtoon.train.draws import Draws
from vtoon.train.ema import EMA
from vtoon.train.lessons import FinetuneOptions, order_of
from vtoon.train.trainer import Phase
from vtoon.weights.generators import mean_latent
from vtoon.weights.torch_file import save_complete

FIRST = 32  # px: components are of pictures of this size, and the first lesson is
COMPONENTS = 64  # more tell a picture better, and of normal numbers make worse faces
MOST = 20000  # pictures: of more, evenly chosen ones are enough for a start
LR, MAPPING_LR = 3e-3, 0.1  # Adam's; the mapping network keeps its weights a hundredfold
LATE, LATE_LR = 0.6, 0.3  # from that share of the steps on slower, by that factor
WEIGHTS = (1.5, 1.5)  # of the finest levels, as they add most of what is seen; the others count 1
COARSEST = 8  # px
COLUMNS, SEED = 8, 0  # of previews
SLOPE = 0.2  # of the leaky ReLU


@dataclass(frozen=True)
class Shown:
    """One step's pictures."""

    real: Tensor  # [N, 3, s, s] in [-1, 1]: at the size of this step
    z: Tensor  # [N, D]
    noise: tuple[Tensor, ...]  # [N, 1, r, r] for each convolution up to that size


class WarmUp:
    """G."""

    folder_flag = "--outdir"

    def __init__(self, net: Generator, data: Dataset, options: FinetuneOptions, steps: int) -> None:
        """`net`: random; `steps`: of the whole warm-up. Of `options`: batch, mirror, seed, device, dtype."""
        o = self.options = options
        self.data, self.steps = data, steps
        self.chosen = torch.from_numpy(np.linspace(0, len(data) - 1, min(len(data), MOST)).astype(np.int64))
        most = min(COMPONENTS, net.style_dim // 2)
        self.codes = components([self._small(part) for part in self.chosen.split(256)], o.mirror, most)
        self.net = net.to(o.device).train().requires_grad_(False)
        let_through_(net.style, self.codes.shape[2], o.seed)
        for to_rgb in net.to_rgbs:  # what comes later begins by adding nothing
            nn.init.zeros_(to_rgb.conv.weight)
        self.ema = EMA(net, 0.99)
        last = net.style[-1]
        drawing = [p for name, p in net.named_parameters() if not name.startswith("style.")]
        groups = [{"params": drawing, "lr": LR}, {"params": list(last.parameters()), "lr": MAPPING_LR}]
        self.adam = torch.optim.Adam(groups, betas=(0.9, 0.99))
        self.phases = [Phase("G", self.terms, self.adam, max_norm=None)]
        self._side = self.side(0)  # px that were drawn last
        self.state = {"g": self.net, "g_ema": self.ema, "adam": self.adam}
        self.about = {"recipe": "WarmUp", "data": data.about, "processes": str(world_size()), "steps": str(steps),
                      "network": " ".join(f"{r}:{c}" for r, c in net.channels.items()), "batch": str(o.batch),
                      "mirror": str(o.mirror), "seed": str(o.seed)}  # fmt: skip

    def _small(self, indices: Tensor) -> Tensor:
        """Pictures for their components: [n, 3, s, s] in [-1, 1] on the processor."""
        return _shrunk(self._read(indices), min(FIRST, self.data.size)).cpu()

    def _read(self, indices: Tensor, step: int = -1) -> Tensor:
        return self.data.batch(indices, step).permute(0, 3, 1, 2).float() / 127.5 - 1

    def side(self, step: int) -> int:
        """px that are drawn in a step: each size has an equal share of the steps."""
        sizes = [s for s in self.net.channels if s >= min(FIRST, self.net.size)]
        return sizes[min(step * len(sizes) // self.steps, len(sizes) - 1)]

    @torch.no_grad()
    def next_batch(self, step: int) -> Shown:
        o, side = self.options, self.side(step)
        draws = Draws(o.seed, step, o.batch, o.device)
        order = order_of(step, len(self.chosen), o.batch, o.seed)
        turned = (draws.uniform() < 0.5).long() if o.mirror else torch.zeros(o.batch, dtype=torch.long, device=o.device)
        real = _shrunk(self._read(self.chosen[order], step), side)
        real = torch.where(turned.bool()[:, None, None, None], real.flip(3), real)
        code = sent(self.codes[turned.cpu(), order], o.device)
        z = torch.cat([code, draws.normal(self.net.style_dim - code.shape[1])], 1)
        sizes = [4, *(r for k in range(3, int(math.log2(side)) + 1) for r in (2**k, 2**k))]
        return Shown(real, z, tuple(draws.grain(1, r, r) for r in sizes))

    def terms(self, b: Shown) -> dict[str, Tensor]:
        drawn = self.draw(self.net, b.z, b.real.shape[-1], b.noise)
        apart = [(a - b).abs().mean() for a, b in zip(pyramid(drawn), pyramid(b.real), strict=True)]
        return {"apart": sum(w * x for w, x in zip(WEIGHTS + (1.0,) * len(apart), apart, strict=False))}

    def draw(self, net: Generator, z: Tensor, side: int, noise: tuple[Tensor, ...] = ()) -> Tensor:
        """[N, 3, side, side]."""
        kept = [getattr(net.noises, f"noise_{i}") for i in range(net.num_latents - 1)]
        with arithmetic(self.options.device, self.options.dtype):
            grown = net.grow(net.to_w_plus(net.style(z)), [*noise, *kept[len(noise) :]])
            return next(rgb.float() for _, rgb in grown if rgb.shape[-1] == side)

    def end_step(self, step: int) -> None:
        self.ema.update(self.net, step)
        slower = LATE_LR if step + 1 >= LATE * self.steps else 1.0
        for group, rate in zip(self.adam.param_groups, (LR, MAPPING_LR), strict=True):
            group["lr"] = rate * slower
        self._side = self.side(step)

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """A row of pictures, one of the same as they are drawn, three of what normal numbers give."""
        first = self.chosen[:COLUMNS]
        z = torch.randn(len(first) + 3 * COLUMNS, self.net.style_dim, generator=torch.Generator().manual_seed(SEED))
        z[: len(first), : self.codes.shape[2]] = self.codes[0, : len(first)]
        parts = sent(z, self.options.device).split(COLUMNS)
        drawn = torch.cat([self.draw(self.ema.module, part, self._side) for part in parts])
        real = _shrunk(self._read(first), self._side)
        pictures = list(to_uint8(torch.cat([real, drawn])))
        rows = [pictures[: len(first)], pictures[len(first) : 2 * len(first)]]
        return grid(rows + [pictures[i : i + COLUMNS] for i in range(2 * len(first), len(pictures), COLUMNS)])

    def export(self, folder: Path, step: int) -> None:
        """The average as a generator, in the published layout."""
        state = {name: tensor.cpu() for name, tensor in self.ema.state_dict().items()}
        mean = mean_latent(self.ema.module).cpu()
        save_complete({"g": state, "g_ema": state, "latent_avg": mean}, folder / "warm-up.pt")

    def close(self) -> None:
        """The pictures go on being used."""


def components(pictures: list[Tensor], mirror: bool, most: int = COMPONENTS) -> Tensor:
    """The first principal components of pictures [n, 3, s, s], each of unit variance: [1, N, K], or with those of the
    mirrored pictures [2, N, K]."""
    flat = torch.cat([part.flatten(1) for part in pictures])
    turned = torch.cat([part.flip(3).flatten(1) for part in pictures])
    every = torch.cat([flat, turned]) if mirror else flat
    every = every - every.mean(0)
    count = min(most, len(flat) - 1, flat.shape[1])
    with torch.random.fork_rng([]):
        torch.manual_seed(SEED)
        left, *_ = torch.pca_lowrank(every, count, center=False, niter=6)
    return (left * len(every) ** 0.5).unflatten(0, (-1, len(flat)))


def pyramid(x: Tensor) -> Iterator[Tensor]:
    """The Laplacian pyramid of [N, C, s, s] (Burt and Adelson 1983), the finest level first."""
    while x.shape[-1] > COARSEST:
        small = F.avg_pool2d(x, 2)
        yield x - F.interpolate(small, scale_factor=2.0, mode="bilinear")
        x = small
    yield x


@torch.no_grad()
def let_through_(style: nn.Sequential, count: int, seed: int) -> None:
    """Set a mapping network so that its w depends on the first `count` coordinates of z alone, at random, through the
    last layer: the layers before hand x on as the pair leaky(x), leaky(-x), whose difference is 1.2 x. What they do
    with the other coordinates stays as it was, but the last layer does not look at it yet."""
    layers, rng = style[1:], torch.Generator().manual_seed(seed)
    into = torch.eye(count, layers[0].weight.shape[1])  # [count, D]: the coordinates from what comes in
    for layer in layers[:-1]:
        gain = layer.scale * SQRT2
        layer.weight[: 2 * count] = torch.cat([into, -into]).to(layer.weight) / gain
        layer.bias[: 2 * count] = 0
        into = torch.zeros(count, layer.weight.shape[0])
        into[:, :count], into[:, count : 2 * count] = torch.eye(count) / (1 + SLOPE), -torch.eye(count) / (1 + SLOPE)
    last = layers[-1]
    mix = torch.randn(last.weight.shape[0], count, generator=rng) * count**-0.5
    last.weight.copy_(mix @ into / last.scale)
    last.bias.zero_()


def _shrunk(x: Tensor, side: int) -> Tensor:
    return x if x.shape[-1] == side else F.avg_pool2d(x, x.shape[-1] // side)
