"""StyleGAN2 generators and DualStyleGANs from every file that holds one, and back in the published layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vtoon.errors import VtoonError
from vtoon.models.dualstylegan import DualStyleGAN
from vtoon.models.stylegan2 import Generator
from vtoon.weights.published import Kind, PublishedFile, is_network_pickle, load
from vtoon.weights.safe_pickle import shown
from vtoon.weights.sizes import generator_sizes, misfit
from vtoon.weights.stylegan2_ada import read_generator
from vtoon.weights.torch_file import save_complete

MEAN_SAMPLES = 4096  # latents in the mean of a file that has none
BASES = {  # names that people give to --resume and the like, and the file they mean
    "ffhq1024": "stylegan2-ffhq-config-f.pt",
    "ffhq256": "ffhq256.pkl",
    "ffhq512": "ffhq512.pkl",
    "celebahq256": "celebahq256.pkl",
    "lsundog256": "lsundog256.pkl",
}
BASE_FOLDER = Path("checkpoint")
ADA = {  # what StyleGAN2-ADA calls the files of its --resume names
    "ffhq256.pkl": "ffhq-res256-mirror-paper256-noaug.pkl",
    "ffhq512.pkl": "ffhq-res512-mirror-stylegan2-noaug.pkl",
    "celebahq256.pkl": "celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl",
    "lsundog256.pkl": "lsundog-res256-paper256-kimg100000-noaug.pkl",
}
WHERE = {  # what else is asked for by its published name, and who has it
    "stylegan2-ffhq-config-f.pt": "it is NVIDIA's FFHQ model in rosinality's layout, linked from VToonify's README",
    **{
        name: f"it is {file}, one of the transfer-learning source nets of NVIDIA's StyleGAN2-ADA; put it there under "
        "either name"
        for name, file in ADA.items()
    },
    "generator.pt": "it is DualStyleGAN's file of a style, linked from its README",
    "generator-pretrain.pt": "vtoon dual pretrain makes it",
    "finetune-000600.pt": "it is DualStyleGAN's fine-tuned StyleGAN2 of a style, linked from its README",
}


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator, frozen, and where it is from."""

    generator: Generator
    mean_latent: Tensor  # [D]: of the file, else of a fixed draw through the mapping network
    path: Path

    @property
    def size(self) -> int:
        """px a side."""
        return self.generator.size


def load_generator(source: str | Path) -> LoadedGenerator:
    """Of a .pt in the published layout (training snapshots too), a StyleGAN2-ADA .pkl, or a name such as ffhq1024.

    Any size and width. Raises VtoonError where the file is missing, damaged, or of another kind.
    """
    path = base_file(source)
    if is_network_pickle(path):
        info, state = read_generator(path)
        net = info.build()
        net.load_state_dict(state)
        return LoadedGenerator(net.eval().requires_grad_(False), info.mean_latent.float().reshape(-1), path)
    file = load(path, Kind.STYLEGAN2)
    sizes = generator_sizes(file.tensors)
    net = _filled(file, Generator, sizes.size, sizes.style_dim, sizes.mapping_layers, sizes.channels)
    mean = file.extras.get("latent_avg")
    fits = isinstance(mean, Tensor) and mean.numel() == sizes.style_dim
    return LoadedGenerator(net, mean.float().reshape(-1) if fits else mean_latent(net), path)


def load_dual(source: str | Path) -> DualStyleGAN:
    """A DualStyleGAN of any size, frozen. Raises VtoonError where the file is missing, damaged, or of another kind."""
    file = load(_there(Path(source)), Kind.DUALSTYLEGAN)
    sizes = generator_sizes(file.tensors, "generator.")
    structure = sizes.channels[min(32, sizes.size)]
    return _filled(file, DualStyleGAN, sizes.size, sizes.style_dim, sizes.mapping_layers, sizes.channels, structure)


def save_generator(path: Path, net: nn.Module, mean: Tensor | None = None) -> None:
    """As published: {"g_ema": weights, "latent_avg": mean latent}, complete or not at all."""
    content = {"g_ema": net.state_dict()} | ({} if mean is None else {"latent_avg": mean.detach().cpu()})
    save_complete(content, path)


@torch.no_grad()
def mean_latent(net: Generator, samples: int = MEAN_SAMPLES) -> Tensor:
    """[D]: of w over a fixed draw of z."""
    z = torch.randn(samples, net.style[1].weight.shape[1], generator=torch.Generator().manual_seed(0))
    return net.style(z.to(net.style[1].weight.device)).mean(0)


def base_file(source: str | Path) -> Path:
    """The file of a path or of a known name. Raises VtoonError that says where it belongs and what gets it."""
    path = Path(source)
    if path.exists() or str(source) not in BASES:
        return _there(path)
    name = BASES[str(source)]
    published = BASE_FOLDER / ADA.get(name, name)
    return published if published.is_file() else _there(BASE_FOLDER / name)


def _there(path: Path) -> Path:
    if path.is_file():
        return path
    known = WHERE.get(path.name, "give the path of a generator: .pt in the published layout, or StyleGAN2-ADA's .pkl")
    raise VtoonError(f"{path}: no such file; {known}")


def _filled(file: PublishedFile, kind: type[nn.Module], *args: object) -> nn.Module:
    if difference := misfit(file.tensors, kind, *args):
        raise VtoonError(f"{file.path}: damaged, or not as published ({shown(difference)}); get it again")
    with torch.device("meta"):
        net = kind(*args)
    numbers = {key: tensor.float() for key, tensor in file.tensors.items()}
    net.load_state_dict(numbers, strict=True, assign=True)
    return net.eval().requires_grad_(False)
