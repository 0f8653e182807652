"""Runs a model on regions of any size: padding, batching, device, memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from vtoon.errors import VtoonError
from vtoon.faces import pad_to_multiple
from vtoon.image import to_tensor, to_uint8
from vtoon.painters.grading import Grading
from vtoon.system.memory import free_bytes, reuse_freed_memory
from vtoon.system.stream import batched
from vtoon.types import Landmarks

log = logging.getLogger("vtoon")
CPU_BATCH_PIXELS = 256 * 256  # a larger CPU batch only costs memory
ABREAST = 4  # frames, at most, that a CPU draws at the same time: each takes memory of its own
# Besides PyTorch's own error, of which cuDNN, cuBLAS and the CPU's allocator know nothing.
OUT_OF_MEMORY = ("ALLOC_FAILED", "out of memory", "can't allocate memory")
SMALLER = "lower --detail or --padding, or take --placement paste"


@dataclass(frozen=True)
class Job:
    """One region to draw: uint8 [h, w, 3] RGB, the distance between the eyes in it, px, and whose face it is."""

    image: np.ndarray
    eye_distance: float
    track: int = 0  # the same number for the same person
    cut: bool = False  # whether a new shot begins with it
    scale: float = 1.0  # px of it for one px of the frame: above 1 it was enlarged
    middle: tuple[float, float] | None = None  # of the eyes, px in it; None: the biggest face is the one
    parsing: torch.Tensor | None = None  # [19, h, w] logits, where they were smoothed over time already
    tones: torch.Tensor | None = None  # [7], the same; see `face_tones`
    eye_light: torch.Tensor | None = None  # [6], of the first of its faces, the same; see `EyeLight`
    faces: tuple[Landmarks, ...] = ()  # in it, px, as far as they are known


def pick_device(name: str = "auto") -> torch.device:
    """'auto' takes CUDA, then Apple's MPS, then the CPU; 'cuda:1' is the second GPU.

    Raises VtoonError where the wanted one is missing.
    """
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if have[d]))
    kind, _, number = name.partition(":")
    if kind not in have or (number and not (kind == "cuda" and number.isdigit())):
        raise VtoonError(f"device {name!r} is not known; choose auto, cpu, cuda (cuda:0, cuda:1, ...) or mps")
    if not have[kind] or int(number or 0) >= max(1, torch.cuda.device_count()):
        raise VtoonError(f"device {name} is not available to PyTorch here; use --device auto or cpu")
    return torch.device(name)


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_dtype(name: str, device: torch.device, half: torch.dtype = torch.float16) -> torch.dtype:
    """'auto' is `half` on CUDA, bf16 on a CPU that multiplies it natively (1.7 times as fast), elsewhere fp32.

    Trainings take bf16 for `half`: gradients overflow in fp16.
    """
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        able = half is not torch.bfloat16 or torch.cuda.is_bf16_supported(including_emulation=False)
        return half if able else torch.float32
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = able.get("avx512_bf16") or able.get("amx_bf16")
    return torch.bfloat16 if device.type == "cpu" and native else torch.float32


class Painter(Protocol):
    """A model with one style at one degree."""

    rounding: bool  # to the nearest level, or down as the published code does
    bytes_per_pixel: int  # of memory, for each pixel of a region while it is drawn
    dtype: torch.dtype = torch.float32  # of the network that draws
    grading: Grading | None = None  # of what is not drawn
    parallel: bool = False  # whether it may be called by several threads at once

    def prepare(self, frames: Iterator[list[Job]]) -> Iterator[list[Job]]:
        """What has to be known of the regions of many frames; a bounded number of frames behind."""
        return frames

    def grade(self, scene: np.ndarray) -> np.ndarray:
        """The style's colours on the part of a frame that is not drawn, uint8 [H, W, 3]."""
        return self.grading(scene) if self.grading else scene

    def __call__(self, x: torch.Tensor, jobs: Sequence[Job]) -> torch.Tensor:
        """x: the regions of `jobs`, padded, [N, 3, H, W] in [-1, 1], H and W multiples of 8. Returns the drawings."""


class Engine:
    """Draws regions of any size with a painter."""

    def __init__(self, painter: Painter, device: torch.device | str = "cpu", batch_size: int | None = None) -> None:
        self.painter, self.device, self.batch_size = painter, torch.device(device), batch_size
        self._fitting = 0  # px of the largest region that was found to fit
        self._most = 1 << 62  # px of a batch, less where one did not fit
        if self.device.type == "cpu":
            reuse_freed_memory()

    def draw(self, jobs: Sequence[Job]) -> list[np.ndarray]:
        """Every region's drawing, uint8 [h, w, 3], in the order of the jobs; equal sizes share a batch."""
        results: list[np.ndarray | None] = [None] * len(jobs)
        for group in self._groups(jobs):
            for index, image in zip(group, self._run([jobs[i] for i in group]), strict=True):
                results[index] = image
        return results

    def _groups(self, jobs: Sequence[Job]) -> Iterator[list[int]]:
        alike: dict[tuple, list[int]] = {}
        for i, job in enumerate(jobs):
            alike.setdefault(job.image.shape[:2], []).append(i)
        for (height, width), indices in alike.items():
            yield from batched(indices, self.batch(height, width))

    def batch(self, height: int, width: int) -> int:
        """How many regions of this size to draw at once: what was asked for, or what half of the free memory holds, at
        most 16 (on a CPU 4 small ones).

        Raises VtoonError where not even one fits: Linux would end the process without a word.
        """
        self.check(height, width)
        need, free = height * width * self.painter.bytes_per_pixel, free_bytes(self.device)
        most = 16 if self.device.type == "cuda" else min(4, CPU_BATCH_PIXELS // (height * width))
        most = min(self.batch_size or max(1, most), free // 2 // need, self._most // (height * width))
        return max(1, most)

    def check(self, height: int, width: int) -> None:
        """Raises VtoonError where a region of this size does not fit into memory.

        Where one as large did, it still does: freed memory is kept (see `reuse_freed_memory`).
        """
        if height * width <= self._fitting:
            return
        need, free = height * width * self.painter.bytes_per_pixel, free_bytes(self.device)
        if need > free:
            raise VtoonError(
                f"a region of {width}x{height} px takes about {need / 1e9:.1f} GB to draw, and {free / 1e9:.1f} GB of "
                f"memory are free; {SMALLER}"
            )
        self._fitting = height * width

    @property
    def abreast(self) -> int:
        """How many frames of a video to draw at the same time, 1 or more. A CPU's cores draw a frame each: sharing one,
        they would wait for the slowest of them after every layer, and small layers are too short to be shared."""
        able = self.painter.parallel and self.device.type == "cpu"
        return min(ABREAST, torch.get_num_threads()) if able else 1

    def room(self, jobs: Sequence[Job]) -> int:
        """For how many frames with such regions half of the free memory is enough, 1 or more."""
        pixels = sum(job.image.shape[0] * job.image.shape[1] for job in jobs)
        need = max(1, pixels * self.painter.bytes_per_pixel)
        return max(1, free_bytes(self.device) // 2 // need)

    @torch.inference_mode()
    def _run(self, jobs: Sequence[Job]) -> list[np.ndarray]:
        height, width = jobs[0].image.shape[:2]
        padded = np.stack([pad_to_multiple(job.image)[0] for job in jobs])
        x = to_tensor(padded, self.device).contiguous(memory_format=torch.channels_last)
        y = self._attempt(x, jobs)
        if y is None and len(jobs) == 1:
            raise VtoonError(
                f"a region of {width}x{height} px does not fit into the memory of {self.device}; {SMALLER}, "
                "or use --device cpu"
            )
        if y is None:
            self._most = min(self._most, len(jobs) // 2 * height * width)
            drawn: list[np.ndarray] = []
            while len(drawn) < len(jobs):  # each time as many as fit by then
                drawn += self._run(jobs[len(drawn) :][: max(1, self._most // (height * width))])
            return drawn
        scale = y.shape[2] // x.shape[2]
        return list(to_uint8(y[:, :, : height * scale, : width * scale], self.painter.rounding))

    def _attempt(self, x: torch.Tensor, jobs: Sequence[Job]) -> torch.Tensor | None:
        """What the painter draws; None where it does not fit into memory. A function of its own, so that what the
        failed attempt holds is let go before the next one."""
        try:
            return self._finite(x, jobs)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
                return None
            raise

    def _finite(self, x: torch.Tensor, jobs: Sequence[Job]) -> torch.Tensor:
        """What the painter draws; where 16 bits do not hold its numbers, from now on in 32."""
        y = self.painter(x, jobs)
        if self.painter.dtype is torch.float32 or y.sum(dtype=torch.float32).isfinite():
            return y
        log.warning("%s is too narrow for this model: going on with --dtype fp32", self.painter.dtype)
        self.painter.dtype = torch.float32
        return self.painter(x, jobs)
