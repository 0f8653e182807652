"""A VToonify with all that says how it draws: from its published files, or from one safetensors file made of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vtoon.errors import VtoonError, describe
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.weights.hub import LICENCE, find_missing
from vtoon.weights.lockfile import sha256
from vtoon.weights.published import Kind, PublishedFile, load_style_codes, load_vtoonify
from vtoon.weights.safe_pickle import shown
from vtoon.weights.sizes import Specialty, misfit, specialty
from vtoon.weights.trained import KEY, Trained, read_trained

FORMAT = "vtoon-published-1"  # in the metadata; what holds another is not of this kind
NET, CODES = "net.", "codes"  # names in the file: before each weight; the style codes, float32 [styles, L, D]
OWN_CODE = "own_code"  # float32 [L, D]


@dataclass(frozen=True)
class VToonifyFile:
    """What a VToonify-D or -T needs to draw, but for the networks around it."""

    path: Path
    config: VToonifyConfig
    state: dict[str, Tensor]  # float32; fills the network exactly
    codes: dict[str, Tensor]  # the exemplars in the order of style ids: name -> float32 [1, L, D] in Z+; of a -T none
    special: Specialty | None  # what the name of the published file tells; None: nothing
    provenance: dict[str, str]
    trained: Trained = field(default_factory=Trained)

    @property
    def kind(self) -> Kind:
        return Kind.VTOONIFY_D if self.config.backbone == "dualstylegan" else Kind.VTOONIFY_T


def is_converted(path: Path) -> bool:
    """Whether a file is a converted VToonify. False as well for what cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError, ValueError):
        return False


def read_vtoonify(path: Path, style_codes: Path | None = None) -> VToonifyFile:
    """Read a published .pt with its style codes, or a converted file, which has its own.

    `style_codes`: take these instead; without it those of a .pt are looked for beside it. Raises VtoonError where a
    file is missing, damaged, of another kind, or the codes are not for this network.
    """
    path = Path(path)
    file = _read_converted(path) if is_converted(path) else _read_published(path)
    if file.kind is Kind.VTOONIFY_D and (style_codes or not file.codes):
        file = replace(file, codes=load_style_codes(style_codes or _codes_of(path)))
    expected = (1, file.config.num_latents, file.config.style_dim)
    for name, code in file.codes.items():
        if tuple(code.shape) != expected:
            got = f"style code {shown(name, 40)!r} is {list(code.shape)}"
            raise VtoonError(f"{path}: {got}, expected {list(expected)}; the codes are of another model")
    return file


def write_vtoonify(file: VToonifyFile, path: Path, half: bool = False) -> None:
    """Write all of it to `path`; `half`: the weights in 16 bits.

    The codes stay as they are: they are small, and every layer multiplies their rounding. Raises VtoonError where
    a weight is too large for 16 bits, or the file cannot be written.
    """
    kind = torch.float16 if half else torch.float32
    tensors = {NET + name: weight.to(kind, copy=True).contiguous() for name, weight in file.state.items()}
    for name, weight in tensors.items():
        if half and not torch.isfinite(weight).all():
            raise VtoonError(f"{file.path}: weight {shown(name)} is too large for 16 bits; convert it without --half")
    if file.codes:
        tensors[CODES] = torch.cat(list(file.codes.values()))
    if file.trained.own_code is not None:
        tensors[OWN_CODE] = file.trained.own_code
    try:
        save_file(tensors, path, _metadata(file, str(kind).removeprefix("torch.")))
        path.chmod(0o644)  # safetensors makes it private
    except (SafetensorError, OSError) as error:
        raise VtoonError(f"{path}: cannot be written ({shown(str(error))})") from None


def _metadata(file: VToonifyFile, weights: str) -> dict[str, str]:
    content = {
        "config": file.config.to_dict(),
        "names": list(file.codes),
        "specialty": file.special and asdict(file.special),
        "provenance": (file.provenance if "sha256" in file.provenance else _origin(file)) | {"weights": weights},
        "eye_distance": file.trained.eye_distance,
    }
    return {"format": FORMAT} | {name: json.dumps(value) for name, value in content.items()}


def _origin(file: VToonifyFile) -> dict[str, str]:
    """The licence is told of files that are not from a training of this project."""
    told = file.trained.provenance or {"licence": f"{LICENCE}, non-commercial"}
    return {"file": file.path.name, "sha256": sha256(file.path)} | told


def _read_published(path: Path) -> VToonifyFile:
    """Without codes, which lie in a file of their own."""
    config, file = load_vtoonify(path)
    trained = read_trained(file.extras, (config.num_latents, config.style_dim), path)
    special = specialty(path) if config.backbone == "dualstylegan" else None
    state = {key: tensor.float() for key, tensor in file.tensors.items()}
    return VToonifyFile(path, config, state, {}, special, {"file": str(path)} | trained.provenance, trained)


def _codes_of(path: Path) -> Path:
    beside = path.with_name("exstyle_code.npy")
    if beside.is_file():
        return beside
    return find_missing(beside)


def _read_converted(path: Path) -> VToonifyFile:
    try:
        with safe_open(path, "pt") as file:
            # Copied: at the file's uneven addresses sums are formed in another order, and drawings would differ a bit.
            tensors = {name: file.get_tensor(name).to(torch.float32, copy=True) for name in file.keys()}
            metadata = file.metadata()
        content = {name: json.loads(metadata[name]) for name in ("config", "names", "specialty", "provenance")}
        config = VToonifyConfig(**content["config"])
        special = content["specialty"] and Specialty(**content["specialty"])
        names, provenance = list(content["names"]), dict(content["provenance"])
        codes = dict(zip(names, tensors.pop(CODES, torch.empty(0, 1))[:, None], strict=True))
        told = {
            "eye_distance": json.loads(metadata.get("eye_distance", "null")),
            "own_code": tensors.pop(OWN_CODE, None),
        }
        trained = read_trained({KEY: told}, (config.num_latents, config.style_dim), path)
        state = {name.removeprefix(NET): weight for name, weight in tensors.items()}
        difference = misfit(state, VToonify, config)
    except Exception as error:  # whatever a damaged file causes
        difference = describe(error)
    if difference:
        raise VtoonError(f"{path}: damaged, or of another version of vtoon ({shown(difference)}); convert it again")
    file = VToonifyFile(path, config, state, codes, special, provenance, trained)
    PublishedFile(path, file.kind, state | codes).check_finite()
    return file
