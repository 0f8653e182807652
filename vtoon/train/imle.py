"""The sampler of styles, taught by implicit maximum likelihood: each known code pulls the draw that is nearest to it,
so that none is left out (Li & Malik 2018, "Implicit maximum likelihood estimation", algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS
from vtoon.models.style_sampler import NOISE, StyleSampler
from vtoon.train.draws import Draws

CODES = 1000  # about so many, jittered, stand for the known ones
JITTER = 0.05  # standard deviation
STALE = 50  # steps for which the nearest draws are kept
BATCH = 64
LR = 1e-3
NEAR = 0.05  # spread of the noise about a nearest draw


@dataclass(frozen=True)
class Taught:
    """A sampler and what an unbroken run needs besides."""

    net: StyleSampler
    optimizer: torch.optim.Adam
    pools: dict[str, Tensor]  # the nearest draws' noise [K, 128] of each kind
    step: int

    def content(self) -> dict[str, Any]:
        return {"optim": self.optimizer.state_dict(), "pools": self.pools, "step": self.step}


def jittered(codes: Tensor, seed: int) -> Tensor:
    """About a thousand codes [K, L, D] from those that are known, [N, L, D]."""
    times = -(-CODES // len(codes))
    many = codes.repeat(times, 1, 1).cpu()
    return many + JITTER * torch.randn(many.shape, generator=torch.Generator().manual_seed(seed))


def begun(rows: int, dim: int, seed: int, device: torch.device) -> Taught:
    """Before the first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = StyleSampler(rows, dim).to(device)
    return Taught(net, torch.optim.Adam(net.parameters(), LR), {}, 0)


def teach(
    taught: Taught,
    codes: Tensor,
    steps: int,
    seed: int,
    watch: Callable[[int, float], None] = lambda step, loss: None,
    keep: Callable[[Taught], None] = lambda taught: None,
) -> Taught:
    """Go on until `steps`. `codes` [K, L, D]; `keep` sees the state each time new draws are looked for."""
    net, optimizer, pools = taught.net, taught.optimizer, dict(taught.pools)
    device = next(net.parameters()).device
    kinds = {"structure": (net.structure, codes[:, :NUM_STRUCTURE_LAYERS].to(device)),
             "color": (net.color, codes[:, NUM_STRUCTURE_LAYERS:].to(device))}  # fmt: skip
    for step in range(taught.step, steps):
        if step % STALE == 0:
            keep(Taught(net, optimizer, dict(pools), step))
            pools = {name: _nearest(*kind, seed, step) for name, kind in kinds.items()}
        draws = Draws(seed, step, BATCH, device)
        chosen = draws.integers(len(codes))
        loss = sum(
            F.mse_loss(part(pools[name][chosen] + NEAR * draws.normal(NOISE)), wanted[chosen])
            for name, (part, wanted) in kinds.items()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, float(loss.detach()))
    return Taught(net, optimizer, pools, max(steps, taught.step))


@torch.no_grad()
def _nearest(part: torch.nn.Module, wanted: Tensor, seed: int, step: int) -> Tensor:
    """Of as many draws as there are codes [K, rows, D], for each code the nearest one's noise, [K, 128]."""
    noise = Draws(seed, step, len(wanted), wanted.device, 1).normal(NOISE)
    return noise[torch.cdist(wanted.flatten(1), part(noise).flatten(1)).argmin(1)]
