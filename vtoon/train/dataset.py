"""Pictures to train on, in batches on the device.

All of one square size, which is brought to the network's by area. Sets that fit are kept whole on the device as uint8,
so that no step waits for a picture; of larger ones, the next batches are read beside the steps.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.train.distributed import world_size
from vtoon.train.sources import PackedSource, Source, open_source

log = logging.getLogger("vtoon")
LEAST = 2  # pictures: of one alone, nothing can be learned that it does not show
SHARE = 0.25  # of the device's memory that a set may take
READERS = 4  # threads
MAKE = "vtoon dataset FOLDER OUT --size N makes them alike"


@dataclass(frozen=True)
class _Reader:
    """Readable pictures of a source, each at the network's size."""

    source: Source
    size: int
    chosen: Sequence[int]

    def __call__(self, number: int) -> np.ndarray:
        """uint8 [size, size, 3]; in place of one that turns out damaged, the next one that is not."""
        for offset in range(len(self.chosen)):
            index = self.chosen[(number + offset) % len(self.chosen)]
            try:
                return resized(self.source.picture(index), self.size)
            except VtoonError as error:
                log.warning("%s: left out: %s", self.source.path, error)
        raise VtoonError(f"{self.source.path}: no picture can be read")


class Dataset:
    """Batches of pictures on a device."""

    def __init__(
        self, path: str | Path, size: int, device: torch.device | str = "cpu", most: int | None = None
    ) -> None:
        """`size`: px of the network; `most`: bytes that may be kept on the device (default: a quarter of it).

        Raises VtoonError where there are no two pictures, where sizes are mixed, not square, or smaller than `size`.
        """
        self.source, self.size, self.device = open_source(Path(path), size), size, torch.device(device)
        chosen = _checked(self.source, size)
        self._read = _Reader(self.source, size, chosen)
        most = int(SHARE * _memory(self.device)) if most is None else most
        self._whole: Tensor | None = None
        if len(chosen) * size * size * 3 <= most:
            chosen, array = _loaded(self.source, size, chosen)
            self._whole = torch.from_numpy(array).to(self.device)
        self._chosen, self._count, self._pool, self._coming = chosen, len(chosen), None, {}
        if self._count < LEAST:
            raise VtoonError(f"{path}: readable pictures: {self._count}; at least {LEAST} are needed, better hundreds")

    def __len__(self) -> int:
        return self._count

    @property
    def about(self) -> str:
        """What tells this set from others: its pictures' number and names, not where it lies."""
        names = "\n".join(map(self.source.name, self._read.chosen))
        return f"{len(self)} pictures, {hashlib.sha256(names.encode()).hexdigest()[:12]}"

    @property
    def names(self) -> list[str]:
        """Of the pictures, as their source has them."""
        return [self.source.name(index) for index in self._chosen]

    def picture(self, number: int) -> np.ndarray:
        """One of `names`, uint8 [size, size, 3]. Raises VtoonError where it is damaged: no other stands in for it."""
        return resized(self.source.picture(self._chosen[number]), self.size)

    def batch(self, indices: Tensor, step: int = 0, coming: Iterable[tuple[int, Tensor]] = ()) -> Tensor:
        """Pictures of long [N] on the processor: uint8 [N, size, size, 3] on the device.

        `step` names the batch, `coming` those after it as (step, indices): they are read meanwhile.
        """
        if self._whole is not None:
            place = indices.pin_memory() if self.device.type == "cuda" else indices
            return self._whole[place.to(self.device, non_blocking=True)]
        array = self._ask(step, indices).result()
        del self._coming[step]
        for later, wanted in coming:
            self._ask(later, wanted)
        x = torch.from_numpy(array)
        return x.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else x

    def _ask(self, step: int, indices: Tensor) -> Future:
        self._pool = self._pool or ThreadPoolExecutor(READERS)
        if step not in self._coming:
            self._coming[step] = self._pool.submit(lambda: np.stack([self._read(int(i)) for i in indices]))
        return self._coming[step]

    @property
    def in_memory(self) -> bool:
        return self._whole is not None

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            self._pool, self._coming = None, {}


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square picture uint8 [S, S, 3] at `size` px, by area."""
    if image.shape[0] == size and image.shape[1] == size:
        return image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _checked(source: Source, size: int) -> list[int]:
    """Numbers of the pictures that can be read as far as their heads tell; each of the others is named."""
    found: dict[int, tuple[int, int]] = {}
    first = None
    for index in range(len(source)):
        try:
            found[index] = source.side(index)
        except VtoonError as error:
            log.warning("%s: left out: %s", source.path, error)
            continue
        if first is None:
            first = index
        elif found[index] != found[first]:
            a, b = (f"{source.name(i)} is {found[i][0]}x{found[i][1]}" for i in (first, index))
            raise VtoonError(f"{source.path}: mixed sizes ({a}, {b} px); {MAKE}")
    if first is None:
        what = "no picture in it" if not len(source) else "none of its pictures can be read"
        raise VtoonError(f"{source.path}: {what}; give a folder, .zip, LMDB or packed .npy of pictures")
    width, height = found[first]
    if width != height or width < size:
        raise VtoonError(f"{source.path}: pictures of {width}x{height} px do not fit a network of {size} px; {MAKE}")
    return list(found)


def _loaded(source: Source, size: int, chosen: Sequence[int]) -> tuple[list[int], np.ndarray]:
    """All pictures, uint8 [N, size, size, 3], and the numbers of those that could be read."""
    if isinstance(source, PackedSource) and source.array.shape[1] == size:
        return list(chosen), np.array(source.array)

    def read(index: int) -> np.ndarray | None:
        try:
            return resized(source.picture(index), size)
        except VtoonError as error:
            log.warning("%s: left out: %s", source.path, error)
            return None

    with ThreadPoolExecutor(READERS) as pool:
        pictures = list(pool.map(read, chosen))
    kept = [(i, p) for i, p in zip(chosen, pictures, strict=True) if p is not None]
    array = np.stack([p for _, p in kept]) if kept else np.zeros((0, size, size, 3), np.uint8)
    return [i for i, _ in kept], array


def _memory(device: torch.device) -> int:
    """Bytes free on a device, about."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        import psutil
    except ImportError:
        return 4 * 2**30
    return psutil.virtual_memory().available // world_size()
