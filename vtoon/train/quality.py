"""How near drawn pictures are to a data set: the kernel distance KID (Binkowski et al. 2018, "Demystifying MMD GANs").

By Inception's features where they are here; else by dlib's face embedding, named as such: it sees persons, poses and
styles of aligned faces, and its numbers compare only with themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtoon.models.stylegan2 import Generator
from vtoon.train.dataset import Dataset
from vtoon.train.faces import AlignedFaces

PICTURES = 1000  # of each side, at most
BATCH_PIXELS = 16 * 128 * 128  # at once, on any device
WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's name
FOLDERS = (Path("checkpoint"), Path.home() / ".cache/torch/hub/checkpoints")
Features = Callable[[Tensor], Tensor]  # pictures [N, 3, S, S] in [-1, 1] -> [N, D]


def kid(real: Tensor, drawn: Tensor) -> float:
    """Unbiased squared MMD of features [N, D], [M, D] by the kernel (x.y / D + 1)^3. About 0 for two draws of one set,
    and then sometimes below."""
    real, drawn = real.double(), drawn.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        k = kernel(a, a)
        return (k.sum() - k.diagonal().sum()) / (len(a) * (len(a) - 1))

    return float(within(real) + within(drawn) - 2 * kernel(real, drawn).mean())


def find_features(device: torch.device) -> tuple[str, Features]:
    """Raises VtoonError where there are none."""
    return _inception(device) or ("KID by dlib's face embedding", AlignedFaces(device))


def _inception(device: torch.device) -> tuple[str, Features] | None:
    """Nothing is fetched: the weights must lie in checkpoint/ or in PyTorch's cache."""
    file = next((folder / WEIGHTS for folder in FOLDERS if (folder / WEIGHTS).is_file()), None)
    if file is None:
        return None
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        net = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(file)).to(device)
    except (ImportError, ModuleNotFoundError, RuntimeError):
        return None
    return "KID by Inception", lambda x: net(((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))


class Quality:
    """The KID of a generator to a data set, by the same pictures and the same z every time."""

    def __init__(self, data: Dataset, device: torch.device, features: tuple[str, Features] | None = None) -> None:
        """Raises VtoonError where there are no features to compare by."""
        self.name, self._features = features or find_features(device)
        self.count = min(PICTURES, len(data))
        chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(data))[: self.count])
        some = max(1, BATCH_PIXELS // data.size**2)
        parts = (data.batch(part, -1 - i) for i, part in enumerate(chosen.split(some)))
        with torch.no_grad():
            real = torch.cat([self._features(x.permute(0, 3, 1, 2).float() / 127.5 - 1) for x in parts])
        self._mean, self._spread = real.mean(0), real.std(0).clamp_min(1e-6)
        self._real = self._unit(real)

    def _unit(self, x: Tensor) -> Tensor:
        """Inception's features as they are; others in units of the set's own spread."""
        return x if self.name == "KID by Inception" else (x - self._mean) / self._spread

    @torch.no_grad()
    def __call__(self, net: Generator) -> float:
        dim, device = net.style[1].weight.shape[1], self._real.device
        z = torch.randn(self.count, dim, generator=torch.Generator().manual_seed(0)).to(device)
        some = max(1, BATCH_PIXELS // net.size**2)
        drawn = torch.cat([self._features(net(net.to_w_plus(net.style(part)))) for part in z.split(some)])
        return kid(self._real, self._unit(drawn))
