"""Files of smoothed parsing, as VToonify's smooth_parsing_map.py writes them: .npy, float [frames, 19, H, W]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.format import write_array_header_1_0
from torch import Tensor

from vtoon.engine import Job
from vtoon.errors import VtoonError, describe
from vtoon.models.face_parsing import NUM_CLASSES


class ParsingMapWriter:
    """Appends frames to a .npy file. Their number, which its header tells, is known only at the end."""

    def __init__(self, file: BinaryIO, size: tuple[int, int]) -> None:
        """`file`: open for writing, empty. `size`: (height, width) of the maps, px."""
        self.file, self.size, self.frames = file, size, 0
        self._write_header()

    def append(self, logits: np.ndarray) -> None:
        """The next frame, float [19, H, W]."""
        if logits.shape != (NUM_CLASSES, *self.size):
            raise ValueError(f"a map of {logits.shape} among maps of {(NUM_CLASSES, *self.size)}")
        self.file.write(np.ascontiguousarray(logits, "<f4").data)
        self.frames += 1

    def finish(self) -> None:
        """After this the file is complete."""
        self.file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        # NumPy leaves room for the first number of the shape to grow: the header keeps its length.
        shape = (self.frames, NUM_CLASSES, *self.size)
        write_array_header_1_0(self.file, {"descr": "<f4", "fortran_order": False, "shape": shape})


class ParsingMap:
    """Parsing logits of a clip from a file."""

    def __init__(self, path: Path) -> None:
        """Raises VtoonError where the file is not one. It is mapped, not read: one frame at a time is in memory."""
        self.path = Path(path)
        try:
            self.maps = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise VtoonError(f"{path}: no parsing map can be read ({describe(error)}); expected .npy numbers") from None
        if self.maps.ndim != 4 or self.maps.shape[1] != NUM_CLASSES or self.maps.dtype.kind != "f":
            got = f"{self.maps.dtype} {list(self.maps.shape)}"
            raise VtoonError(f"{path}: {got}; a parsing map is float [frames, {NUM_CLASSES}, height, width]")

    def attached(self, frames: Iterator[list[Job]]) -> Iterator[list[Job]]:
        """Frame by frame, to clips with one region in each. Raises VtoonError where number or shape do not fit."""
        for index, jobs in enumerate(frames):
            if index >= len(self.maps):
                raise VtoonError(f"{self.path}: {len(self.maps)} frames, but the clip has more; make it for this clip")
            parsing = torch.from_numpy(np.array(self.maps[index], np.float32))
            yield [replace(job, parsing=self._fitted(parsing, job.image.shape[:2])) for job in jobs]

    def _fitted(self, parsing: Tensor, size: tuple[int, int]) -> Tensor:
        """At `size` (height, width): a whole frame is drawn at the scale that suits its face, not quite its own."""
        scale = float(np.sqrt(np.prod(size) / np.prod(parsing.shape[1:])))
        if any(abs(scale * side - wanted) > 1 for side, wanted in zip(parsing.shape[1:], size, strict=True)):
            wanted, got = ("{1}x{0}".format(*each) for each in (size, parsing.shape[1:]))
            raise VtoonError(
                f"{self.path}: maps of {got} px, but the region is {wanted} px; make them from the "
                "cropped clip (<name>_input.mp4), and draw that clip with --placement full"
            )
        if tuple(parsing.shape[1:]) == size:
            return parsing
        return F.interpolate(parsing[None], size, mode="bilinear", align_corners=False)[0]
