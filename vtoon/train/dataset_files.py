"""A data set written: LMDB with the published keys, a zip in StyleGAN2-ADA's layout, or one packed file."""

from __future__ import annotations

import io
import json
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from vtoon.errors import VtoonError, needs_extra
from vtoon.system.target import Target
from vtoon.train.dataset import READERS, resized
from vtoon.train.sources import Source

log = logging.getLogger("vtoon")
MAP_SIZE = 2**40  # bytes that an LMDB may grow to; only what is written takes space
CHUNK = 64  # pictures at once in memory
Watch = Callable[[int, int], None]  # pictures done, of all


def square(image: np.ndarray, size: int) -> np.ndarray:
    """The middle square of uint8 [H, W, 3], at `size` px: by area where it gets smaller, else by Lanczos' filter."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    if side >= size:
        return resized(image, size)
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))


def write_dataset(source: Source, out: Path, sizes: list[int], quality: int, overwrite: bool, watch: Watch) -> int:
    """Write what can be read of `source` to .zip, .npy, or else an LMDB folder. Returns the number of pictures.

    `sizes`: px; only an LMDB takes several. `quality`: of JPEG, 100 for PNG. Raises VtoonError where nothing can be
    read or written; the file appears when it is complete.
    """
    kind = out.suffix.lower()
    if kind in (".zip", ".npy") and len(sizes) > 1:
        raise VtoonError(f"{out}: a {kind} holds one size, not {len(sizes)}; give one --size, or an LMDB folder")
    if kind == ".zip":
        return _write_zip(source, out, sizes[0], quality, overwrite, watch)
    if kind == ".npy":
        return _write_packed(source, out, sizes[0], overwrite, watch)
    return _write_lmdb(source, out, sizes, quality, overwrite, watch)


def pictures(source: Source, sizes: list[int], watch: Watch) -> Iterator[list[np.ndarray]]:
    """Every picture that can be read, at each size; the others are named."""

    def read(index: int) -> list[np.ndarray] | None:
        try:
            image = source.picture(index)
        except VtoonError as error:
            log.warning("%s: left out: %s", source.path, error)
            return None
        return [square(image, size) for size in sizes]

    numbers, done = iter(range(len(source))), 0
    with ThreadPoolExecutor(READERS) as pool:
        while some := list(islice(numbers, CHUNK)):
            yield from (made for made in pool.map(read, some) if made is not None)
            done += len(some)
            watch(done, len(source))


def _coded(image: np.ndarray, quality: int) -> bytes:
    data = io.BytesIO()
    options = {"format": "PNG"} if quality == 100 else {"format": "JPEG", "quality": quality, "subsampling": 0}
    Image.fromarray(image).save(data, **options)
    return data.getvalue()


def _write_zip(source: Source, out: Path, size: int, quality: int, overwrite: bool, watch: Watch) -> int:
    ending = "png" if quality == 100 else "jpg"
    target = Target(out, [source.path], overwrite)
    target.create()
    try:
        count = 0
        with zipfile.ZipFile(target.part, "w", zipfile.ZIP_STORED) as file:
            for (image,) in pictures(source, [size], watch):
                file.writestr(f"{count // 1000:05d}/img{count:08d}.{ending}", _coded(image, quality))
                count += 1
            file.writestr("dataset.json", json.dumps({"labels": None}))
        _some(count, source)
        target.commit()
    except OSError as error:
        raise VtoonError(f"{out}: cannot be written ({error.strerror or 'is the disk full?'})") from None
    finally:
        target.discard()
    return count


def _write_packed(source: Source, out: Path, size: int, overwrite: bool, watch: Watch) -> int:
    target = Target(out, [source.path], overwrite)
    target.create()
    try:
        made = [image for (image,) in pictures(source, [size], watch)]
        _some(len(made), source)
        with target.part.open("wb") as file:
            np.save(file, np.stack(made))
        target.commit()
    except OSError as error:
        raise VtoonError(f"{out}: cannot be written ({error.strerror or 'is the disk full?'})") from None
    finally:
        target.discard()
    return len(made)


def _write_lmdb(source: Source, out: Path, sizes: list[int], quality: int, overwrite: bool, watch: Watch) -> int:
    with needs_extra("train"):
        import lmdb
    if (out / "data.mdb").exists() and not overwrite:
        raise VtoonError(f"{out}: holds an LMDB already; add --overwrite, or give another name")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "data.mdb").exists())):
        raise VtoonError(f"{out}: is there already and is no LMDB; give the name of a new folder, .zip or .npy")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        with lmdb.open(str(part), map_size=MAP_SIZE) as base:
            count = 0
            for made in pictures(source, sizes, watch):
                with base.begin(write=True) as write:
                    for size, image in zip(sizes, made, strict=True):
                        write.put(f"{size}-{count:05d}".encode(), _coded(image, quality))
                count += 1
            _some(count, source)
            with base.begin(write=True) as write:
                write.put(b"length", str(count).encode())
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    except (OSError, lmdb.Error) as error:
        raise VtoonError(f"{out}: cannot be written ({error})") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return count


def _some(count: int, source: Source) -> None:
    if not count:
        raise VtoonError(f"{source.path}: no picture in it that can be read")
