"""The project's own checkpoint: one safetensors file with weights, configuration, style names and provenance."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vtoon.errors import VtoonError
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.vtoonify import VToonifyConfig
from vtoon.system.tree import built_in_model
from vtoon.weights.sizes import misfit
from vtoon.weights.styles import StyleBank, build_styles, list_command

FORMAT = "vtoon-1"
DEFAULT_CHECKPOINT = built_in_model()
LIVE_CHECKPOINT = built_in_model("live.safetensors")  # three looks, quick


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to run, and where it comes from."""

    model: BuiltinVToonify
    bank: StyleBank
    provenance: dict
    path: Path

    @property
    def config(self) -> VToonifyConfig:
        return self.model.net.config

    @property
    def upscale(self) -> int:
        """Pixels drawn for one pixel seen."""
        return self.config.upscale


def save_checkpoint(path: Path, model: BuiltinVToonify, provenance: dict) -> None:
    """Write the model in half precision (the file halves, the pictures stay), complete or not at all."""
    metadata = {
        "format": FORMAT,
        "config": json.dumps(model.net.config.to_dict()),
        "looks": json.dumps(model.codes.names),
        "palettes": json.dumps(model.palettes.names),
        "provenance": json.dumps(provenance),
    }
    state = {k: v.detach().half().contiguous().cpu() for k, v in model.state_dict().items()}
    part = path.with_suffix(".part")
    save_file(state, part, metadata)
    part.chmod(0o644)  # safetensors makes it private
    os.replace(part, path)


def _content(metadata: dict[str, str], name: str, kind: type) -> Any:
    content = json.loads(metadata[name])
    if not isinstance(content, kind):
        raise ValueError(f"{name} is a {type(content).__name__}; it must be a {kind.__name__}")
    return content


def _names(metadata: dict[str, str], name: str) -> list[str]:
    names = _content(metadata, name, list)
    if not names or not all(isinstance(each, str) for each in names):
        raise ValueError(f"{name} must be a list of names")
    return names


def load_checkpoint(path: str | os.PathLike = DEFAULT_CHECKPOINT) -> Checkpoint:
    """Read a checkpoint. Raises VtoonError where the file is missing, damaged or of another kind."""
    path = Path(path)
    if not path.is_file():
        if path == DEFAULT_CHECKPOINT:
            raise VtoonError(f"{path}: the built-in model is missing; install vtoon again, or name a model with --ckpt")
        raise VtoonError(f"{path}: no such checkpoint; leave --ckpt out for the built-in model")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise VtoonError(f"{path}: not a vtoon checkpoint (.safetensors expected; {error})") from None
    if metadata.get("format") != FORMAT:
        raise VtoonError(f"{path}: format is {metadata.get('format')!r}, expected {FORMAT!r}: not a vtoon model file")
    try:
        looks, palettes = _names(metadata, "looks"), _names(metadata, "palettes")
        config = VToonifyConfig(**_content(metadata, "config", dict))
        provenance = _content(metadata, "provenance", dict)
        for name in ("details", "holds", "traits", "eyes"):  # files older than they are
            state.setdefault(name, torch.zeros(len(looks)))
        if len(looks) != len(state["codes.looks"]) or len(palettes) != len(state["palettes.own"]):
            raise ValueError("there are other numbers of names and of styles")
        if difference := misfit(state, BuiltinVToonify, looks, palettes, config):  # before memory is taken
            raise ValueError(difference)
        model = BuiltinVToonify(looks, palettes, config)
        model.load_state_dict(state)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise VtoonError(f"{path}: damaged, or of another version of vtoon ({reason})") from None
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise VtoonError(f"{path}: weight {name} holds values that are not finite; get the file again")
    model.eval().requires_grad_(False)
    bank = StyleBank(build_styles(looks, palettes), list_command(None if path == DEFAULT_CHECKPOINT else path))
    return Checkpoint(model, bank, provenance, path)
