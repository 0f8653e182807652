"""Where pictures to train on come from: a folder, a zip in StyleGAN2-ADA's layout, an LMDB with the published keys, or
one packed file."""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from vtoon.errors import VtoonError, needs_extra
from vtoon.image import IMAGE_SUFFIXES, image_files, load_image
from vtoon.train.distributed import rank

log = logging.getLogger("vtoon")
TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz")


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
