"""Make the shape of a look of the built-in kind of model stronger or weaker, without training.

    python scripts/reshape_look.py checkpoints/default.safetensors toon3d 1.2

`FaceNet` ends with one linear layer, two rows of which are a look's map; the map grows evenly with them. Above about
1.4, the maps of narrow faces come near folding.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import tyro

from vtoon.errors import VtoonError
from vtoon.weights.checkpoint import load_checkpoint, save_checkpoint


@torch.no_grad()
def main(
    ckpt: tyro.conf.Positional[Path], look: tyro.conf.Positional[str], factor: tyro.conf.Positional[float]
) -> None:
    """Multiply a look's map; the file is replaced."""
    checkpoint = load_checkpoint(ckpt)
    names, fields = checkpoint.model.codes.names, checkpoint.model.face.fields
    if look not in names:
        raise VtoonError(f"{look!r} is no look of {ckpt}; it has {', '.join(names)}")
    if not 0 <= factor <= 2:
        raise VtoonError(f"factor is {factor}; it must be from 0 (no reshaping) to 2")
    rows = slice(2 * names.index(look), 2 * names.index(look) + 2)
    for values in (fields.weight, fields.bias):
        values[rows] *= factor
    done = {**checkpoint.provenance.get("reshaped", {}), look: factor}
    save_checkpoint(ckpt, checkpoint.model, {**checkpoint.provenance, "reshaped": done})
    print(f"{ckpt}: the shape of {look} is {factor:g} times what it was")


if __name__ == "__main__":
    try:
        tyro.cli(main, use_underscores=True)
    except VtoonError as error:
        sys.exit(f"error: {error}")
