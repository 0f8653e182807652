"""Sorting a folder of aligned faces: remove, put back, take in what alignment has left out, undo. Nothing is deleted:
what is removed lies in FOLDER/removed, which trainings and data sets leave out."""

from __future__ import annotations

import csv
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vtoon.errors import VtoonError
from vtoon.faces.align import align_face
from vtoon.faces.detect import FaceDetector
from vtoon.faces.drawn import search
from vtoon.faces.landmarks import FacePose
from vtoon.image import IMAGE_SUFFIXES, REMOVED, load_image, save_image
from vtoon.latent.align import ALREADY, Row, sniffed
from vtoon.latent.frames import BLURRED, DUPLICATE
from vtoon.video import VideoReader, probe
from vtoon.video.part import Part

log = logging.getLogger("vtoon")
FACES, MISSED = "faces", "missed"
VIEWS = (FACES, MISSED, REMOVED)
TILE = 256  # px
USUAL = FacePose(0.498, 0.593, 0.576)  # of a face in its aligned square, in sides: median of 48 photos and drawings
REPORTS = ("report.csv", "metadata.csv")
KEPT = 300  # tiles in memory, of 200 KB at most


@dataclass(frozen=True)
class Tile:
    """One picture of the grid."""

    name: str  # by which it is asked for
    about: str = ""  # why it was missed
    takes: bool = False  # of a missed one: a face is known, which can be taken in


@dataclass(frozen=True)
class Looked:
    """A tile's picture, and what is known of the face in it."""

    image: np.ndarray  # uint8 [<= TILE, <= TILE, 3]
    points: np.ndarray | None  # [68, 2], px of `image`; None: no face is seen


class Collection:
    """A folder of aligned faces with what was removed and missed, and the steps back. Threads may share it."""

    def __init__(self, folder: Path, report: Path | None = None) -> None:
        """`report`: of `vtoon align`; without it FOLDER/report.csv or metadata.csv, where there is one.

        Raises VtoonError where the folder is none or holds no picture, or the report cannot be read.
        """
        self.folder, self._lock = folder, threading.RLock()
        if not folder.is_dir():
            raise VtoonError(f"{folder}: no such folder; give the one that `vtoon align` has filled")
        found = report or next((folder / name for name in REPORTS if (folder / name).is_file()), None)
        self._missed = read_missed(found) if found else {}
        self._undo: list[tuple[Path, Path]] = []  # (from, to) of each move, in order
        self._detector, self._tiles = FaceDetector(), OrderedDict()
        if not any(map(self.names, VIEWS)):
            raise VtoonError(f"{folder}: no picture in it; fill it with: vtoon align PICTURES {folder}")

    def names(self, view: str) -> list[str]:
        """Of the pictures of a view."""
        if view == MISSED:
            return [name for name, row in self._missed.items() if not self._taken(row).exists()]
        place = self._place(view)
        found = os.listdir(place) if place.is_dir() else []
        return sorted(name for name in found if name.lower().endswith(IMAGE_SUFFIXES) and name[0] != ".")

    def tiles(self, view: str) -> list[Tile]:
        if view != MISSED:
            return [Tile(name) for name in self.names(view)]
        rows = ((name, self._missed[name]) for name in self.names(MISSED))
        return [Tile(name, row.reason, row.right > row.left) for name, row in rows]

    def remove(self, name: str) -> None:
        """Into FOLDER/removed."""
        with self._lock:
            self._undo.append(self._move(self._known(FACES, name), self.folder / REMOVED))

    def put_back(self, name: str) -> None:
        """Out of it."""
        with self._lock:
            self._undo.append(self._move(self._known(REMOVED, name), self.folder))

    def take(self, name: str) -> None:
        """Align a face that was found but left out, at the size of the others. Raises VtoonError where none is seen."""
        with self._lock:
            self._known(MISSED, name)
            row = self._missed[name]
            image = _source(row)
            faces, _ = search(self._detector, image)
            if not faces:
                raise VtoonError(f"{row.place}: no face is found in it; align it by hand, or leave it out")
            middle = (row.left + row.right) / 2, (row.top + row.bottom) / 2
            face = min(faces, key=lambda f: np.hypot(*(f.points.mean(0) - middle)))
            path = self._taken(row)
            save_image(path, align_face(image, face, self._size()))
            self._undo.append((Path(), path))

    def undo(self) -> str:
        """Take the last step back; returns the picture's name, "" where there was no step. What had been taken in is
        removed."""
        with self._lock:
            if not self._undo:
                return ""
            source, target = self._undo.pop()
            if source == Path():
                self._move(target, self.folder / REMOVED)
            else:
                self._move(target, source.parent, source.name)
            return target.name

    def tile(self, view: str, name: str) -> Looked:
        """The picture and its points. Raises VtoonError where it cannot be read, or is not of the view."""
        path = self._known(view, name)
        key = view, name, path.stat().st_mtime_ns if path.exists() else 0
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = self._look(view, name, path)
                while len(self._tiles) > KEPT:
                    self._tiles.popitem(last=False)
            return self._tiles[key]

    def _look(self, view: str, name: str, path: Path) -> Looked:
        if view == MISSED:
            row = self._missed[name]
            image = _source(row)
            scale = min(1.0, TILE / max(image.shape[:2]))
            pose = FacePose((row.left + row.right) / 2, (row.top + row.bottom) / 2, max(row.right - row.left, 1))
            face = self._detector.landmarks(image, pose) if row.right > row.left else None
            points = face.moved(scale).points if face else None
            return Looked(_small(image), points)
        small = _small(load_image(path)[0])
        return Looked(small, _points(self._detector, small))

    def _place(self, view: str) -> Path:
        return self.folder if view == FACES else self.folder / REMOVED

    def _known(self, view: str, name: str) -> Path:
        """Of a name of the view: nothing else is touched, whatever a page asks for."""
        if name not in self.names(view):
            raise VtoonError(f"{name}: is not among the {view} any more; load the page again")
        return self._place(view) / name if view != MISSED else Path(self._missed[name].source)

    def _taken(self, row: Row) -> Path:
        """What a missed face is called once it is taken in."""
        frame = "" if row.frame is None else f"_{row.frame:06d}"
        return self.folder / f"{Path(row.source).stem}{frame}_{row.left}x{row.top}.png"

    def _size(self) -> int:
        faces = self.names(FACES) or self.names(REMOVED)
        if not faces:
            return 1024
        place = self.folder if self.names(FACES) else self.folder / REMOVED
        with Image.open(place / faces[0]) as image:
            return image.height

    def _move(self, source: Path, place: Path, name: str | None = None) -> tuple[Path, Path]:
        """Returns (from, to). A name that is taken there gets a number."""
        target = place / (name or source.name)
        number = 1
        while target.exists():
            number += 1
            target = place / f"{source.stem}-{number}{source.suffix}"
        try:
            place.mkdir(exist_ok=True)
            os.rename(source, target)
        except OSError as error:
            raise VtoonError(f"{source}: cannot be moved to {place} ({error.strerror})") from None
        return source, target


def read_missed(report: Path) -> dict[str, Row]:
    """The rows of a report of `vtoon align` that tell of a picture or face left out, by a name for each. Blurred
    frames and near-duplicates are none. Raises VtoonError where the file is no report."""
    try:
        with report.open(newline="") as file:
            rows = [_row(line) for line in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, ValueError, TypeError, csv.Error) as error:
        raise VtoonError(f"{report}: not a report of `vtoon align` ({' '.join(str(error).split())[:80]})") from None
    left = [row for row in rows if row.reason and not row.output]
    if left and not any(os.path.isfile(row.source) for row in left):
        log.warning("%s: its pictures are not found from here; go to the folder where it was made", report)
    left = [row for row in left if os.path.isfile(row.source)]
    left = [row for row in left if not row.reason.endswith((DUPLICATE, ALREADY, REMOVED))]
    left = [row for row in left if not row.reason.startswith(BLURRED)]
    return {f"{number + 1}: {Path(row.place).name}": row for number, row in enumerate(left)}


def _row(line: dict[str, str]) -> Row:
    values = {}
    for field in fields(Row):
        text = line[field.name] if field.name in line else None
        if text is None:
            raise ValueError(f"no column {field.name}")
        whole = field.name in ("frame", "side", "left", "top", "right", "bottom")
        values[field.name] = (int(text) if text else None) if whole else text
    return Row(**values)


def _source(row: Row) -> np.ndarray:
    """The whole picture that a row tells of; of a video about that frame, where its rate changes."""
    if row.frame is None or sniffed(row.source) != "video":
        return load_image(row.source)[0]
    rate = float(probe(Path(row.source)).rate) or 25.0
    with VideoReader(row.source, part=Part(row.frame / rate)) as reader:
        return next(iter(reader)).image


def _small(image: np.ndarray) -> np.ndarray:
    scale = TILE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _points(detector: FaceDetector, image: np.ndarray) -> np.ndarray | None:
    """Of an aligned face, which is where such faces are."""
    side = min(image.shape[:2])
    face = detector.landmarks(image, FacePose(USUAL.x * side, USUAL.y * side, USUAL.side * side))
    return face.points if face else None


def paths_of(points: np.ndarray) -> list[list[Sequence[float]]]:
    """The 68 points as the lines that one draws of them: jaw, brows, nose, eyes, lips."""
    closed = ((36, 42), (42, 48), (48, 60), (60, 68))
    lines = [points[a:b] for a, b in ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36))]
    lines += [np.vstack([points[a:b], points[a : a + 1]]) for a, b in closed]
    return [line.round(1).tolist() for line in lines]
