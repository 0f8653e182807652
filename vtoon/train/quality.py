"""How near drawn pictures are to a data set, by features of both:

    KID        the kernel distance (Binkowski et al. 2018, "Demystifying MMD GANs"), unbiased for few pictures
    FID        the distance of two Gaussians (Heusel et al. 2017, "GANs trained by a two time-scale update rule")
    precision  the share of drawn pictures that lie where the set's do, recall of the set's where the drawn ones do
               (Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models")

By Inception's features where they are here, FID's own or torchvision's; else by what dlib's face network sees, named as
such; its numbers compare only with themselves. Its embedding knows persons, and was taught to overlook how they are
shown; that is told by the mean and spread of its first features (as of any network's: Huang and Belongie 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.models.stylegan2 import Generator
from vtoon.train.dataset import Dataset
from vtoon.train.faces import AlignedFaces
from vtoon.weights.dlib_embedding import load_face_embedding
from vtoon.weights.torch_file import load_torch

PICTURES = 1000  # of each side, at most
BATCH_PIXELS = 16 * 128 * 128  # at once, on any device
NEIGHBOURS = 3  # of precision and recall
FID_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's name
VISION_WEIGHTS = "inception_v3_google-0cc3c7bd.pth"  # torchvision's
VISION_SIDE, VISION_MEAN, VISION_STD = 299, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FOLDERS = (Path("checkpoint"), Path.home() / ".cache/torch/hub/checkpoints")
STAND_IN, STYLE_STAND_IN = "dlib's face embedding", "dlib's first features"
STYLE_LAYERS, STYLE_SIDE = (0, 3, 7), 128  # of the stand-in: colours, strokes, small shapes; px
PUBLISHED = {"fid50k_full": "fid", "fid50k": "fid", "kid50k_full": "kid", "kid50k": "kid"}  # StyleGAN2-ADA's names
PUBLISHED |= {"pr50k3_full": "pr", "pr50k3": "pr"}


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


def fid(real: Tensor, drawn: Tensor) -> float:
    """Frechet distance of the Gaussians of features [N, D], [M, D]: |m - n|^2 + tr(A + B - 2 (A B)^1/2), 0 for the
    same. Of few pictures it is too large, by the same for all generators: values of unlike N do not compare."""
    real, drawn = real.double().cpu(), drawn.double().cpu()
    gap = (real.mean(0) - drawn.mean(0)).square().sum()
    a, b = (torch.atleast_2d(torch.cov(x.T)) for x in (real, drawn))
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    both = torch.linalg.eigvalsh(root @ b @ root).clamp_min(0).sqrt().sum()  # of (A B)^1/2, whose trace it is
    return max(0.0, float(gap + a.trace() + b.trace() - 2 * both))


def precision_recall(real: Tensor, drawn: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Shares, 0 to 1, of features [M, D] within the balls of [N, D] that reach to their `neighbours`-th neighbour, and
    the other way round."""

    def covered(points: Tensor, balls: Tensor) -> float:
        k = min(neighbours + 1, len(balls))  # its own distance is one of them
        radius = torch.cdist(balls, balls, compute_mode="donot_use_mm_for_euclid_dist").kthvalue(k, dim=1).values
        near = torch.cdist(points, balls, compute_mode="donot_use_mm_for_euclid_dist") <= radius
        return float(near.any(1).double().mean())

    real, drawn = real.double(), drawn.double()
    return covered(drawn, real), covered(real, drawn)


def _pr(real: Tensor, drawn: Tensor) -> dict[str, float]:
    return dict(zip(("precision", "recall"), precision_recall(real, drawn), strict=True))


METRICS: dict[str, Callable[[Tensor, Tensor], dict[str, float]]] = {
    "kid": lambda real, drawn: {"KID": kid(real, drawn)},
    "fid": lambda real, drawn: {"FID": fid(real, drawn)},
    "pr": _pr,
}


def read_metrics(text: str) -> tuple[str, ...]:
    """Of "kid,fid,pr", "auto" (all of them), "none", or StyleGAN2-ADA's names. Raises VtoonError for others."""
    if text in ("auto", "none", ""):
        return tuple(METRICS) if text == "auto" else ()
    names = [PUBLISHED.get(name.strip(), name.strip()) for name in text.split(",")]
    if wrong := next((name for name in names if name not in METRICS), None):
        raise VtoonError(f"metrics: {wrong!r} is none of kid, fid, pr (precision and recall); or give auto or none")
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Features:
    """What pictures [N, 3, S, S] in [-1, 1] are compared by."""

    name: str
    of: Callable[[Tensor], Tensor]  # -> [N, D]
    own_units: bool = False  # distances are measured in the set's own spread


def find_features(device: torch.device, style: bool = False) -> Features:
    """Where dlib's network stands in: of persons, or of how they are drawn. Raises VtoonError where there are none."""
    stand_in = style_features if style else lambda where: Features(STAND_IN, AlignedFaces(where), own_units=True)
    return _inception(device) or _torchvision(device) or stand_in(device)


def style_features(device: torch.device) -> Features:
    """The mean and spread of each of dlib's first features over the picture. Raises VtoonError where it is not here."""
    net = load_face_embedding().to(device)

    def statistics(x: Tensor) -> Tensor:
        x = F.interpolate(x.float(), (STYLE_SIDE, STYLE_SIDE), mode="bilinear", antialias=True)
        return torch.cat([part for y in net.features(x, STYLE_LAYERS) for part in (y.mean((2, 3)), y.std((2, 3)))], 1)

    return Features(STYLE_STAND_IN, statistics, own_units=True)


def _file(name: str) -> Path | None:
    """Nothing is fetched: weights must lie in checkpoint/ or in PyTorch's cache."""
    return next((folder / name for folder in FOLDERS if (folder / name).is_file()), None)


def _inception(device: torch.device) -> Features | None:
    if (file := _file(FID_WEIGHTS)) is None:
        return None
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        net = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(file)).to(device)
    except (ImportError, ModuleNotFoundError, RuntimeError):
        return None
    return Features("Inception", lambda x: net(((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)))


def _torchvision(device: torch.device) -> Features | None:
    """The same network with ImageNet's later weights: its numbers are not those of papers."""
    if (file := _file(VISION_WEIGHTS)) is None:
        return None
    from torchvision.models import inception_v3

    net = inception_v3(weights=None, init_weights=False, aux_logits=True)
    net.load_state_dict(load_torch(file))
    net.fc = torch.nn.Identity()
    net = net.eval().requires_grad_(False).to(device)
    mean, std = (torch.tensor(x, device=device)[:, None, None] for x in (VISION_MEAN, VISION_STD))

    def features(x: Tensor) -> Tensor:
        side = (VISION_SIDE, VISION_SIDE)
        x = F.interpolate(x.clamp(-1, 1), side, mode="bilinear", antialias=True, align_corners=False)
        return net(((x + 1) / 2 - mean) / std)

    return Features("torchvision's Inception", features)


class Quality:
    """How near a generator is to a data set, by the same pictures and the same z every time."""

    def __init__(
        self,
        data: Dataset,
        device: torch.device,
        metrics: Sequence[str] = tuple(METRICS),
        features: Features | None = None,
    ) -> None:
        """Raises VtoonError where there are no features to compare by."""
        self.metrics, self.features = tuple(metrics), features or find_features(device)
        self.count = min(PICTURES, len(data))
        chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(data))[: self.count])
        some = max(1, BATCH_PIXELS // data.size**2)
        parts = (data.batch(part, -1 - i) for i, part in enumerate(chosen.split(some)))
        with torch.no_grad():
            real = torch.cat([self.features.of(x.permute(0, 3, 1, 2).float() / 127.5 - 1) for x in parts])
        self._mean, self._spread = real.mean(0), real.std(0).clamp_min(1e-6)
        self._real = self._unit(real)

    @property
    def name(self) -> str:
        """What is measured, by what."""
        shown = {"kid": "KID", "fid": "FID", "pr": "precision and recall"}
        return f"{', '.join(shown[name] for name in self.metrics)} by {self.features.name}"

    def _unit(self, x: Tensor) -> Tensor:
        return (x - self._mean) / self._spread if self.features.own_units else x

    @torch.no_grad()
    def __call__(self, net: Generator) -> dict[str, float]:
        """{"KID by Inception": value} and so on."""
        dim, device = net.style[1].weight.shape[1], self._real.device
        z = torch.randn(self.count, dim, generator=torch.Generator().manual_seed(0)).to(device)
        some = max(1, BATCH_PIXELS // net.size**2)
        drawn = torch.cat([self.features.of(net(net.to_w_plus(net.style(part)))) for part in z.split(some)])
        found = [METRICS[name](self._real, self._unit(drawn)) for name in self.metrics]
        return {f"{key} by {self.features.name}": value for part in found for key, value in part.items()}
