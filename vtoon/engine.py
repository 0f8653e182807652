"""Runs a model on regions of any size: padding, batching, device, memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vtoon.errors import VtoonError
from vtoon.faces import pad_to_multiple
from vtoon.image import to_tensor, to_uint8
from vtoon.types import Style
from vtoon.video import batched
from vtoon.weights.checkpoint import Checkpoint

CPU_BATCH_PIXELS = 256 * 256  # a larger CPU batch only costs memory
GPU_BYTES_PER_PIXEL = 4 * 1500  # activations of the small model, float32


@dataclass(frozen=True)
class Job:
    """One region to draw: uint8 [h, w, 3] RGB and the distance between the eyes in it, px."""

    image: np.ndarray
    eye_distance: float


def pick_device(name: str = "auto") -> torch.device:
    """'auto' takes CUDA, then Apple's MPS, then the CPU. Raises VtoonError where the wanted one is missing."""
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if have[d]))
    if name not in have:
        raise VtoonError(f"device {name!r} is not known; choose auto, cpu, cuda or mps")
    if not have[name]:
        raise VtoonError(f"device {name} is not available to PyTorch here; use --device auto or cpu")
    return torch.device(name)


class Engine:
    """A checkpoint with one style at one degree, ready to draw."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        style: Style,
        degree: float,
        color_transfer: bool = False,
        device: torch.device | str = "cpu",
        batch_size: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.net = checkpoint.model.net.to(self.device)
        self.bank = checkpoint.bank
        self.bank.codes.to(self.device)
        self.style, self.degree, self.color_transfer = style, float(degree), color_transfer
        self.batch_size = batch_size

    def draw(self, jobs: Sequence[Job]) -> list[np.ndarray]:
        """Every region's drawing, uint8 [h, w, 3], in the order of the jobs; equal sizes share a batch."""
        results: list[np.ndarray | None] = [None] * len(jobs)
        for group in self._groups(jobs):
            for index, image in zip(group, self._run([jobs[i] for i in group]), strict=True):
                results[index] = image
        return results

    def _groups(self, jobs: Sequence[Job]) -> Iterator[list[int]]:
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, job in enumerate(jobs):
            by_size.setdefault(job.image.shape, []).append(i)
        for (height, width, _), indices in by_size.items():
            n = self.batch_size or self.auto_batch(height, width)
            yield from batched(indices, n)

    def auto_batch(self, height: int, width: int) -> int:
        """How many regions of this size to draw at once: on a GPU what half of its free memory holds, at most 16."""
        if self.device.type != "cuda":
            return max(1, min(4, CPU_BATCH_PIXELS // (height * width)))
        free, _ = torch.cuda.mem_get_info(self.device)
        return max(1, min(16, free // 2 // (height * width * GPU_BYTES_PER_PIXEL)))

    @torch.inference_mode()
    def _run(self, jobs: Sequence[Job]) -> list[np.ndarray]:
        height, width = jobs[0].image.shape[:2]
        padded = np.stack([pad_to_multiple(job.image)[0] for job in jobs])
        codes = [self.bank.code(self.style, self.degree, job.eye_distance, self.color_transfer) for job in jobs]
        degree = torch.full((len(jobs), 1), self.degree, device=self.device)
        x = to_tensor(padded, self.device).contiguous(memory_format=torch.channels_last)
        try:
            y = self.net(x, torch.cat(codes), degree)
        except torch.OutOfMemoryError:
            if len(jobs) == 1:
                raise VtoonError(
                    f"a region of {width}x{height} px does not fit into the memory of {self.device}; "
                    "lower --detail, or use --device cpu"
                ) from None
            half = len(jobs) // 2
            return self._run(jobs[:half]) + self._run(jobs[half:])
        return list(to_uint8(y[:, :, :height, :width]))
