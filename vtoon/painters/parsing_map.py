"""Files of smoothed parsing, as VToonify's smooth_parsing_map.py writes them: .npy, float [frames, 19, H, W]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtoon.errors import VtoonError, describe
from vtoon.models.face_parsing import NUM_CLASSES
from vtoon.painters.engine import Job


class ParsingMap:
    """Parsing logits of a clip from a file."""

    def __init__(self, path: Path) -> None:
        """Raises VtoonError where the file is not one. It is mapped, not read: one frame at a time is in memory."""
        self.path = Path(path)
        try:
            self.maps = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # NumPy also tries archives, and lets whatever a damaged file causes through
            raise VtoonError(f"{path}: no parsing map can be read ({describe(error)}); expected .npy numbers") from None
        if not isinstance(self.maps, np.ndarray):
            raise VtoonError(f"{path}: an archive of arrays; a parsing map is one .npy array")
        if self.maps.ndim != 4 or self.maps.shape[1] != NUM_CLASSES or self.maps.dtype.kind != "f":
            got = f"{self.maps.dtype} {list(self.maps.shape)}"
            raise VtoonError(f"{path}: {got}; a parsing map is float [frames, {NUM_CLASSES}, height, width]")

    def attached(self, frames: Iterator[list[Job]]) -> Iterator[list[Job]]:
        """Frame by frame, to clips with one region in each. Raises VtoonError where number or shape do not fit."""
        for index, jobs in enumerate(frames):
            if index >= len(self.maps):
                raise VtoonError(f"{self.path}: {len(self.maps)} frames, but the clip has more; make it for this clip")
            parsing = torch.from_numpy(np.array(self.maps[index], np.float32))
            if not parsing.isfinite().all():
                raise VtoonError(f"{self.path}: frame {index} holds values that are not finite; make the map again")
            yield [replace(job, parsing=self._fitted(parsing, job.image.shape[:2])) for job in jobs]

    def _fitted(self, parsing: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(parsing.shape[1:]) != size:
            wanted, got = ("{1}x{0}".format(*each) for each in (size, parsing.shape[1:]))
            raise VtoonError(
                f"{self.path}: maps of {got} px, but the region is {wanted} px; make them from the "
                "cropped clip (<name>_input.mp4), and draw that clip with --placement full"
            )
        return parsing
