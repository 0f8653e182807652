"""Quick students: a network of the built-in kind that draws the one style of any stylizer (paired distillation).

The teacher draws every face sheet once. Where it reshapes faces (larger eyes, a smaller chin), its drawing is brought
back onto the photo by the landmarks of both, and the way back is kept as offsets: so the student learns shape and
appearance apart, as it does from the built-in looks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from scipy.interpolate import RBFInterpolator

from vtoon.models.builtin import LIVE, SMALL, BuiltinVToonify
from vtoon.models.vtoonify import VToonifyConfig
from vtoon.train.init import unit_variance_
from vtoon.train.paired import GRID, onto
from vtoon.train.pairs import OFFSET_GRID, SHEET, SHEET_EYES, Drawings, FaceSheets, find_face, new_array, save_array
from vtoon.train.recipes.distill import Batch
from vtoon.train.teacher import PairTeacher
from vtoon.types import Landmarks

PRESETS: dict[str, VToonifyConfig] = {"small": SMALL, "live": LIVE}
RESHAPES = 0.06  # eye distances: a teacher whose landmarks lie farther from the photo's, in the median, reshapes faces
TOLD_BY = 24  # drawings
LOST = 0.5  # farther than this the landmarks of a drawing are not of its face
HELD_OUT = 8  # faces that the student never sees, of sets that are large enough; its report is of them
Paint = Callable[[np.ndarray, Landmarks], np.ndarray]  # uint8 [H, W, 3] and its face -> the drawing, of any size
Watch = Callable[[int, int], None]  # faces done, of all


class Shaping(Protocol):
    """A teacher that tells shape and appearance apart itself; see BuiltinPainter."""

    def unshaped(self, image: np.ndarray, face: Landmarks) -> np.ndarray: ...
    def reshaping(self, image: np.ndarray, face: Landmarks) -> np.ndarray: ...


@dataclass(frozen=True)
class Lesson:
    """What a teacher has drawn."""

    taught: Drawings  # of the faces that the student learns from
    raw: np.ndarray  # uint8 [N, SHEET, SHEET, 3]: of all faces, as the teacher drew them
    held_out: range  # numbers of the faces that the report is of
    reshapes: float  # eye distances, the median over faces

    @property
    def seen(self) -> bool:
        """Whether the student has seen the faces of the report: there were too few to keep some back."""
        return self.held_out.stop > 0 and self.held_out.start < len(self.taught.sheets)


def lesson_by(
    paint: Paint,
    faces: FaceSheets,
    name: str,
    stamp: str,
    watch: Watch = lambda done, total: None,
    shaping: Shaping | None = None,
) -> Lesson:
    """Every sheet drawn by a teacher. Done once for each `stamp` (the teacher's settings); what was stopped goes on.
    `shaping`: of a teacher that knows how it reshapes faces, which then has not to be found in its drawings."""
    count = len(faces)
    kept = count - HELD_OUT if count >= 4 * HELD_OUT else count
    reported = range(kept, count) if kept < count else range(max(0, count - HELD_OUT), count)
    rows = (values[:kept] for values in (faces.photos, faces.landmarks, faces.native_eyes, faces.parts))
    taught = FaceSheets(faces.folder, *rows)
    if shaping:
        raw = _painted(paint, faces, f"{name}-{stamp}-reported", watch, reported.start)
        sheets = _painted(shaping.unshaped, taught, f"{name}-{stamp}-unshaped", watch)
        offsets, median = _told(shaping, taught, f"{name}-{stamp}")
        return Lesson(Drawings(taught, sheets, offsets), raw, reported, median)
    raw = _painted(paint, faces, f"{name}-{stamp}", watch)
    sheets, offsets, median = _shaped(taught, raw, f"{name}-{stamp}")
    return Lesson(Drawings(taught, sheets, offsets, exact=median <= RESHAPES), raw, reported, median)


def _told(shaping: Shaping, faces: FaceSheets, stem: str) -> tuple[np.ndarray, float]:
    """Offsets to the teacher's own shapes, and how far landmarks go: the median over faces, eye distances."""
    place = faces.folder / f"{stem}-offsets.npy"
    if not place.exists():
        told = [shaping.reshaping(np.array(photo), Landmarks(points.astype(np.float64)))
                for photo, points in zip(faces.photos, faces.landmarks, strict=True)]  # fmt: skip
        save_array(
            place, np.stack([cv2.resize(field, (OFFSET_GRID, OFFSET_GRID)) for field in told]).astype(np.float16)
        )
    offsets = np.load(place)
    cells = np.clip(faces.landmarks * (OFFSET_GRID / SHEET), 0, OFFSET_GRID - 1).astype(int)
    moved = [np.hypot(*own[at[:, 1], at[:, 0]].astype(np.float32).T).mean()
             for own, at in zip(offsets, cells, strict=True)]  # fmt: skip
    return offsets, float(np.median(moved)) / SHEET_EYES


def _painted(paint: Paint, faces: FaceSheets, stem: str, watch: Watch, first: int = 0) -> np.ndarray:
    """uint8 [N, SHEET, SHEET, 3]; those before `first` are left out, and black."""
    whole, part, count = (faces.folder / f"{stem}-{end}" for end in ("raw.npy", "raw.part", "raw.count"))
    if not whole.exists():
        done = int(count.read_text()) if part.exists() and count.exists() else 0
        array = np.lib.format.open_memmap(part) if done else new_array(part, faces.photos.shape)
        for i in range(max(done, first), len(faces)):
            drawn = paint(np.array(faces.photos[i]), Landmarks(faces.landmarks[i].astype(np.float64)))
            way = cv2.INTER_AREA if drawn.shape[0] > SHEET else cv2.INTER_CUBIC
            array[i] = drawn if drawn.shape[0] == SHEET else cv2.resize(drawn, (SHEET, SHEET), interpolation=way)
            array.flush()
            count.write_text(str(i + 1))
            watch(i + 1, len(faces))
        del array
        os.replace(part, whole)
        count.unlink(missing_ok=True)
    return np.load(whole, mmap_mode="r", allow_pickle=False)


def _shaped(faces: FaceSheets, raw: np.ndarray, stem: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Drawings in the shape of their photos [N, SHEET, SHEET, 3], offsets to their own, and how far that is.

    Some tell whether the teacher reshapes faces; only then all are looked at.
    """
    count = len(faces)
    keeps = np.zeros((count, OFFSET_GRID, OFFSET_GRID, 2), np.float16)
    some = np.unique(np.linspace(0, count - 1, min(TOLD_BY, count)).astype(int))
    apart, _ = _found(faces, raw, some, f"{stem}-some")
    good = apart < LOST
    median = float(np.median(apart[good])) if good.sum() > len(some) / 2 else 0.0
    if median <= RESHAPES:
        return raw[:count], keeps, median
    apart, there = _found(faces, raw, np.arange(count), f"{stem}-all")
    found = apart < LOST
    sheets = np.array(raw[:count])
    for i in np.flatnonzero(found):
        drawn, photo = Landmarks(there[i].astype(np.float64)), Landmarks(faces.landmarks[i].astype(np.float64))
        sheets[i] = onto(sheets[i], drawn, photo)
        keeps[i] = offsets_of(photo, drawn)
    return sheets, keeps, median


def _found(faces: FaceSheets, raw: np.ndarray, chosen: np.ndarray, stem: str) -> tuple[np.ndarray, np.ndarray]:
    """Of the chosen drawings, how far their landmarks are from the photo's, and these, float32 [N, 68, 2], sheet px;
    infinitely far where no face is found. Looked for once."""
    from vtoon.faces import FaceDetector

    place = faces.folder / f"{stem}-landmarks.npy"
    if not place.exists():
        detector, found = FaceDetector(), np.full((len(chosen), 68, 2), np.inf, np.float32)
        for row, i in enumerate(chosen):
            if landmarks := find_face(detector, np.array(raw[i])):
                found[row] = landmarks.points
        save_array(place, found)
    there = np.load(place)
    return np.array([_apart(faces.landmarks[i], there[row]) for row, i in enumerate(chosen)]), there


def _apart(photo: np.ndarray, drawn: np.ndarray) -> float:
    eyes = Landmarks(photo.astype(np.float64)).eye_distance
    return float(np.hypot(*(drawn - photo).T).mean() / eyes)


def offsets_of(photo: Landmarks, drawn: Landmarks) -> np.ndarray:
    """The backward map float16 [OFFSET_GRID, OFFSET_GRID, 2], sheet px: where the drawing's pixels lie in the photo."""
    border = np.array([(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)]) * (SHEET - 1)
    places = np.vstack([drawn.points, border])
    moves = np.vstack([photo.points - drawn.points, np.zeros_like(border)])
    field = RBFInterpolator(places, moves, smoothing=photo.eye_distance / 8)
    y, x = np.mgrid[:GRID, :GRID].astype(np.float64)
    cells = (np.stack([x, y], -1) + 0.5) * SHEET / GRID - 0.5
    coarse = field(cells.reshape(-1, 2)).reshape(GRID, GRID, 2).astype(np.float32)
    return cv2.resize(coarse, (OFFSET_GRID, OFFSET_GRID), interpolation=cv2.INTER_CUBIC).astype(np.float16)


def build_student(
    config: VToonifyConfig, teacher: PairTeacher, seed: int, init: BuiltinVToonify | None = None
) -> BuiltinVToonify:
    """A network for the teacher's looks, in their own colours; `init`: a trained one of any widths to start from, whose
    palettes it has too: they go with any look, and nothing of them is learned."""
    torch.manual_seed(seed)
    model = BuiltinVToonify(teacher.looks, init.palettes.names if init else ["own"], config)
    if init is None or init.net.config != config:
        scale_layers_(model, teacher, seed)
    if init is not None:
        model.adopt(init)
        model.palettes.load_state_dict(init.palettes.state_dict())
    return model


def scale_layers_(model: BuiltinVToonify, teacher: PairTeacher, seed: int) -> None:
    """Features of unit variance on some of the teacher's pictures."""
    rng = np.random.default_rng(seed)
    batch = Batch.of([teacher.pair(rng) for _ in range(8)], [teacher.face_sample(rng)], torch.device("cpu"))
    unit_variance_(model.net, lambda: model.draw(*batch.drawn))
