"""Everything of a run in one file: a stopped run goes on from it as if it had never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vtoon.errors import VtoonError
from vtoon.weights.torch_file import save_complete

if TYPE_CHECKING:
    from vtoon.train.trainer import Recipe


def save_state(recipe: Recipe, step: int, path: Path) -> None:
    """The recipe's parts, the number of steps done, the state of PyTorch's random numbers on every device."""
    state = {name: part.state_dict() for name, part in recipe.state.items()}
    rng = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}
    save_complete({"step": step, "rng": rng, "about": recipe.about, "state": state}, path)


def load_state(recipe: Recipe, path: Path) -> int:
    """Restore a run; returns the number of steps done. Raises VtoonError where it is another training's, or damaged."""
    saved, flag = _read(path), getattr(recipe, "folder_flag", "--name")
    for name, wanted in recipe.about.items():
        if (got := saved.get("about", {}).get(name)) != wanted:
            raise VtoonError(f"{path}: a training with {name} {got}, not {wanted}; give yours another {flag}")
    try:
        for name, part in recipe.state.items():
            part.load_state_dict(saved["state"][name])
    except (KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise VtoonError(f"{path}: does not fit this training ({reason}); give yours another {flag}") from None
    torch.set_rng_state(saved["rng"]["cpu"])
    if len(saved["rng"]["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(saved["rng"]["cuda"])
    return saved["step"]


def _read(path: Path) -> dict:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file causes
        reason = " ".join(str(error).split())[:120]
        raise VtoonError(
            f"{path}: not a state of a training ({reason}); delete it to start anew, or give another folder"
        ) from None
