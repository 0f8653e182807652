"""Training pairs without end: photos, drawings of them by a teacher, and random views of both.

A face is prepared once as a square sheet with a fixed eye distance; a teacher's drawing of it is a second sheet plus
smooth offsets that reshape it. One training sample is one random view (zoom, roll, place) of the two sheets.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from vtoon.errors import VtoonError
from vtoon.image import PHOTO_SUFFIXES, image_files, load_image
from vtoon.models.face_net import PARTS, POOL
from vtoon.train.looks.regions import Face
from vtoon.train.looks.tone import to_bytes
from vtoon.types import Landmarks
from vtoon.weights.npy import NpyWriter

if TYPE_CHECKING:
    from vtoon.faces import FaceDetector

SHEET = 512  # px
SHEET_EYES = 128.0  # px between the eyes on a sheet
SHEET_CENTRE = (256.0, 236.0)  # where the middle between the eyes goes
LEAST_EYES = 40  # px between the eyes of a picture that is at least twice as large
OFFSET_GRID = 64  # offsets are smooth: this many samples a side hold them
VERSION = 2  # of how sheets are made; cached ones of another version are made again
RELIT = 5  # every fifth face is there once more in a worse light: portraits are lit far better than clips


@dataclass(frozen=True)
class Teacher:
    """A look as a function: appearance at full strength, and shape."""

    paint: Callable[[np.ndarray, Landmarks], np.ndarray]  # uint8 [H, W, 3] -> the same
    offsets: Callable[[Landmarks, tuple[int, int]], np.ndarray]  # -> float32 [h, w, 2] px, backward map at degree 1


@dataclass(frozen=True)
class FaceSheets:
    """All faces of a training set, on disk, read as they are needed."""

    folder: Path
    photos: np.ndarray  # uint8 [N, SHEET, SHEET, 3]
    landmarks: np.ndarray  # float32 [N, 68, 2], sheet px
    native_eyes: np.ndarray  # float32 [N], px between the eyes in the file: how sharp the sheet really is
    parts: np.ndarray  # uint8 [N, SHEET / 4, SHEET / 4, 8], soft masks of the parts of the face

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def originals(self) -> int:
        """How many different photos there are: a relit face has the landmarks of its original."""
        return len(np.unique(self.landmarks, axis=0))


def sheet_of(image: np.ndarray, landmarks: Landmarks) -> tuple[np.ndarray, Landmarks]:
    """Scale and shift a photo onto a sheet; what lies outside the photo is its reflection."""
    scale = SHEET_EYES / landmarks.eye_distance
    if scale < 0.75:  # area averaging first, or fine texture aliases
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        landmarks, scale = landmarks.moved(scale), 1.0
    centre = np.mean(landmarks.eyes, axis=0) * scale
    shift = np.array(SHEET_CENTRE) - centre
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    sheet = cv2.warpAffine(image, matrix, (SHEET, SHEET), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return sheet, landmarks.moved(scale, tuple(shift))


def find_face(detector: FaceDetector, image: np.ndarray) -> Landmarks | None:
    """The largest face of a picture uint8 [H, W, 3], unless it is too small to be of use."""
    # HOG misses faces under about 80 px: a 256 px portrait is shown to it at twice the size
    factor = 2 if max(image.shape[:2]) < 512 else 1
    faces = detector.detect(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC))
    if not faces or faces[0].eye_distance < LEAST_EYES:
        return None
    return faces[0].resized(1 / factor)


class SheetMaker:
    """Puts faces on sheets, one after the other, and keeps them in a folder: there may be more than memory holds."""

    def __init__(self, folder: Path) -> None:
        from vtoon.faces import FaceDetector  # dlib, which a training on packed faces does without

        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.detector = folder, FaceDetector()
        self.writers: dict[str, NpyWriter] = {}
        self.landmarks: list[np.ndarray] = []  # on the sheets
        self.eyes: list[float] = []  # px between them in the pictures

    def find(self, image: np.ndarray) -> Landmarks | None:
        """The largest face of a picture, unless it is too small to be of use."""
        return find_face(self.detector, image)

    def add(self, image: np.ndarray, landmarks: Landmarks, drawing: np.ndarray | None = None) -> None:
        """A photo uint8 [H, W, 3] and its face; with it a drawing of the same size, if there is one."""
        sheet, on_sheet = sheet_of(image, landmarks)
        self._keep(sheet, on_sheet, landmarks.eye_distance)
        if drawing is not None:
            self._append("drawings", sheet_of(drawing, landmarks)[0])

    def add_relit(self, image: np.ndarray, landmarks: Landmarks) -> None:
        """The same photo in another light."""
        sheet, on_sheet = sheet_of(image, landmarks)
        self._keep(relit(np.random.default_rng(len(self)), sheet), on_sheet, landmarks.eye_distance)

    def __len__(self) -> int:
        return len(self.landmarks)

    def save(self) -> None:
        """After this `load_faces` finds them: the landmarks come last."""
        for name, writer in self.writers.items():
            writer.finish()
            writer.file.close()
            os.replace(writer.file.name, self.folder / f"{name}.npy")
        save_array(self.folder / "native_eyes.npy", np.array(self.eyes, np.float32))
        save_array(self.folder / "landmarks.npy", np.stack(self.landmarks).astype(np.float32))

    def _keep(self, sheet: np.ndarray, on_sheet: Landmarks, eyes: float) -> None:
        self._append("photos", sheet)
        self._append("parts", parts_of(sheet, on_sheet))
        self.landmarks.append(on_sheet.points)
        self.eyes.append(eyes)

    def _append(self, name: str, row: np.ndarray) -> None:
        if name not in self.writers:
            self.writers[name] = NpyWriter((self.folder / f"{name}.part").open("wb"), row.shape, row.dtype)
        self.writers[name].append(row)


def cache_folder(cache: Path, files: Sequence[Path]) -> Path:
    """Where the sheets of these pictures are kept."""
    stamp = hashlib.sha256(json.dumps([VERSION, SHEET, SHEET_EYES, RELIT, *PARTS]).encode())
    for path in files:
        stamp.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return cache / stamp.hexdigest()[:12]


def load_faces(folder: Path) -> FaceSheets | None:
    """What a SheetMaker has saved, if it has."""
    if not (folder / "landmarks.npy").exists():
        return None
    load = partial(np.load, allow_pickle=False)
    photos, parts = (load(folder / f"{name}.npy", mmap_mode="r") for name in ("photos", "parts"))
    landmarks, eyes = (load(folder / f"{name}.npy") for name in ("landmarks", "native_eyes"))
    return FaceSheets(folder, photos, landmarks, eyes, parts)


def prepare_faces(folders: Sequence[Path], cache: Path, most: int | None = None) -> FaceSheets:
    """Find the face in every picture of the folders and put it on a sheet; done once, kept under `cache`. `most`: of
    more pictures, so many are taken, evenly from first to last."""
    files = sorted(p for folder in folders for p in image_files(Path(folder), PHOTO_SUFFIXES))
    if not files:
        raise VtoonError(f"{', '.join(map(str, folders))}: no picture; a training set needs folders of portraits")
    if most is not None and len(files) > most:
        files = [files[i * len(files) // most] for i in range(most)]
    folder = cache_folder(cache, files)
    if not (faces := load_faces(folder)):
        maker = SheetMaker(folder)
        for path in tqdm(files, desc="faces", unit="picture"):
            image, _ = load_image(path)
            if not (landmarks := maker.find(image)):
                continue
            maker.add(image, landmarks)
            if len(maker) % (RELIT + 1) == 1:
                maker.add_relit(image, landmarks)
        if not maker:
            raise VtoonError(f"{', '.join(map(str, folders))}: no face found in any of {len(files)} pictures")
        maker.save()
        faces = load_faces(folder)
    return faces


def relit(rng: np.random.Generator, sheet: np.ndarray) -> np.ndarray:
    """A sheet in a dim room, by a lamp of some colour, lit from one side: uint8 [H, W, 3] -> the same."""
    height, width = sheet.shape[:2]
    linear = (sheet.astype(np.float32) / 255) ** 2.2
    warmth = rng.uniform(-0.35, 0.75)  # cold screens to incandescent lamps
    lamp = np.float32([np.exp(0.35 * warmth), 1.0, np.exp(-0.7 * warmth)]) * np.exp(rng.uniform(-1.6, 0.2))
    angle, contrast = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.8)
    y, x = np.mgrid[:height, :width].astype(np.float32) / (height - 1) * 2 - 1
    side = np.exp(contrast * (np.cos(angle) * x + np.sin(angle) * y))
    return to_bytes((np.clip(linear * side[..., None] * lamp, 0, 1)) ** (1 / 2.2))


def parts_of(sheet: np.ndarray, landmarks: Landmarks) -> np.ndarray:
    """What `FaceNet` learns to find, at a quarter of the size: uint8 [h / 4, w / 4, 8]."""
    face = Face(sheet, landmarks)
    masks = np.stack([getattr(face, name) for name in PARTS], -1)
    small = cv2.resize(masks, (sheet.shape[1] // POOL, sheet.shape[0] // POOL), interpolation=cv2.INTER_AREA)
    return to_bytes(small)


@dataclass(frozen=True)
class Drawings:
    """One look's drawings of all sheets."""

    faces: FaceSheets
    sheets: np.ndarray  # uint8 [N, SHEET, SHEET, 3]
    offsets: np.ndarray  # float16 [N, OFFSET_GRID, OFFSET_GRID, 2], sheet px
    exact: bool = True  # to the pixel; what a hand has drawn is not


def draw(faces: FaceSheets, name: str, teacher: Teacher, version: str, workers: int | None = None) -> Drawings:
    """The teacher's drawing of every sheet; rendered once for each `version` of the teacher."""
    sheets, offsets = (faces.folder / f"{name}-{version}-{kind}.npy" for kind in ("sheets", "offsets"))
    if not offsets.exists():
        part = sheets.with_suffix(".part")
        new_array(part, faces.photos.shape)
        job = partial(_draw_one, teacher, faces.folder, part)
        with get_context("spawn").Pool(workers or os.cpu_count()) as pool:
            rows = list(tqdm(pool.imap(job, range(len(faces))), total=len(faces), desc=name, unit="face"))
        os.replace(part, sheets)
        save_array(offsets, np.stack(rows))
    return Drawings(faces, np.load(sheets, mmap_mode="r"), np.load(offsets))


def _draw_one(teacher: Teacher, folder: Path, target: Path, index: int) -> np.ndarray:
    cv2.setNumThreads(1)
    photo = np.load(folder / "photos.npy", mmap_mode="r")[index]
    landmarks = Landmarks(np.load(folder / "landmarks.npy", mmap_mode="r")[index].astype(np.float64))
    np.load(target, mmap_mode="r+")[index] = teacher.paint(np.array(photo), landmarks)
    dense = teacher.offsets(landmarks, (SHEET, SHEET))
    return cv2.resize(dense, (OFFSET_GRID, OFFSET_GRID), interpolation=cv2.INTER_AREA).astype(np.float16)


def new_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array on disk, mapped, of which all the place is taken at once: a disk that fills under a mapped file
    ends the process without a word. Raises VtoonError where there is no place."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    with path.open("r+b") as file, contextlib.suppress(AttributeError):  # not every system can
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            path.unlink()
            size = array.nbytes / 2**20
            raise VtoonError(f"{path.parent}: no place for {size:.0f} MB of drawings ({error.strerror})") from None
    return array


def save_array(path: Path, array: np.ndarray) -> None:
    """Written beside and renamed: what has the name is whole."""
    part = path.with_suffix(".tmp.npy")
    np.save(part, array)
    os.replace(part, path)
