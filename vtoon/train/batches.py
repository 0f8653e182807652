"""A PairTeacher's samples made on the device, a batch at a time: thousands a second where a GPU waits for them.

The same as `PairTeacher.pair` and `.face_sample`, whose random views it takes; sheets lie in the device's memory, and
sampling them is its work. A batch depends on the seed, the rank and the step alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.image import luma
from vtoon.models.face_net import CELL, POOL
from vtoon.train.distributed import rank
from vtoon.train.looks.screen import BLACK, INK, SHADOW, _threshold_cell
from vtoon.train.looks.screen import PITCH as SCREEN
from vtoon.train.pairs import SHEET, SHEET_EYES, FaceSheets
from vtoon.train.recipes.distill import Batch
from vtoon.train.teacher import EYE_RANGE, PairTeacher, _eye_distance, _pick_face, drawn_faces
from vtoon.train.views import View, face_view, random_view
from vtoon.train.worse import filtered, worse

FACE_SIZE = 96  # px, of a whole face after the network's own shrinking
SHRUNK = 0.7  # a view smaller than that is sampled from a sheet of half the size, as `views.look_at` does


class Pyramid:
    """Sheets on the device at their own size and halved again and again: uint8 [F, C, s, s]."""

    def __init__(self, sheets: np.ndarray, levels: int, device: torch.device) -> None:
        self.levels: list[Tensor] = [[] for _ in range(levels)]
        for start in range(0, len(sheets), 64):
            x = torch.from_numpy(np.array(sheets[start : start + 64])).to(device).permute(0, 3, 1, 2).contiguous()
            for level in self.levels:
                level.append(x)
                x = F.avg_pool2d(x.float(), 2).round().to(torch.uint8)
        self.levels = [torch.cat(parts) for parts in self.levels]

    def sample(self, faces: np.ndarray, grid: Tensor, eyes: np.ndarray) -> Tensor:
        """Each face at its part of `grid` [n, h, w, 2] in [-1, 1], from the level that suits `eyes`: [n, C, h, w]."""
        out = grid.new_empty(len(faces), self.levels[0].shape[1], *grid.shape[1:3])
        level = np.clip(np.ceil(np.log2(SHRUNK * SHEET_EYES / eyes)), 0, len(self.levels) - 1).astype(int)
        for k in np.unique(level):
            at = torch.from_numpy(np.flatnonzero(level == k)).to(grid.device)
            rows = torch.from_numpy(faces[level == k].astype(np.int64)).to(grid.device)
            sheets = self.levels[k][rows].float()
            out[at] = F.grid_sample(sheets, grid[at], "bicubic", "reflection", align_corners=False)
        return out.clamp(0, 255)


class FaceSet:
    """One set of sheets on the device."""

    def __init__(self, faces: FaceSheets, tones: Tensor, device: torch.device) -> None:
        self.faces, self.tones = faces, tones.to(device)
        self.photos = Pyramid(faces.photos, 5, device)
        self.parts = torch.from_numpy(np.array(faces.parts)).to(device).permute(0, 3, 1, 2).contiguous()


class Batches:
    """`make(step)` -> the batch of that step, on the device."""

    def __init__(
        self,
        teacher: PairTeacher,
        batch: int,
        device: torch.device | str,
        seed: int = 0,
        favoured: float = 0.5,
        faces: int | None = None,
        paint: Callable[..., Tensor] | None = None,
        shares: Sequence[float] | None = None,
    ) -> None:
        """`favoured`: the share of the first look; the others have like shares of the rest; or `shares`: of each look,
        to any sum. `faces`: whole ones in a batch; None: half as many as views. `paint`: draws the views themselves, as
        `BuiltinVToonify.draw`; None: they are views of the teacher's sheets."""
        self.teacher, self.batch, self.device, self.seed = teacher, batch, torch.device(device), seed
        self.faces, self.paint = faces, paint
        rest = (1 - favoured) / max(len(teacher.looks) - 1, 1)
        self.shares = np.array(shares or [favoured] + [rest] * (len(teacher.looks) - 1), float)
        self.shares /= self.shares.sum()
        drawings = list(teacher.drawings.values())
        sets = {id(d.faces): d.faces for d in drawings}
        self.sets = {key: FaceSet(faces, teacher._tones[key], self.device) for key, faces in sets.items()}
        self.sheets = [] if paint else [Pyramid(d.sheets, 2, self.device) for d in drawings]
        self.offsets = [self._to_device(d.offsets).permute(0, 3, 1, 2) for d in drawings]  # [F, 2, g, g] sheet px
        zeros = torch.zeros_like(self.offsets[0])
        own = [o if d.faces is teacher.faces else zeros for o, d in zip(self.offsets, drawings, strict=True)]
        self.fields = torch.cat(own, 1)  # [F, 2 looks, g, g]

    def make(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, rank(), step])
        pairs, faces = self._pairs(rng), self._faces(rng, self.faces or max(1, self.batch // 2))
        return Batch(**pairs, **faces)

    def _pairs(self, rng: np.random.Generator) -> dict[str, Tensor]:
        looks = np.sort(rng.choice(len(self.shares), self.batch, p=self.shares))
        parts = [self._pairs_of(rng, int(look), int((looks == look).sum())) for look in np.unique(looks)]
        made = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        made["x"] = _signed(worse(rng, made["x"]))
        if self.paint:
            with torch.no_grad():
                made["target"] = self.paint(*(made[name] for name in ("x", "parts", "look", "eye_distance", "tones")))
        return made

    def _pairs_of(self, rng: np.random.Generator, look: int, count: int) -> dict[str, Tensor]:
        """Random views of one look's drawings; see `PairTeacher.pair`."""
        name = self.teacher.looks[look]
        drawn, size = self.teacher.drawings[name], self.teacher.size
        known = drawn_faces(drawn)
        eyes = np.array([_eye_distance(rng) for _ in range(count)])
        faces = np.array([_pick_face(rng, known, e) for e in eyes])
        views = [random_view(rng, known.landmarks[f], size, e) for f, e in zip(faces, eyes, strict=True)]
        degree = np.where(rng.random(count) < 0.67, 1.0, rng.random(count))
        mirror = rng.random(count) < 0.5
        own = self.sets[id(drawn.faces)]

        def moved(shrink: int) -> Tensor:
            grid = self._grid([view.shrunk(shrink) for view in views], mirror)
            offsets = self._rows(self.offsets[look], faces).float() * (2 / SHEET)
            offsets = F.grid_sample(offsets, grid, "bilinear", "border", align_corners=False)
            return grid + self._column(degree)[:, :, None, None] * offsets.permute(0, 2, 3, 1)

        grid = moved(1)
        parts = self._rows(own.parts, faces).float() / 255
        return {
            "x": own.photos.sample(faces, grid, eyes),
            "target": grid.new_empty(0) if self.paint else self._drawing(name, look, faces, grid, eyes),
            "parts": F.grid_sample(parts, moved(POOL), "bilinear", "reflection", align_corners=False),
            "look": torch.full((count,), look, device=self.device),
            "eye_distance": self._column(eyes),
            "tones": self._rows(own.tones, faces),
            "exact": torch.full((count, 1, 1, 1), float(drawn.exact), device=self.device),
        }

    def _drawing(self, name: str, look: int, faces: np.ndarray, grid: Tensor, eyes: np.ndarray) -> Tensor:
        drawing = self.sheets[look].sample(faces, grid, eyes)
        return _signed(halftone(drawing) if name == "comic" else drawing)

    def _faces(self, rng: np.random.Generator, count: int) -> dict[str, Tensor]:
        """Whole faces with their parts and fields; see `PairTeacher.face_sample`."""
        all_faces, own = self.teacher.faces, self.sets[id(self.teacher.faces)]
        eyes = np.exp(rng.uniform(*np.log(EYE_RANGE), count))
        faces = rng.integers(len(all_faces), size=count)
        shrunk = eyes / POOL
        views = [face_view(rng, all_faces.landmarks[f], FACE_SIZE, e) for f, e in zip(faces, shrunk, strict=True)]
        mirror = rng.random(count) < 0.5
        gamma, gain = np.exp(rng.normal(0, 0.15, count)), np.exp(rng.normal(0, 0.06, count))
        grid = self._grid(views, mirror)
        photo = own.photos.sample(faces, grid, shrunk) / 255
        photo = self._column(gain)[:, :, None, None] * photo ** self._column(gamma)[:, :, None, None]
        parts = self._rows(own.parts, faces).float() / 255
        coarse = self._grid([view.shrunk(CELL // POOL) for view in views], mirror)
        fields = F.grid_sample(
            self._rows(self.fields, faces).float(), coarse, "bilinear", "border", align_corners=False
        )
        fields = fields.unflatten(1, (-1, 2)) / SHEET_EYES
        angle = self._column([view.roll for view in views])[:, :, None, None]
        x, y = fields[:, :, 0], fields[:, :, 1]
        turned = torch.stack([x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()], 2)
        turned[:, :, 0] *= 1 - 2 * self._column(mirror)[:, :, None, None]
        return {
            "faces": photo.clamp(0, 1) * 2 - 1,
            "face_parts": F.grid_sample(parts, grid, "bilinear", "reflection", align_corners=False).clamp(0, 1),
            "fields": turned,
            "face_eyes": self._column(eyes),
        }

    def _grid(self, views: Sequence[View], mirror: np.ndarray) -> Tensor:
        """`View.sheet_map` of many views, flipped where mirrored, as `grid_sample` counts: [n, s, s, 2] in [-1, 1]."""
        size = views[0].size
        scale = SHEET_EYES / np.array([view.eye_distance for view in views])
        roll, centre = np.array([view.roll for view in views]), np.array([view.centre for view in views])
        flip = np.where(mirror, -1, 1)
        c, s = scale * np.cos(roll), scale * np.sin(roll)
        shift = (centre + 0.5) * 2 / SHEET - 1
        matrix = np.stack([np.stack([c * flip, -s], 1), np.stack([s * flip, c], 1)], 1) * (2 / SHEET)  # [n, 2, 2]
        matrix, shift = self._to_device(matrix.astype(np.float32)), self._to_device(shift.astype(np.float32))
        axis = torch.arange(size, device=self.device, dtype=torch.float32) - (size - 1) / 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        return torch.einsum("nij,jhw->nhwi", matrix, torch.stack([x, y])) + shift[:, None, None]

    def _rows(self, values: Tensor, faces: np.ndarray) -> Tensor:
        return values[torch.from_numpy(faces.astype(np.int64)).to(self.device)]

    def _column(self, values) -> Tensor:
        return torch.as_tensor(np.asarray(values, np.float32), device=self.device)[:, None]

    def _to_device(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values)).to(self.device)


def _signed(x: Tensor) -> Tensor:
    return x / 127.5 - 1


def halftone(x: Tensor) -> Tensor:
    """`screen.halftone` of a batch [N, 3, H, W] in [0, 255]."""
    height, width = x.shape[-2:]
    light = luma(x) / 255
    sigma, t = SCREEN / 4, torch.arange(-8, 9, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (t / sigma) ** 2)
    tone = filtered(light[:, None], (kernel / kernel.sum())[None])[:, 0]
    depth = ((SHADOW[0] - tone) / (SHADOW[0] - SHADOW[1])).clamp(0, 1)
    cell = torch.from_numpy(_threshold_cell()).to(x.device)
    cells = cell.repeat(-(-height // SCREEN), -(-width // SCREEN))[:height, :width]
    dots = ((cells - (1 - 0.5 * depth.sqrt())) / 0.15 + 0.5).clamp(0, 1) * (depth > 0)
    dots = dots * ((light - BLACK[0]) / (BLACK[1] - BLACK[0])).clamp(0, 1)
    return x * (1 - dots[:, None] * (1 - torch.from_numpy(INK).to(x.device))[None, :, None, None])
