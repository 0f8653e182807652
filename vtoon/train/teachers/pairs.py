"""Pairs of pictures as the teacher: a photo, and the same face as somebody, or any other stylizer, drew it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.image import IMAGE_SUFFIXES, load_image, to_tensor
from vtoon.models.vtoonify import VToonify
from vtoon.train.draws import Draws
from vtoon.train.teachers import Scene, Start, Teacher

LEAST = 2  # pairs


class PicturePairs:
    """Photos and drawings of one name in two folders, both cut out as FFHQ is; stage one is that of `start_from`."""

    num_styles = 0

    def __init__(self, start_from: Teacher, photos: Path, drawings: Path, workers: int = 2) -> None:
        """Raises VtoonError where the folders hold no pairs, or the teacher draws in more styles than one."""
        if start_from.num_styles:
            raise VtoonError("pairs of pictures show one style: train a VToonify-T on them (train_vtoonify_t.py)")
        self.teacher, self.own_code = start_from, start_from.own_code
        self.pairs = find_pairs(photos, drawings)
        self.pool = ThreadPoolExecutor(max(1, workers))

    def build(self, in_channels: int) -> VToonify:
        net = self.teacher.build(in_channels)
        self.size = net.config.out_size
        return net

    def start(self, draws: Draws, steps: int) -> Start:
        return self.teacher.start(draws, steps)

    def scene(self, draws: Draws, steps: int) -> Scene:
        device = draws.device
        chosen = [self.pairs[i] for i in draws.integers(len(self.pairs)).tolist()]
        pictures = list(self.pool.map(self._read, [path for pair in chosen for path in pair]))
        mirrored = draws.uniform(1, 1, 1) < 0.5
        photo, drawing = (self._tensor(pictures[k::2], mirrored, device) for k in (0, 1))
        style = self.teacher.faces.own(photo)
        return Scene(photo, drawing, style, draws.integers(1), photo.new_full((len(photo), 1), 1.0))

    def _read(self, path: Path) -> np.ndarray:
        image, _ = load_image(path)
        way = cv2.INTER_AREA if min(image.shape[:2]) > self.size else cv2.INTER_CUBIC
        return cv2.resize(image, (self.size, self.size), interpolation=way)

    @staticmethod
    def _tensor(pictures: list[np.ndarray], mirrored: Tensor, device: torch.device) -> Tensor:
        x = to_tensor(np.stack(pictures), device)
        return torch.where(mirrored, x.flip(3), x)


def find_pairs(photos: Path, drawings: Path) -> list[tuple[Path, Path]]:
    """Of two folders, (photo, drawing) of one name. Raises VtoonError where there are too few."""
    for folder in (photos, drawings):
        if not folder.is_dir():
            raise VtoonError(f"{folder}: not a folder of pictures")
    drawn = {p.stem: p for p in sorted(drawings.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES}
    found = [(p, drawn[p.stem]) for p in sorted(photos.iterdir()) if p.stem in drawn]
    if len(found) < LEAST:
        raise VtoonError(f"{photos}, {drawings}: {len(found)} pairs of one name; a pair is a.jpg here and a.png there")
    return found
