"""Adaptive discriminator augmentation (Karras et al. 2020, "Training GANs with limited data", section 3, appendix B).

Everything the discriminator sees is changed at random, real or drawn, each kind of change with chance p. Under about
p = 0.8 the generator does not learn to draw the changes, while the discriminator can no longer learn its pictures by
heart. p follows how sure the discriminator is of real pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.ops import affine_resample, sent
from vtoon.train.draws import Draws
from vtoon.train.geometry import scaled, shifted, turned

SHIFT = 0.125  # of the side: largest whole-pixel shift, standard deviation of the other
SCALE = 0.2  # standard deviations, of logarithms to base 2: scale and stretch, contrast, saturation, bands
CONTRAST, SATURATION, BAND = 0.5, 1.0, 1.0
BRIGHTNESS, NOISE, HOLE = 0.2, 0.1, 0.5  # standard deviations of light and noise; side of a hole, of the picture's
DIAGONAL = 1 / math.sqrt(3)  # grey runs along (1, 1, 1)
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)  # Daubechies 1992
BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural pictures in the octaves, from the lowest
OPERATIONS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
LETTERS = {"b": "blit", "g": "geom", "c": "color", "f": "filter", "n": "noise"}
PIPES = {name: [name] for name in OPERATIONS}
PIPES |= {name: [LETTERS[letter] for letter in name] for name in ("bg", "bgc", "bgcf", "bgcfn")}
PIPES["bgcfnc"] = [*PIPES["bgcfn"], "cutout"]


def operations(pipe: str) -> frozenset[str]:
    """Of a pipe's name, or of a list such as "scale,xflip,noise" (names of pipes may be in it)."""
    known = {op: (op,) for group in OPERATIONS.values() for op in group}
    known |= {name: tuple(op for part in parts for op in OPERATIONS[part]) for name, parts in PIPES.items()}
    names = [name.strip() for name in pipe.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise VtoonError(f"augpipe {unknown[0]!r} does not exist; a list of {', '.join(known)}")
    return frozenset(op for name in names for op in known[name])


@dataclass(frozen=True)
class Changes:
    """What happens to each of N pictures; None: nothing of its kind."""

    matrix: Tensor | None = None  # [N, 3, 3], px from the middle, on the processor
    colour: Tensor | None = None  # [N, 3, 4]: RGB and 1 to RGB
    bands: Tensor | None = None  # [N, 4]: gains of the octaves, from the lowest
    noise: Tensor | None = None  # [N, 3, S, S]
    hole: Tensor | None = None  # [N, 3]: middle (x, y) and side, of the picture's side


def draw_changes(draws: Draws, grain: Draws, size: int, p: float, pipe: frozenset[str]) -> Changes | None:
    """`draws`: on the processor; `grain`: on the device where pictures of `size` px are. None where nothing happens."""
    if p <= 0 or not pipe:
        return None
    some = _Chances(draws, pipe, p)
    device = grain.device
    return Changes(
        matrix=_geometry(some, size),
        colour=_on(_colour(some), device),
        bands=_on(_bands(some), device),
        noise=_noise(some, grain, size),
        hole=_on(_hole(some), device),
    )


class _Chances:
    """Values of an operation for each picture: with chance p the drawn one, else the one that changes nothing."""

    def __init__(self, draws: Draws, pipe: frozenset[str], p: float) -> None:
        self.draws, self.pipe, self.p = draws, pipe, p
        self.n = len(draws.uniform())

    def any(self, *names: str) -> bool:
        return bool(self.pipe.intersection(names))

    def __call__(self, name: str, value: Callable[[], Tensor], neutral: float, chance: float | None = None) -> Tensor:
        if name not in self.pipe:
            return torch.full((self.n,), neutral)
        chosen = self.draws.uniform() < (self.p if chance is None else chance)
        return torch.where(chosen, value(), torch.tensor(neutral))

    def signed(self) -> Tensor:
        """[N] in [-1, 1)."""
        return self.draws.uniform() * 2 - 1


def _geometry(some: _Chances, size: int) -> Tensor | None:
    if not some.any(*OPERATIONS["blit"], *OPERATIONS["geom"]):
        return None
    draws = some.draws
    flip = some("xflip", lambda: 1 - 2.0 * draws.integers(2), 1.0)
    matrix = scaled(flip)
    matrix = turned(some("rotate90", lambda: draws.integers(4) * (math.pi / 2), 0.0)) @ matrix
    whole = [some("xint", lambda: torch.round(some.signed() * SHIFT * size), 0.0) for _ in "xy"]
    matrix = shifted(*whole) @ matrix
    even = torch.exp2(some("scale", lambda: draws.normal() * SCALE, 0.0))
    matrix = scaled(even, even) @ matrix
    turns = 1 - math.sqrt(1 - min(some.p, 1.0))  # two turns: together the chance of one
    matrix = turned(some("rotate", lambda: some.signed() * math.pi, 0.0, turns)) @ matrix
    stretch = torch.exp2(some("aniso", lambda: draws.normal() * SCALE, 0.0))
    matrix = scaled(stretch, 1 / stretch) @ matrix
    matrix = turned(some("rotate", lambda: some.signed() * math.pi, 0.0, turns)) @ matrix
    return shifted(*(some("xfrac", lambda: draws.normal() * SHIFT * size, 0.0) for _ in "xy")) @ matrix


def _colour(some: _Chances) -> Tensor | None:
    if not some.any(*OPERATIONS["color"]):
        return None
    draws, eye = some.draws, torch.eye(3)
    grey = torch.full((3, 3), 1 / 3)  # onto the axis of greys
    light = some("brightness", lambda: draws.normal() * BRIGHTNESS, 0.0)
    contrast = torch.exp2(some("contrast", lambda: draws.normal() * CONTRAST, 0.0))
    matrix = contrast[:, None, None] * eye
    shift = (contrast * light)[:, None, None].expand(-1, 3, 1)
    inverted = some("lumaflip", lambda: draws.integers(2).float(), 0.0)
    after = eye - 2 * inverted[:, None, None] * grey
    after = _hue(some("hue", lambda: some.signed() * math.pi, 0.0)) @ after
    vivid = torch.exp2(some("saturation", lambda: draws.normal() * SATURATION, 0.0))
    after = (grey + vivid[:, None, None] * (eye - grey)) @ after
    return after @ torch.cat([matrix, shift], 2)


def _hue(angle: Tensor) -> Tensor:
    """Turns about the axis of greys (Rodrigues' formula): [N] rad to [N, 3, 3]."""
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * DIAGONAL
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return c * torch.eye(3) + s * cross + (1 - c) / 3


def _bands(some: _Chances) -> Tensor | None:
    if not some.any("imgfilter"):
        return None
    gains, power = torch.ones(some.n, len(BAND_POWER)), torch.tensor(BAND_POWER)
    for k in range(len(BAND_POWER)):
        gain = torch.ones_like(gains)
        gain[:, k] = torch.exp2(some("imgfilter", lambda: some.draws.normal() * BAND, 0.0))
        gains = gains * gain * torch.rsqrt((power * gain.square()).sum(1, keepdim=True))  # the power stays as it was
    return gains


def _noise(some: _Chances, grain: Draws, size: int) -> Tensor | None:
    if not some.any("noise"):
        return None
    strength = some("noise", lambda: some.draws.normal().abs() * NOISE, 0.0)
    return sent(strength, grain.device)[:, None, None, None] * grain.grain(3, size, size)


def _hole(some: _Chances) -> Tensor | None:
    if not some.any("cutout"):
        return None
    side = some("cutout", lambda: torch.full((some.n,), HOLE), 0.0)
    return torch.cat([some.draws.uniform(2), side[:, None]], 1)


def _on(x: Tensor | None, device: torch.device) -> Tensor | None:
    return None if x is None else sent(x, device)


def augmented(images: Tensor, changes: Changes | None) -> Tensor:
    """[N, 3, S, S] changed, float32. Differentiable in the pictures, once."""
    if changes is None:
        return images
    x = images.float()
    if changes.matrix is not None:
        x = _moved(x, changes.matrix)
    if changes.colour is not None:
        mixed = torch.einsum("nij,njhw->nihw", changes.colour[:, :, :3], x)
        x = mixed + changes.colour[:, :, 3, None, None]
    if changes.bands is not None:
        x = _filtered(x, changes.bands)
    if changes.noise is not None:
        x = x + changes.noise
    if changes.hole is not None:
        x = x * _outside(changes.hole, *x.shape[2:])
    return x


def _moved(x: Tensor, matrix: Tensor) -> Tensor:
    """Those that move. On a graphics card all, where one does: a batch of another size takes longer to set up."""
    moves = (matrix != torch.eye(3)).flatten(1).any(1)
    if not moves.any():
        return x
    if x.is_cuda or moves.all():
        return affine_resample(x, matrix)
    out = x.clone()
    out[moves] = affine_resample(x[moves], matrix[moves])
    return out


def _filtered(x: Tensor, gains: Tensor) -> Tensor:
    """Octaves amplified: [N, C, H, W] by [N, 4]. What comes in from outside mirrors the border."""
    n, _, h, w = x.shape
    taps = (gains[:, :, None] * band_filters(x.device)).sum(1)  # [N, T], the same to both sides
    pad = min(taps.shape[1] // 2, h - 1, w - 1)
    taps = taps[:, taps.shape[1] // 2 - pad : taps.shape[1] // 2 + pad + 1]
    x = F.pad(x, (pad,) * 4, mode="reflect").transpose(0, 1)  # one group for each picture, its channels one batch
    x = F.conv2d(x, taps[:, None, None, :], groups=n)
    return F.conv2d(x, taps[:, None, :, None], groups=n).transpose(0, 1)


@cache
def band_filters(device: torch.device) -> Tensor:
    """[4, T]: symmetric filters of four octaves, from the lowest, which sum to a single tap: nothing is lost.

    With P and Q = 1 - P the power of SYM2's low and high pass: 1 = Q(z) + P(z) (Q(z^2) + P(z^2) (Q(z^4) + P(z^4))).
    """
    low = torch.tensor(SYM2, dtype=torch.float64)
    p = F.conv1d(low[None, None], low[None, None], padding=len(SYM2) - 1)[0, 0] / low.sum() ** 2
    q = -p
    q[len(SYM2) - 1] += 1
    bands, rest = [], torch.ones(1, dtype=torch.float64)
    for octave in range(len(BAND_POWER) - 1):
        spread = torch.zeros(2**octave * (len(p) - 1) + 1, dtype=torch.float64)
        spread[:: 2**octave] = q
        bands.insert(0, _convolved(rest, spread))
        spread[:: 2**octave] = p
        rest = _convolved(rest, spread)
    bands.insert(0, rest)
    longest = len(rest)
    return torch.stack([F.pad(b, ((longest - len(b)) // 2,) * 2) for b in bands]).float().to(device)


def _convolved(a: Tensor, b: Tensor) -> Tensor:
    return F.conv1d(a[None, None], b.flip(0)[None, None], padding=len(b) - 1)[0, 0]


def _outside(hole: Tensor, height: int, width: int) -> Tensor:
    """[N, 1, H, W]: 0 in the hole, 1 elsewhere."""
    x, y = ((torch.arange(side, device=hole.device) + 0.5) / side for side in (width, height))
    in_x = (x - hole[:, :1]).abs() < hole[:, 2:] / 2  # [N, W]
    in_y = (y - hole[:, 1:2]).abs() < hole[:, 2:] / 2
    return 1 - (in_y[:, :, None] & in_x[:, None, :]).float()[:, None]


class AdaptiveAugment:
    """The chance p, which follows r_t, the mean sign of D's answers to real pictures (equation 1 of the paper).

    Every few batches p goes up where r_t is above the target, else down, by their pictures over `length`.
    """

    def __init__(self, target: float | None = 0.6, length: int = 500_000, every: int = 4, p: float = 0.0) -> None:
        """`target`: None keeps p as it is; `length`: pictures in which p can go from 0 to 1; `every`: batches."""
        self.target, self.length, self.every, self.p = target, length, every, p
        self.r_t = 0.0  # as it was when it was looked at
        self._signs: Tensor | float = 0.0
        self._images, self._batches = 0, 0

    def see(self, logits: Tensor) -> None:
        """Answers to real pictures. Nothing waits for them here."""
        self._signs = self._signs + logits.detach().sign().sum()
        self._images += logits.numel()

    def step(self, combine: Callable[[Iterable[float]], list[float]] = list) -> bool:
        """After a batch: moves p where it is time, and says whether. `combine`: sums over processes."""
        self._batches += 1
        if self._batches % self.every or not self._images:
            return False
        signs, images = combine([float(self._signs), float(self._images)])
        self.r_t = signs / images
        if self.target is not None:
            self.p = min(max(self.p + math.copysign(images / self.length, self.r_t - self.target), 0.0), 1.0)
        self._signs, self._images = 0.0, 0
        return True

    def state_dict(self) -> dict:
        sums = {"signs": float(self._signs), "images": self._images, "batches": self._batches}
        return {"p": self.p, "r_t": self.r_t} | sums

    def load_state_dict(self, state: dict) -> None:
        self.p, self.r_t = float(state["p"]), float(state["r_t"])
        self._signs, self._images, self._batches = float(state["signs"]), state["images"], state["batches"]
