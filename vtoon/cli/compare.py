"""A student beside its teacher: how near, how steady, how fast."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vtoon.cli.measure import gflop
from vtoon.image import save_image
from vtoon.latent.sheets import table
from vtoon.metrics import identity_distance, warping_error
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.stylize import Stylizer
from vtoon.types import Landmarks
from vtoon.weights.dlib_embedding import load_face_embedding

if TYPE_CHECKING:
    from vtoon.train.pairs import FaceSheets
    from vtoon.train.students import Lesson

SIDE = 256  # px: of the pictures that speed and cost are told for
STEPS = 8  # frames of the moving face
STEP = (3, 2)  # px from frame to frame: not a multiple of any network's stride
SHOWN = 6  # columns of the sheet


@dataclass(frozen=True)
class Report:
    """A student against its teacher."""

    faces: int  # that were compared
    seen: bool  # whether the student was taught on them
    l1: float  # mean absolute difference, 8-bit steps
    identity: float  # mean distance of the face embeddings of the two drawings; 0.6 is another person
    flicker: float  # warping error of a face that moves over the picture, thousandths
    teacher_flicker: float
    gflop: float  # for 256x256
    fps: float  # regions of 256x256 a second, one at a time, on this device
    megabytes: float  # of the file

    def lines(self) -> Iterator[str]:
        taught = "taught on them" if self.seen else "not taught on them"
        yield f"L1 {self.l1:.1f} of 255, identity {self.identity:.2f} to its teacher ({self.faces} faces, {taught})"
        yield f"flicker {self.flicker:.2f}, its teacher's {self.teacher_flicker:.2f} (thousandths, a moving face)"
        yield f"{self.gflop:.2f} GFLOP and {self.fps:.1f} fps for {SIDE}x{SIDE}, {self.megabytes:.1f} MB"


def compare(student: Stylizer, paint: object, faces: FaceSheets, lesson: Lesson, sheet: Path | None = None) -> Report:
    """`paint`: the teacher, as a student's drawings are made; `sheet`: a picture to write: photo, teacher, student."""
    embed, options = load_face_embedding().embed, StylizeOptions(placement="full", detail=128)
    engine, chosen = student.engine(options), list(lesson.held_out)

    def draw(image: np.ndarray, face: Landmarks) -> np.ndarray:
        return student.draw_faces(image, [face], options, engine)

    where = [Landmarks(faces.landmarks[i].astype(np.float64)) for i in chosen]
    photos, wanted = ([np.array(source[i]) for i in chosen] for source in (faces.photos, lesson.raw))
    drawn = [draw(photo, face) for photo, face in zip(photos, where, strict=True)]
    apart = [np.abs(a.astype(np.float32) - b).mean() for a, b in zip(drawn, wanted, strict=True)]
    persons = [identity_distance(embed, a, f, b, f) for a, b, f in zip(drawn, wanted, where, strict=True)]
    shaking = [1000 * flicker(way, photos[0], where[0]) for way in (draw, paint)]
    if sheet is not None:
        save_image(sheet, shown(photos, wanted, drawn))
    size = student.checkpoint.path.stat().st_size / 1e6
    cost, rate = gflop(engine, (SIDE, SIDE)), fps(engine)
    return Report(len(chosen), lesson.seen, *map(float, (np.mean(apart), np.mean(persons))), *shaking, cost, rate, size)


def shown(photos: Sequence[np.ndarray], wanted: Sequence[np.ndarray], drawn: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of photo, teacher, student."""
    small = [[cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in row[:SHOWN]]
             for row in (photos, wanted, drawn)]  # fmt: skip
    return table(small, down=["photo", "teacher", "student"])


def flicker(draw: object, photo: np.ndarray, face: Landmarks) -> float:
    """Warping error of `draw` on a face that is moved by whole pixels, so that the motion is known exactly."""
    moves = [(STEP[0] * i, STEP[1] * i) for i in range(STEPS)]
    frames = [np.roll(photo, (dy, dx), (0, 1)) for dx, dy in moves]
    drawn = [_as_wide(draw(frame, face.moved(1, move)), frame) for frame, move in zip(frames, moves, strict=True)]

    def follow(_: object, before: np.ndarray, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        edge = np.ones(before.shape[:2], bool)
        edge[64:-64, 64:-64] = False  # where the picture is torn, and its neighbourhood
        return np.roll(output, STEP[::-1], (0, 1)), edge

    return warping_error(drawn, frames, follow)


def _as_wide(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    if image.shape == like.shape:
        return image
    return cv2.resize(image, like.shape[1::-1], interpolation=cv2.INTER_AREA)


def fps(engine: object, least: float = 1.0) -> float:
    """Regions of 256x256 drawn one by one, for about a second."""
    from vtoon.painters.engine import Job

    job, count = Job(np.full((SIDE, SIDE, 3), 128, np.uint8), 64.0), 0
    engine.draw([job])
    started = time.perf_counter()
    while (spent := time.perf_counter() - started) < least:
        engine.draw([job])
        count += 1
    return count / spent


def as_json(report: Report) -> dict:
    """What is kept in the run's folder."""
    return asdict(report)
