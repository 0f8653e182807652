"""The networks around a published VToonify: face parsing and style encoder, from their own files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vtoon.errors import VtoonError
from vtoon.models.face_parsing import BiSeNet
from vtoon.models.style_encoder import StyleEncoder
from vtoon.weights.published import Kind, load
from vtoon.weights.sizes import count


@dataclass(frozen=True)
class Companions:
    """The files that a VToonify needs beside it; None: looked for where VToonify's documentation puts them."""

    style_encoder: Path | None = None
    style_codes: Path | None = None
    parsing: Path | None = None


class AveragedEncoder(nn.Module):
    """The style encoder tells differences from an average code; this adds it."""

    def __init__(self, encoder: nn.Module, average: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("average", average.float())

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x) + self.average


def load_parser(path: Path) -> BiSeNet:
    """The face parsing network of a published file. Raises VtoonError where it is none."""
    return built(BiSeNet, load(path, Kind.PARSING).tensors)


def load_encoder(path: Path) -> AveragedEncoder:
    """The style encoder of a published file. Raises VtoonError where it is none, or lacks the average code."""
    file = load(path, Kind.STYLE_ENCODER)
    average = file.extras.get("latent_avg")
    if not isinstance(average, Tensor):
        raise VtoonError(f"{path}: latent_avg is missing, without which the codes mean nothing; get the file again")
    rows = count(file.tensors, "styles.{}.linear.weight")
    return AveragedEncoder(built(StyleEncoder, file.tensors, rows), average)


def built(kind: type, state: dict[str, Tensor], *args: object) -> torch.nn.Module:
    """A network for drawing, filled exactly."""
    with torch.device("meta"):
        net = kind(*args)
    net.load_state_dict(state, strict=True, assign=True)
    return net.eval().requires_grad_(False)
