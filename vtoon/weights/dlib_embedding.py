"""The face embedding's weights, read from dlib's own file: no download, no dlib at run time."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vtoon.errors import VtoonError
from vtoon.models.face_embedding import EMBEDDING_SIZE, FaceEmbedding

PACKAGE = "face_recognition_models"
FILE = "models/dlib_face_recognition_resnet_model_v1.dat"

# dlib writes an integer as one control byte, the number of bytes that follow, and those bytes, little-endian. A tensor
# is its version (2), its four sizes and its float32 values. Ours are vectors [n, 1, 1, 1] and one matrix [n, k, 1, 1].
TENSOR_HEAD = re.compile(
    rb"\x01\x02(?:\x01([\x20-\xff])|\x02(..)|\x03(...))\x01([\x01\x80])\x01\x01\x01\x01", re.DOTALL
)


def load_face_embedding(path: Path | None = None) -> FaceEmbedding:
    """The frozen face embedding. `path`: dlib's file, default the one inside the package face_recognition_models.

    Raises VtoonError where the file is missing or holds another network.
    """
    path = path or _installed_file()
    try:
        tensors = list(parse(path.read_bytes()))
    except OSError as error:
        raise VtoonError(f"{path}: cannot read the face embedding ({error.strerror})") from None
    net = FaceEmbedding()
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    sizes = [size for conv in convolutions for size in (conv.weight.numel() + conv.out_channels, 2 * conv.out_channels)]
    if [tensor.numel() for tensor in tensors] != [*sizes, net.head.weight.numel()]:
        raise VtoonError(f"{path}: not dlib's face recognition ResNet; install face-recognition-models again")
    for conv, filters, affine in zip(convolutions, tensors[0:-1:2], tensors[1:-1:2], strict=True):
        _fill(conv, filters, affine)
    net.head.weight.copy_(tensors[-1].view(-1, EMBEDDING_SIZE).T)
    return net.eval()


def parse(data: bytes) -> Iterator[torch.Tensor]:
    """The parameter tensors of a dlib network file, flat float32, in the order from its input to its output."""
    position = 0
    while head := TENSOR_HEAD.search(data, position):
        size = int.from_bytes(head[1] or head[2] or head[3], "little") * head[4][0]
        position = head.end() + 4 * size
        if position <= len(data):
            yield torch.from_numpy(np.frombuffer(data, "<f4", size, head.end()).astype(np.float32))


def _installed_file() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # found, not imported: the package asks for the removed pkg_resources
    if spec is None or spec.origin is None:
        raise VtoonError("the face embedding's weights are missing: pip install face-recognition-models")
    return Path(spec.origin).parent / FILE


def _fill(conv: nn.Conv2d, filters: torch.Tensor, affine: torch.Tensor) -> None:
    """Fold y = gamma (w x + b) + beta into one convolution."""
    weight, bias = filters.split((conv.weight.numel(), conv.out_channels))
    gamma, beta = affine.chunk(2)
    conv.weight.copy_(weight.view_as(conv.weight) * gamma.view(-1, 1, 1, 1))
    conv.bias.copy_(bias * gamma + beta)
