"""What a VToonify trained by this project says of itself, beside the published keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from vtoon.errors import VtoonError

KEY = "vtoon"  # beside "g_ema": readers of the published layout pass over it
EYES = (4.0, 1024.0)  # px


@dataclass(frozen=True)
class Trained:
    """Of published files nothing of this is known."""

    eye_distance: float | None = None  # px between the eyes in the pictures that the network has seen
    own_code: Tensor | None = None  # [L, D] in W+, with which any face is drawn: there was no style encoder
    provenance: dict[str, str] = field(default_factory=dict)

    def content(self) -> dict[str, object]:
        """For the file."""
        found = {"eye_distance": self.eye_distance, "own_code": self.own_code, "provenance": self.provenance}
        return {name: value for name, value in found.items() if value is not None}


def read_trained(extras: Mapping[str, object], rows: tuple[int, int], path: Path) -> Trained:
    """Of what a file holds beside its weights. `rows`: [L, D] of its codes. Raises VtoonError where it is damaged."""
    content = extras.get(KEY)
    if not isinstance(content, Mapping):
        return Trained()
    eyes, code, told = (content.get(name) for name in ("eye_distance", "own_code", "provenance"))
    if eyes is not None and not (isinstance(eyes, float) and EYES[0] <= eyes <= EYES[1]):
        raise VtoonError(f"{path}: damaged (eye_distance is {str(eyes)[:40]}, expected {EYES[0]} to {EYES[1]} px)")
    if code is not None:
        fits = isinstance(code, Tensor) and tuple(code.shape) == rows and code.is_floating_point()
        if not fits or not math.isfinite(float(code.float().abs().sum())):
            raise VtoonError(f"{path}: damaged (own_code is no style code of {list(rows)} numbers)")
        code = code.to(torch.float32)
    told = told if isinstance(told, Mapping) else {}
    return Trained(eyes, code, {str(name): str(value) for name, value in told.items()})
