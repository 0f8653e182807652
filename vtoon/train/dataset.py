"""Pictures to train on: a folder, a zip in StyleGAN2-ADA's layout, an LMDB with the published keys, or one packed file.

All of one square size, which is brought to the network's by area. Sets that fit are kept whole on the device as uint8,
so that no step waits for a picture; of larger ones, the next batches are read beside the steps.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vtoon.errors import VtoonError, needs_extra
from vtoon.image import IMAGE_SUFFIXES, image_files, load_image
from vtoon.train.distributed import rank, world_size

log = logging.getLogger("vtoon")
LEAST = 2  # pictures: of one alone, nothing can be learned that it does not show
SHARE = 0.25  # of the device's memory that a set may take
READERS = 4  # threads
TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz")
MAKE = "vtoon dataset FOLDER OUT --size N makes them alike"


class Source(Protocol):
    """Pictures by number. What cannot be read raises VtoonError with the picture's name."""

    path: Path

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def side(self, index: int) -> tuple[int, int]: ...  # (width, height) px, without reading the whole
    def picture(self, index: int) -> np.ndarray: ...  # uint8 [H, W, 3] RGB


class FolderSource:
    """Image files, in folders below, too; without what `vtoon curate` has removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = image_files(path)
        if (path / "dataset.json").is_file():
            _labels((path / "dataset.json").read_text(), path)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return str(self.files[index].relative_to(self.path))

    def side(self, index: int) -> tuple[int, int]:
        return size_of(self.files[index], str(self.files[index]))

    def picture(self, index: int) -> np.ndarray:
        return load_image(self.files[index])[0]


class ZipSource:
    """What StyleGAN2-ADA's dataset_tool.py writes: images, in folders or not, and perhaps dataset.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
            names = sorted(self._zip.namelist())
            if "dataset.json" in names:
                _labels(self._zip.read("dataset.json").decode(errors="replace"), path)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
            raise VtoonError(f"{path}: not a readable zip ({error}); make it again with vtoon dataset") from None
        self.names = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def side(self, index: int) -> tuple[int, int]:
        return size_of(self._bytes(index), self.names[index])

    def picture(self, index: int) -> np.ndarray:
        return decoded(self._bytes(index), self.names[index])

    def _bytes(self, index: int) -> io.BytesIO:
        try:
            return io.BytesIO(self._zip.read(self.names[index]))
        except Exception as error:  # zlib's own errors, a wrong check sum, a compression that is not known
            raise VtoonError(f"{self.names[index]}: cannot be unpacked ({error})") from None


class LmdbSource:
    """What rosinality's prepare_data.py writes: "length", and JPEG or PNG under "{size}-{number of 5 digits}"."""

    def __init__(self, path: Path, size: int) -> None:
        """`size`: wanted; where the set has it not, the next larger one is taken."""
        with needs_extra("train"):
            import lmdb
        self.path = path
        try:
            self._base = lmdb.open(str(path), readonly=True, lock=False, readahead=False, meminit=False, max_readers=32)
            with self._base.begin() as read:
                length, sizes = read.get(b"length"), set()
                for key in read.cursor().iternext(values=False):
                    if match := re.fullmatch(rb"(\d+)-0{5}", key):
                        sizes.add(int(match[1]))
        except lmdb.Error as error:
            raise VtoonError(f"{path}: not a readable LMDB ({error}); make it again with vtoon dataset") from None
        if length is None or not length.isdigit() or not sizes:
            raise VtoonError(f"{path}: an LMDB without pictures under keys like 256-00000 and length")
        self.length = int(length)
        self.size = min((s for s in sizes if s >= size), default=max(sizes))

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"{self.size}-{index:05d}"

    def side(self, index: int) -> tuple[int, int]:
        return size_of(self._bytes(index), self.name(index))

    def picture(self, index: int) -> np.ndarray:
        return decoded(self._bytes(index), self.name(index))

    def _bytes(self, index: int) -> io.BytesIO:
        with self._base.begin() as read:
            data = read.get(self.name(index).encode())
        if data is None:
            raise VtoonError(f"{self.name(index)}: not in the LMDB")
        return io.BytesIO(data)


class PackedSource:
    """One .npy, uint8 [N, H, W, 3] RGB, of which only what is asked for is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise VtoonError(f"{path}: not a readable .npy ({' '.join(str(error).split())[:120]})") from None
        if self.array.dtype != np.uint8 or self.array.ndim != 4 or self.array.shape[3] != 3:
            got = f"{self.array.dtype} {list(self.array.shape)}"
            raise VtoonError(f"{path}: holds {got}; a packed set is uint8 [pictures, height, width, 3]")

    def __len__(self) -> int:
        return len(self.array)

    def name(self, index: int) -> str:
        return f"{self.path.name}[{index}]"

    def side(self, index: int) -> tuple[int, int]:
        return self.array.shape[2], self.array.shape[1]

    def picture(self, index: int) -> np.ndarray:
        return np.array(self.array[index])


def open_source(path: Path, size: int) -> Source:
    """What is at `path`. Raises VtoonError where nothing is, or nothing that holds pictures."""
    if path.is_dir():
        return LmdbSource(path, size) if (path / "data.mdb").is_file() else FolderSource(path)
    if not path.exists():
        raise VtoonError(f"{path}: no such data set; give a folder, .zip, .tar, LMDB or packed .npy")
    kinds = {".zip": ZipSource, ".npy": PackedSource}
    if path.name.lower().endswith(TAR_SUFFIXES):
        from vtoon.train.archives import TarSource

        return TarSource(path)
    if path.suffix == ".mdb":
        return LmdbSource(path.parent, size)
    if path.suffix.lower() not in kinds:
        raise VtoonError(f"{path}: not a data set; give a folder, .zip, .tar, LMDB or packed .npy")
    return kinds[path.suffix.lower()](path)


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


def size_of(file: Path | io.BytesIO, name: str) -> tuple[int, int]:
    """(width, height) px, without reading the whole. Raises VtoonError with the name."""
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = "exif" in image.info and image.getexif().get(0x0112, 1) >= 5  # lies on its side
            return (height, width) if turned else (width, height)
    except Exception as error:  # whatever a damaged file causes
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise VtoonError(f"{name}: not a readable image ({reason})") from None


def decoded(data: io.BytesIO, name: str) -> np.ndarray:
    """uint8 [H, W, 3]. Raises VtoonError with the name."""
    try:
        return load_image(data)[0]
    except VtoonError as error:
        raise VtoonError(str(error).replace(str(data), name)) from None


def _labels(text: str, path: Path) -> None:
    """Labels are not used here; that is said once."""
    try:
        labelled = bool(json.loads(text).get("labels"))
    except (ValueError, AttributeError):
        labelled = False
    if labelled and rank() == 0:
        log.warning("%s: has labels; they are not used", path)
