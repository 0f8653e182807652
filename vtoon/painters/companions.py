"""The networks around a published VToonify: face parsing and style encoder, from their own files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vtoon.errors import VtoonError
from vtoon.models.face_parsing import BiSeNet
from vtoon.models.style_encoder import StyleEncoder
from vtoon.weights.published import Kind, PublishedFile, load
from vtoon.weights.safe_pickle import shown
from vtoon.weights.sizes import count, misfit


@dataclass(frozen=True)
class Companions:
    """The files that a VToonify needs beside it; None: looked for where VToonify's documentation puts them."""

    style_encoder: Path | None = None
    style_codes: Path | None = None
    parsing: Path | None = None


class AveragedEncoder(nn.Module):
    """The style encoder tells differences from an average code, [L, D] or [D]; this adds it."""

    def __init__(self, encoder: nn.Module, average: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("average", average.float())

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x) + self.average


def load_parser(path: Path) -> BiSeNet:
    """The face parsing network of a published file. Raises VtoonError where it is none."""
    return _filled(load(path, Kind.PARSING), BiSeNet)


def load_encoder(path: Path) -> AveragedEncoder:
    """The style encoder of a published file. Raises VtoonError where it is none, or lacks the average code."""
    file = load(path, Kind.STYLE_ENCODER)
    rows = count(file.tensors, "styles.{}.linear.weight")
    return AveragedEncoder(_filled(file, StyleEncoder, rows), _average(file, rows))


def _average(file: PublishedFile, rows: int) -> Tensor:
    """What is added to each code, [L, D] or [D]."""
    dim = len(file.tensors["styles.0.linear.weight"])
    average = file.extras.get("latent_avg")
    if not isinstance(average, Tensor) or tuple(average.shape) not in ((rows, dim), (1, dim), (dim,)):
        got = list(average.shape) if isinstance(average, Tensor) else "missing"
        raise VtoonError(f"{file.path}: latent_avg is {got}, expected [{rows}, {dim}]; get the file again")
    return average


def _filled(file: PublishedFile, kind: type[nn.Module], *args: object) -> nn.Module:
    """The network `kind(*args)` of a file. Raises VtoonError where the file holds another one."""
    if difference := misfit(file.tensors, kind, *args):
        raise VtoonError(f"{file.path}: damaged, or not as published ({shown(difference)}); get it again")
    return built(kind, file.tensors, *args)


def built(kind: type, state: dict[str, Tensor], *args: object) -> torch.nn.Module:
    """A network for drawing, filled exactly, in float32."""
    with torch.device("meta"):
        net = kind(*args)
    numbers = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    net.load_state_dict(numbers, strict=True, assign=True)
    return net.eval().requires_grad_(False)
