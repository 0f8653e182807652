"""PairTeacher: samples (photo, drawing, style, degree) for distillation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from vtoon.train import looks
from vtoon.train.pairs import Drawings, FaceSheets, Teacher
from vtoon.train.views import blend, degrade, light, look_at, random_view, reshape

EYE_RANGE = (60.0, 168.0)  # px between the eyes in a view: the working range of inference, a little more
USUAL_EYES = (72.0, 120.0)  # px: what `--detail auto` mostly asks for; three of four views


def look_teacher(name: str) -> Teacher:
    """A built-in look as a teacher."""
    return Teacher(looks.LOOKS[name], partial(_offsets, name))


def _offsets(name, landmarks, shape):
    return looks.warp_offsets(name, landmarks, shape, 1.0)


@cache
def looks_version() -> str:
    """Changes with the source of the looks, so that cached drawings are never those of older code."""
    sources = sorted(Path(looks.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:8]


@dataclass(frozen=True)
class Sample:
    """One training pair. Photo and drawing are uint8 [S, S, 3] RGB."""

    photo: np.ndarray
    drawing: np.ndarray
    look: int
    palette: int
    degree: float
    eye_distance: float


class PairTeacher:
    """Drawings of face sheets by named looks, recoloured by named palettes (the first one leaves colours alone)."""

    def __init__(
        self,
        faces: FaceSheets,
        drawings: Mapping[str, Drawings],
        palettes: Mapping[str, Callable[[np.ndarray], np.ndarray]],
        size: int = 160,
        finish: Callable[[str, np.ndarray], np.ndarray] = lambda look, image: image,
    ) -> None:
        self.faces, self.drawings, self.palettes, self.size, self.finish = faces, drawings, palettes, size, finish
        self.looks = list(drawings)

    def sample(self, rng: np.random.Generator, look: int | None = None, degree: float | None = None) -> Sample:
        """A random view. Half of the degrees are 1, one in ten is 0, the rest anywhere between."""
        if look is None:  # the first look, the default, is drawn twice as often
            look = max(0, int(rng.integers(-1, len(self.looks))))
        palette = int(rng.integers(1, len(self.palettes))) if rng.random() < 0.4 and len(self.palettes) > 1 else 0
        if degree is None:
            degree = float(rng.choice([1.0, 0.0, rng.uniform()], p=[0.5, 0.1, 0.4]))
        eyes = float(np.exp(rng.uniform(*np.log(USUAL_EYES if rng.random() < 0.75 else EYE_RANGE))))
        face = self._pick_face(rng, eyes)
        photo, drawing = self._render(rng, face, look, palette, degree, eyes)
        return Sample(photo, drawing, look, palette, degree, eyes)

    def _pick_face(self, rng: np.random.Generator, eyes: float) -> int:
        """Close views come mostly from photos that are sharp enough for them."""
        sharp = np.flatnonzero(self.faces.native_eyes >= 0.75 * eyes)
        if len(sharp) and rng.random() < 0.6:
            return int(rng.choice(sharp))
        return int(rng.integers(len(self.faces)))

    def _render(
        self, rng: np.random.Generator, face: int, look: int, palette: int, degree: float, eyes: float
    ) -> tuple[np.ndarray, np.ndarray]:
        name, colour = self.looks[look], list(self.palettes.values())[palette]
        drawn = self.drawings[name]
        view = random_view(rng, self.faces.landmarks[face], self.size, eyes)
        points, table = view.sheet_map(), light(rng)
        moved = reshape(points, drawn.offsets[face], degree)
        photo_sheet = self.faces.photos[face]
        photo = table[look_at(photo_sheet, points, eyes)]
        reshaped = table[look_at(photo_sheet, moved, eyes)]
        drawing = colour(self.finish(name, table[look_at(drawn.sheets[face], moved, eyes)]))
        return degrade(rng, photo), blend(reshaped, drawing, degree)
