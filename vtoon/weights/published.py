"""Files that other projects publish: what each is, told by its keys, and its weights as plain tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtoon.errors import VtoonError, describe
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.weights.npy import load_npy
from vtoon.weights.nvidia import load_networks
from vtoon.weights.safe_pickle import shown
from vtoon.weights.sizes import misfit, vtoonify_config
from vtoon.weights.torch_file import is_torch_file, load_torch, tensors_in


class Kind(Enum):
    """What a published file is, and what takes it."""

    VTOONIFY_D = "VToonify-D model", "--ckpt"
    VTOONIFY_T = "VToonify-T model", "--ckpt with --backbone toonify"
    PRETRAIN = "encoder of VToonify alone (pretrain.pt)", "VToonify's trainings (--encoder_path)"
    DUALSTYLEGAN = "DualStyleGAN generator", "vtoon dual and VToonify's trainings (--stylegan_path)"
    STYLEGAN2 = "StyleGAN2 generator", "VToonify's trainings (--stylegan_path, --finetunegan_path)"
    STYLE_ENCODER = "pSp style encoder (encoder.pt)", "--style_encoder_path"
    PARSING = "face parsing network BiSeNet (faceparsing.pth)", "--faceparsing_path"
    RAFT = "optical flow network RAFT (raft-things.pth)", "VToonify's smooth_parsing_map.py (--raft_path)"
    STYLE_CODES = "style codes (exstyle_code.npy)", "--exstyle_path"
    DIRECTIONS = "editing directions (directions.npy)", "VToonify's trainings (--direction_path)"
    NETWORKS = "StyleGAN2-ADA network pickle", "vtoon convert, which makes a .pt of it"

    def __init__(self, title: str, taken_by: str) -> None:
        self.title, self.taken_by = title, taken_by


@dataclass(frozen=True)
class Signature:
    """Keys that a kind of state dict has and the kinds below it in the table have not."""

    kind: Kind
    keys: tuple[str, ...]  # regular expressions, each matched by some key
    prefix: str = ""  # what else the file puts before each key; keys without it are dropped


SIGNATURES = (
    Signature(Kind.VTOONIFY_D, (r"encoder\.0\.0\.weight", r"fusion_out\.0\.conv\.weight")),
    Signature(Kind.VTOONIFY_T, (r"encoder\.0\.0\.weight", r"fusion_out\.0\.weight")),
    Signature(Kind.DUALSTYLEGAN, (r"generator\.input\.input", r"res\.7\.weight", r"style\.1\.weight")),
    Signature(Kind.STYLEGAN2, (r"input\.input", r"to_rgb1\.bias", r"style\.1\.weight")),
    Signature(Kind.PRETRAIN, (r"0\.0\.weight", r"0\.2\.weight", r"\d\.5\.conv2\.weight")),
    Signature(Kind.STYLE_ENCODER, (r"input_layer\.0\.weight", r"styles\.0\.linear\.weight"), "encoder."),
    Signature(Kind.STYLE_ENCODER, (r"input_layer\.0\.weight", r"styles\.0\.linear\.weight")),
    Signature(Kind.PARSING, (r"cp\.resnet\.conv1\.weight", r"conv_out\.conv_out\.weight")),
    Signature(Kind.RAFT, (r"fnet\.conv1\.weight", r"update_block\..*"), "module."),
    Signature(Kind.RAFT, (r"fnet\.conv1\.weight", r"update_block\..*")),
)
PICKLE = b"\x80"  # the first byte of every pickle since protocol 2
WRAPPERS = ("g_ema", "g", "state_dict")  # under which a file keeps its state dict; without one it is a state dict


@dataclass(frozen=True)
class PublishedFile:
    """A recognised file."""

    path: Path
    kind: Kind
    tensors: dict[str, Tensor]  # a state dict; of .npy files the arrays; of pickles "G_ema." and the name, and so on
    extras: dict[str, object] = field(default_factory=dict)  # what else the file holds: opts, latent_avg, settings

    def check_finite(self) -> None:
        """Raises VtoonError where a number is not finite. Reads every number."""
        for name, tensor in self.tensors.items():
            if not torch.isfinite(tensor).all():
                raise VtoonError(
                    f"{self.path}: weight {shown(name)} holds values that are not finite; get the file again"
                )


def recognise(path: str | Path) -> PublishedFile:
    """Say what a file is. Raises VtoonError where it is missing, damaged, more than data, or of no known kind."""
    path = Path(path)
    head = _head(path)
    if head.startswith(b"\x93NUMPY"):
        return _recognise_npy(path)
    if is_torch_file(head):
        return _recognise_torch(path)
    if head.startswith(PICKLE):
        networks = load_networks(path)
        tensors = {f"{name}.{key}": tensor for name, net in networks.items() for key, tensor in net.state.items()}
        return PublishedFile(path, Kind.NETWORKS, tensors, {name: net.kwargs for name, net in networks.items()})
    raise VtoonError(f"{path}: not a file of weights; expected .pt, .pth, .npy or .pkl as published")


def load(path: str | Path, *kinds: Kind) -> PublishedFile:
    """A file of one of `kinds`, all its numbers finite. Raises VtoonError, which for another kind says what it is."""
    file = recognise(path)
    if file.kind not in kinds:
        wanted = " or ".join(kind.title for kind in kinds)
        raise VtoonError(f"{path}: this is a file for {file.kind.taken_by}: {file.kind.title}; expected {wanted}")
    file.check_finite()
    return file


def load_vtoonify(path: str | Path) -> tuple[VToonifyConfig, PublishedFile]:
    """A published VToonify: what to build, and the file, whose state dict fills it exactly."""
    file = load(path, Kind.VTOONIFY_D, Kind.VTOONIFY_T)
    state = file.tensors
    try:
        config = vtoonify_config(state)
        difference = misfit(state, VToonify, config)
    except KeyError as error:
        difference = f"without {error}"
    except Exception as error:  # shapes that no network has
        difference = describe(error)
    if difference:
        raise VtoonError(f"{path}: damaged, or not as published ({shown(difference)}); get it again")
    return config, file


def load_style_codes(path: str | Path) -> dict[str, Tensor]:
    """Extrinsic or intrinsic style codes: name -> float32 [1, L, 512] in Z+, in the order that style ids count."""
    return load(path, Kind.STYLE_CODES).tensors


def load_directions(path: str | Path) -> Tensor:
    """Editing directions: float32 [n, L, 512] in W+."""
    return load(path, Kind.DIRECTIONS).tensors["directions"]


def is_network_pickle(path: str | Path) -> bool:
    """Whether a file can be a network pickle, by its first byte. Raises VtoonError where there is no file."""
    head = _head(Path(path))
    return head.startswith(PICKLE) and not is_torch_file(head)


def _head(path: Path) -> bytes:
    if not path.is_file():
        raise VtoonError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        raise VtoonError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise VtoonError(f"{path}: the file is empty; get it again")
    return head


def _recognise_torch(path: Path) -> PublishedFile:
    content = load_torch(path)
    content = content if isinstance(content, Mapping) else {}
    wrapper = next((name for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
    tensors = tensors_in(content[wrapper] if wrapper else content, path)
    extras = {k: v for k, v in content.items() if isinstance(k, str) and k != wrapper} if wrapper else {}
    for signature in SIGNATURES:
        start = len(signature.prefix)
        state = {key[start:]: tensor for key, tensor in tensors.items() if key.startswith(signature.prefix)}
        if all(any(re.fullmatch(pattern, key) for key in state) for pattern in signature.keys):
            return PublishedFile(path, signature.kind, state, extras)
    names = ", ".join([key for key in tensors or content if isinstance(key, str)][:3])
    raise VtoonError(f"{path}: a PyTorch file of no known kind ({len(tensors)} weights: {shown(names)} ...)")


def _recognise_npy(path: Path) -> PublishedFile:
    content = load_npy(path)
    arrays, kind = (content, Kind.STYLE_CODES) if isinstance(content, dict) else ({"directions": content}, None)
    kind = kind or Kind.DIRECTIONS
    for name, array in arrays.items():
        fits = array.ndim == 3 and array.shape[1] > 1 and (kind is Kind.DIRECTIONS or array.shape[0] == 1)
        if not fits or array.dtype.kind != "f":
            shape = f"{array.dtype} {list(array.shape)}"
            raise VtoonError(f"{path}: {shown(name, 40)!r} is {shape}; expected style codes [1, 18, 512] or directions")
    return PublishedFile(path, kind, {name: torch.tensor(array.astype(np.float32)) for name, array in arrays.items()})
