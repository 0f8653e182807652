"""Which snapshot is picked: drawings that are near, persons that are not far."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from small_base import base_in

from vtoon.chain import pick
from vtoon.latent.sampler import load_sampler


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(kid of base and snapshots, distance of persons) -> the snapshot that is taken."""
    base = base_in(tmp_path)

    def taken(kids, distances):
        folder = tmp_path / "run"
        folder.mkdir()
        for i in range(len(distances)):
            shutil.copy(base, folder / f"network-snapshot-{i:06d}.pt")
        np.save(tmp_path / "drawings.npy", np.zeros((4, 16, 16, 3), np.uint8))
        monkeypatch.setattr(pick, "Dataset", lambda *_: None)
        monkeypatch.setattr(pick, "Quality", lambda *_: "quality")
        told, moved = iter(kids), iter([0.0, *distances])
        monkeypatch.setattr(pick, "_kid", lambda *_: next(told))
        monkeypatch.setattr(pick, "_persons", lambda *_: torch.tensor([[next(moved), 0.0]]))
        found = pick.measured(folder, load_sampler(base, "cpu"), tmp_path / "drawings.npy")
        return pick.chosen(found, None).number

    return taken


@pytest.mark.parametrize(
    ("kids", "distances", "number"),
    [
        ((40, 37, 10, 4), (0.05, 0.25, 0.45), 2),  # a style that comes is worth some likeness
        ((40, 37, 4, 3), (0.05, 0.45, 0.95), 1),  # others who are drawn like it are not
        ((40, 38, 39, 41), (0.1, 0.3, 0.5), 0),  # nothing is learned
    ],
)
def test_the_nearest_drawings_of_the_same_persons_are_taken(run, kids, distances, number):
    assert run(kids, distances) == number
