"""Looks known by their pictures alone: photos, and the same faces as somebody drew them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator
from tqdm import tqdm

from vtoon.errors import VtoonError
from vtoon.image import PHOTO_SUFFIXES, load_image
from vtoon.train.pairs import OFFSET_GRID, Drawings, SheetMaker, cache_folder, load_faces
from vtoon.types import Landmarks

FARTHEST = 0.15  # eye distances that a drawing's features may lie from the photo's, in the mean; beyond, another face
GRID = 32  # samples a side of the map that brings a drawing onto its photo


def prepare_pairs(photos: Path, drawings: Path, cache: Path) -> Drawings:
    """Photos and drawings of the same name as one look. Every drawing is brought onto its photo by the landmarks of
    both, so that it teaches how a face is drawn, not where. Done once, kept under `cache`."""
    by_name = {p.stem: p for p in sorted(drawings.iterdir()) if p.suffix.lower() in PHOTO_SUFFIXES}
    pairs = [(p, by_name[p.stem]) for p in sorted(photos.iterdir()) if p.stem in by_name]
    if not pairs:
        raise VtoonError(f"{photos}, {drawings}: no two pictures of one name; a pair is a.jpg here and a.png there")
    folder = cache_folder(cache, [file for pair in pairs for file in pair])
    if not (faces := load_faces(folder)):
        maker = SheetMaker(folder)
        for photo, drawing in tqdm(pairs, desc="pairs", unit="pair"):
            image, drawn = load_image(photo)[0], load_image(drawing)[0]
            drawn = cv2.resize(drawn, image.shape[1::-1], interpolation=cv2.INTER_AREA)
            here, there = maker.find(image), maker.find(drawn)
            if here and there and _distance(here, there) < FARTHEST:
                maker.add(image, here, onto(drawn, there, here))
        if not maker:
            raise VtoonError(f"{photos}, {drawings}: in none of {len(pairs)} pairs the same face was found twice")
        maker.save()
        faces = load_faces(folder)
    offsets = np.zeros((len(faces), OFFSET_GRID, OFFSET_GRID, 2), np.float16)
    return Drawings(faces, np.load(folder / "drawings.npy", mmap_mode="r", allow_pickle=False), offsets, exact=False)


def onto(drawing: np.ndarray, there: Landmarks, here: Landmarks) -> np.ndarray:
    """A drawing uint8 [H, W, 3] warped smoothly (thin plates) so that its landmarks `there` come to lie `here`."""
    height, width = drawing.shape[:2]
    border = np.array([(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)])  # stays
    places = np.vstack([here.points, border * (width - 1, height - 1)])
    moves = np.vstack([there.points - here.points, np.zeros_like(border)])
    field = RBFInterpolator(places, moves, smoothing=here.eye_distance / 8)
    y, x = np.mgrid[:GRID, :GRID].astype(np.float64)
    cells = np.stack([(x + 0.5) * width / GRID - 0.5, (y + 0.5) * height / GRID - 0.5], -1)
    coarse = field(cells.reshape(-1, 2)).reshape(GRID, GRID, 2).astype(np.float32)
    dense = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(drawing, x + dense[..., 0], y + dense[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def _distance(a: Landmarks, b: Landmarks) -> float:
    return float(np.hypot(*(a.points - b.points).T).mean() / a.eye_distance)
