"""The project's own checkpoint: one safetensors file with weights, configuration, style names and provenance."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vtoon.errors import VtoonError
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.vtoonify import VToonifyConfig
from vtoon.system.tree import built_in_model
from vtoon.weights.styles import StyleBank, build_styles, list_command

FORMAT = "vtoon-1"
DEFAULT_CHECKPOINT = built_in_model()


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
        looks, palettes = json.loads(metadata["looks"]), json.loads(metadata["palettes"])
        model = BuiltinVToonify(looks, palettes, VToonifyConfig(**json.loads(metadata["config"])))
        state.setdefault("details", torch.zeros(len(looks)))  # files older than it
        model.load_state_dict(state)
        provenance = json.loads(metadata["provenance"])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise VtoonError(f"{path}: damaged, or of another version of vtoon ({reason})") from None
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise VtoonError(f"{path}: weight {name} holds values that are not finite; get the file again")
    model.eval().requires_grad_(False)
    bank = StyleBank(build_styles(looks, palettes), list_command(None if path == DEFAULT_CHECKPOINT else path))
    return Checkpoint(model, bank, provenance, path)
