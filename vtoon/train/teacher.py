"""PairTeacher: training pairs for the two halves of the built-in model, drawing and shape."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.image import to_tensor
from vtoon.models.face_net import CELL, POOL, face_tones
from vtoon.train import looks
from vtoon.train.pairs import OFFSET_GRID, SHEET_EYES, Drawings, FaceSheets, Teacher
from vtoon.train.views import View, degrade, face_view, light, look_at, offsets_at, parts_at, random_view

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
class Pair:
    """A photo in the shape of its drawing, and the drawing, aligned to the pixel; and what the whole face tells."""

    photo: np.ndarray  # uint8 [S, S, 3] RGB
    drawing: np.ndarray  # the same
    parts: np.ndarray  # uint8 [S / 4, S / 4, 8]
    look: int
    tones: Tensor  # [7], of the whole face
    exact: bool  # whether lines lie where they must
    eye_distance: float  # px


@dataclass(frozen=True)
class FaceSample:
    """A whole face at a quarter of its size, its parts, and every look's field for it."""

    photo: np.ndarray  # uint8 [s, s, 3] RGB
    parts: np.ndarray  # uint8 [s, s, 8]
    fields: np.ndarray  # float32 [looks, 2, s / 2, s / 2]: (dx, dy) at degree 1, in eye distances
    eye_distance: float  # px, of the photo at its full size


class PairTeacher:
    """Drawings of face sheets by named looks. The looks of a stylizer share `faces`; one that is known by its pictures
    alone has faces of its own."""

    def __init__(
        self,
        faces: FaceSheets,
        drawings: Mapping[str, Drawings],
        size: int = 160,
        finish: Callable[[str, np.ndarray], np.ndarray] = lambda look, image: image,
    ) -> None:
        self.faces, self.drawings, self.size, self.finish = faces, drawings, size, finish
        self.looks = list(drawings)
        sets = {id(d.faces): d.faces for d in drawings.values()}
        self._tones = {key: torch.cat([_tones(one, i) for i in range(len(one))]) for key, one in sets.items()}

    @property
    def sources(self) -> dict[str, str]:
        """The sets of pictures by the names of their cached sheets, which tell them apart."""
        own = {f"pairs of {name}": d.faces.folder.name for name, d in self.drawings.items() if not d.exact}
        return {"photos": self.faces.folder.name, **own}

    @property
    def tone_range(self) -> Tensor:
        """[2, 7]: of the tones of all faces, the lowest and highest but for one in a hundred."""
        return torch.cat(list(self._tones.values())).quantile(torch.tensor([0.01, 0.99]), 0)

    def pair(self, rng: np.random.Generator, look: int | None = None) -> Pair:
        """A random view, reshaped as for degree 1 or, one time in three, a degree below it."""
        if look is None:  # the first look, the default, is drawn twice as often
            look = max(0, int(rng.integers(-1, len(self.looks))))
        eyes, faces = _eye_distance(rng), self.drawings[self.looks[look]].faces
        face = _pick_face(rng, drawn_faces(self.drawings[self.looks[look]]), eyes)
        view = random_view(rng, faces.landmarks[face], self.size, eyes)
        degree = 1.0 if rng.random() < 0.67 else rng.uniform()
        photo, drawing, parts = self.render(face, look, view, degree, mirror=rng.random() < 0.5)
        tones = self._tones[id(faces)][face]
        name = self.looks[look]
        exact = self.drawings[name].exact
        return Pair(degrade(rng, photo), self.finish(name, drawing), parts, look, tones, exact, eyes)

    def render(
        self, face: int, look: int, view: View, degree: float, mirror: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One view of a photo reshaped as for this degree, of its drawing, unfinished, and of its parts, uint8.

        Exposure is left alone: drawings depend on the tone of the whole face, which a change after the fact belies.
        """
        drawn = self.drawings[self.looks[look]]

        def moved(view: View) -> np.ndarray:
            points = view.sheet_map()
            points += np.float32(degree) * offsets_at(points, drawn.offsets[face])
            return np.ascontiguousarray(points[:, ::-1]) if mirror else points

        points = moved(view)
        photo, drawing = (
            look_at(sheets[face], points, view.eye_distance) for sheets in (drawn.faces.photos, drawn.sheets)
        )
        return photo, drawing, parts_at(drawn.faces.parts[face], moved(view.shrunk(POOL)))

    def face_sample(self, rng: np.random.Generator, size: int = 96) -> FaceSample:
        """A whole face of random size, place and roll, `size` px a side after the network's own shrinking."""
        eyes = float(np.exp(rng.uniform(*np.log(EYE_RANGE))))
        face = int(rng.integers(len(self.faces)))
        view = face_view(rng, self.faces.landmarks[face], size, eyes / POOL)
        points = view.sheet_map()
        photo = light(rng)[look_at(self.faces.photos[face], points, view.eye_distance)]
        parts = parts_at(self.faces.parts[face], points)
        points = view.shrunk(CELL // POOL).sheet_map()
        keeps = np.zeros((OFFSET_GRID, OFFSET_GRID, 2), np.float32)  # a look of pictures leaves the shape alone
        own = [d.offsets[face] if d.faces is self.faces else keeps for d in self.drawings.values()]
        offsets = np.stack([offsets_at(points, offsets) for offsets in own])
        c, s = np.cos(view.roll), np.sin(view.roll)
        fields = offsets @ np.float32([[c, -s], [s, c]]) / SHEET_EYES  # from sheet axes into those of the view
        if rng.random() < 0.5:
            photo, parts, fields = photo[:, ::-1], parts[:, ::-1], fields[:, :, ::-1] * np.float32([-1, 1])
        return FaceSample(photo, parts, fields.transpose(0, 3, 1, 2), eyes)


def _tones(faces: FaceSheets, face: int) -> Tensor:
    """[1, 7], as the model measures them, on the parts as they really are."""
    parts = torch.from_numpy(np.array(faces.parts[face])).permute(2, 0, 1)[None].float() / 255
    return face_tones(F.avg_pool2d(to_tensor(np.array(faces.photos[face])), POOL), parts)


def drawn_faces(drawings: Drawings) -> FaceSheets:
    """Those faces that a look has drawn: the first of them all."""
    faces, count = drawings.faces, len(drawings.sheets)
    if count >= len(faces):
        return faces
    rows = (values[:count] for values in (faces.photos, faces.landmarks, faces.native_eyes, faces.parts))
    return FaceSheets(faces.folder, *rows)


def _pick_face(rng: np.random.Generator, faces: FaceSheets, eyes: float) -> int:
    """Close views come mostly from photos that are sharp enough for them."""
    sharp = np.flatnonzero(faces.native_eyes >= 0.75 * eyes)
    if len(sharp) and rng.random() < 0.6:
        return int(rng.choice(sharp))
    return int(rng.integers(len(faces)))


def _eye_distance(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(USUAL_EYES if rng.random() < 0.75 else EYE_RANGE))))
