"""A training set in one file: pictures as they were compressed, and the landmarks of their faces.

With it, a machine that has neither face detector nor video libraries can train: sheets, parts and drawings are made
there, by all its cores, once. The file is an uncompressed `.npz`:

    faces/pictures   uint8 [bytes]: the JPEG or PNG files one after another     faces/ends   int64 [N]: where each ends
    faces/points     float32 [N, 68, 2]: landmarks, px of the picture
    NAME/…           the same for a look known by its pictures alone, and NAME/drawings, NAME/drawing_ends: the drawing
                     of each picture, of the same size, brought onto it
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vtoon.errors import VtoonError
from vtoon.train import looks
from vtoon.train.pairs import OFFSET_GRID, SHEET, Drawings, FaceSheets, parts_of, relit, sheet_of
from vtoon.train.spectacles import put_on
from vtoon.types import Landmarks

Variant = tuple[int, bool, bool]  # number of the picture, with drawn glasses, in another light
RELIT, GLASSES, BOTH = 4, 4, 10  # every how many pictures there is one more of this kind


@dataclass
class Pictures:
    """Compressed pictures of one face each."""

    files: list[bytes] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)  # [68, 2] px
    drawings: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.files)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """As they are kept in the file."""
        kept = {f"{name}/points": np.stack(self.points).astype(np.float32)}
        kept[f"{name}/pictures"], kept[f"{name}/ends"] = _joined(self.files)
        if self.drawings:
            kept[f"{name}/drawings"], kept[f"{name}/drawing_ends"] = _joined(self.drawings)
        return kept

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], name: str) -> Pictures:
        """The way back."""
        pictures = cls(_parted(arrays[f"{name}/pictures"], arrays[f"{name}/ends"]), list(arrays[f"{name}/points"]))
        if f"{name}/drawings" in arrays:
            pictures.drawings = _parted(arrays[f"{name}/drawings"], arrays[f"{name}/drawing_ends"])
        return pictures


def _joined(files: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    return np.frombuffer(b"".join(files), np.uint8), np.cumsum([len(file) for file in files])


def _parted(joined: np.ndarray, ends: np.ndarray) -> list[bytes]:
    return [part.tobytes() for part in np.split(joined, ends[:-1])]


def save_pack(path: Path, sets: Mapping[str, Pictures]) -> None:
    """Write the sets; `faces` is the one that every look draws."""
    arrays: dict[str, np.ndarray] = {}
    for name, pictures in sets.items():
        arrays |= pictures.arrays(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(part, path)


def load_pack(path: Path) -> dict[str, Pictures]:
    """Read what `save_pack` wrote. Raises VtoonError where it is missing or something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        return {name.split("/")[0]: Pictures.of(arrays, name.split("/")[0]) for name in arrays if "/ends" in name}
    except (OSError, ValueError, KeyError) as error:
        raise VtoonError(f"{path}: not a packed training set ({error}); pack one with pack_default.py") from None


def encode(image: np.ndarray, suffix: str = ".jpg", quality: int = 93) -> bytes:
    """uint8 [H, W, 3] RGB -> a file's bytes."""
    return cv2.imencode(suffix, image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def decode(data: bytes) -> np.ndarray:
    """A file's bytes -> uint8 [H, W, 3] RGB."""
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


def variants(count: int) -> list[Variant]:
    """Every picture as it is, and some once more with drawn glasses, in another light, or both."""
    rows: list[Variant] = [(i, False, False) for i in range(count)]
    rows += [(i, True, False) for i in range(0, count, GLASSES)]
    rows += [(i, False, True) for i in range(1, count, RELIT)]
    return rows + [(i, True, True) for i in range(2, count, BOTH)]


def unpack(
    sets: Mapping[str, Pictures], folder: Path, counts: Mapping[str, int | None], workers: int
) -> dict[str, Drawings]:
    """Sheets and drawings of packed faces, made by `workers` processes, kept in `folder` for the next time; looks that
    come later find the sheets there.

    `counts`: how many of the sheets each look draws, spread over all; None: every one. Looks of pictures come last.
    """
    rows = variants(len(sets["faces"]))
    order = np.random.default_rng(5).permutation(len(rows))
    rows = [rows[i] for i in order]  # so that the first few are of every kind
    sheet, side = (SHEET, SHEET, 3), SHEET // 4
    shapes = {"photos": (np.uint8, sheet), "parts": (np.uint8, (side, side, 8))}
    shapes |= {"landmarks": (np.float32, (68, 2)), "native_eyes": (np.float32, ())}
    made = _stored(folder, "sheets", shapes, partial(_sheet, sets["faces"]), list(enumerate(rows)), workers)
    faces = FaceSheets(folder, *(made[name] for name in ("photos", "landmarks", "native_eyes", "parts")))
    drawings = {}
    for name, count in counts.items():
        shapes = {f"{name}-offsets": (np.float16, (OFFSET_GRID, OFFSET_GRID, 2))}
        moved = _stored(folder, f"{name}-offsets", shapes, partial(_offsets, faces, name), range(len(rows)), workers)
        few = range(min(count or len(rows), len(rows)))
        drawn = _stored(folder, name, {name: (np.uint8, sheet)}, partial(_drawing, faces, name), few, workers)
        drawings[name] = Drawings(faces, drawn[name], moved[f"{name}-offsets"])
    return drawings | {name: _pictured(sets[name], folder / name) for name in sets if name != "faces"}


def _stored(
    folder: Path, what: str, shapes: Mapping[str, tuple[type, tuple[int, ...]]], job, rows: Sequence, workers: int
) -> dict[str, np.ndarray]:
    """Arrays by name, a file each; filled by `job`, once: row -> its number and its values by name."""
    files, done = {name: folder / f"{name}.npy" for name in shapes}, folder / f"{what}.{len(rows)}.done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.glob(f"{what}.*.done"):  # of another number of rows
            other.unlink()
        arrays = {
            name: np.lib.format.open_memmap(files[name], "w+", dtype, (len(rows), *shape))
            for name, (dtype, shape) in shapes.items()
        }
        for row, values in _mapped(job, rows, workers):
            for name, value in values.items():
                arrays[name][row] = value
        for array in arrays.values():
            array.flush()
        done.touch()
    return {name: np.load(file, "r") for name, file in files.items()}


def _mapped(job, rows: Sequence, workers: int) -> Iterator:
    """Results of `job` as they come."""
    cv2.setNumThreads(0)
    if workers < 2:
        yield from map(job, rows)
        return
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap_unordered(job, rows, chunksize=2)


def _sheet(faces: Pictures, numbered: tuple[int, Variant]) -> tuple[int, dict]:
    """One sheet with its parts."""
    row, (index, with_glasses, in_other_light) = numbered
    landmarks = Landmarks(faces.points[index].astype(np.float64))
    sheet, on_sheet = sheet_of(decode(faces.files[index]), landmarks)
    rng = np.random.default_rng([11, row])
    parts = parts_of(sheet, on_sheet)  # of the face without glasses, which do not move its parts
    sheet = put_on(rng, sheet, on_sheet) if with_glasses else sheet
    if in_other_light:
        sheet = relit(rng, sheet)
        parts = parts_of(sheet, on_sheet)
    return row, {"photos": sheet, "parts": parts, "landmarks": on_sheet.points, "native_eyes": landmarks.eye_distance}


def _offsets(faces: FaceSheets, name: str, row: int) -> tuple[int, dict]:
    dense = looks.warp_offsets(name, Landmarks(faces.landmarks[row].astype(np.float64)), (SHEET, SHEET), 1.0)
    return row, {f"{name}-offsets": cv2.resize(dense, (OFFSET_GRID, OFFSET_GRID), interpolation=cv2.INTER_AREA)}


def _drawing(faces: FaceSheets, name: str, row: int) -> tuple[int, dict]:
    landmarks = Landmarks(faces.landmarks[row].astype(np.float64))
    return row, {name: looks.LOOKS[name](np.array(faces.photos[row]), landmarks)}


def _pictured(pictures: Pictures, folder: Path) -> Drawings:
    """A look known by its pictures: what it reshapes is in its drawings already."""
    made = [[], [], [], [], []]
    for data, points, drawing in zip(pictures.files, pictures.points, pictures.drawings, strict=True):
        landmarks = Landmarks(points.astype(np.float64))
        sheet, on_sheet = sheet_of(decode(data), landmarks)
        drawn, _ = sheet_of(decode(drawing), landmarks)
        row = sheet, drawn, parts_of(sheet, on_sheet), on_sheet.points, landmarks.eye_distance
        for values, value in zip(made, row, strict=True):
            values.append(value)
    photos, sheets, parts, points, eyes = (np.stack(values) for values in made)
    faces = FaceSheets(folder, photos, points.astype(np.float32), eyes.astype(np.float32), parts)
    return Drawings(faces, sheets, np.zeros((len(photos), OFFSET_GRID, OFFSET_GRID, 2), np.float16), exact=False)
