"""A clip of still faces, and the sheet of a whole style."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from vtoon.chain.wish import pictures_in
from vtoon.errors import VtoonError
from vtoon.image import load_image, save_image
from vtoon.latent.dual import load_artist
from vtoon.latent.sampler import load_sampler
from vtoon.latent.sheets import table
from vtoon.pipeline.stylize import load
from vtoon.train.dataset_files import square
from vtoon.video import VideoWriter
from vtoon.weights.duals import load_codes_of

SIDE, CELL = 384, 192  # px: of the clip, of a cell of the sheet
FACES, FRAMES, RATE = 4, 40, 25  # in the clip, of each face, a second
COLUMNS, PSI = 6, 0.7


def some(folder: Path, count: int) -> list[np.ndarray]:
    """Readable pictures of a folder, evenly from first to last. Raises VtoonError where there is none."""
    files = pictures_in(folder)
    found = []
    for file in [files[i * len(files) // min(count, len(files))] for i in range(min(count, len(files)))]:
        try:
            found.append(load_image(file)[0])
        except VtoonError:
            continue
    if not found:
        raise VtoonError(f"{folder}: no picture in it that can be read")
    return found


def clip_of(folder: Path, out: Path, overwrite: bool = True) -> int:
    """A video of some faces, each nodding a little and coming nearer. Returns the number of frames."""
    with VideoWriter(out, rate=RATE, overwrite=overwrite) as writer:
        count = 0
        for image in some(folder, FACES):
            image = square(image, SIDE)
            for frame in range(FRAMES):
                writer.write(moved(image, frame / (FRAMES - 1)))
                count += 1
    return count


def moved(image: np.ndarray, time: float) -> np.ndarray:
    """uint8 [S, S, 3] at a time in [0, 1]: turned, shifted and enlarged smoothly; the border is mirrored."""
    side = image.shape[0]
    swing = np.sin(2 * np.pi * time)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), 4 * swing, 1 + 0.08 * (1 - np.cos(2 * np.pi * time)))
    matrix[:, 2] += 0.03 * side * np.array([swing, np.sin(4 * np.pi * time) / 2])
    flags = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REFLECT_101}
    return cv2.warpAffine(image, matrix, (side, side), **flags)


def sheet(
    out: Path,
    drawings: Path,
    faces: Path,
    generators: Sequence[Path],
    models: Sequence[Path],
    device: str,
    dual: tuple[Path, Path] | None = None,
) -> int:
    """Drawings; the same seeds by each generator; photos, and what each model makes of them. Returns the rows.

    `dual`: a DualStyleGAN, which draws the same seeds, too, and the codes of its styles, one for each column.
    """
    rows, names = [[square(image, CELL) for image in some(drawings, COLUMNS)]], ["drawings"]
    for path in generators:
        sampler = load_sampler(path, device)
        pictures = sampler.pictures(sampler.latents(range(1, COLUMNS + 1), PSI))
        rows.append([square(image, CELL) for image in pictures])
        names.append(path.stem if path.stem.count("-") < 2 else "base")
    if dual:
        rows.append([square(image, CELL) for image in _by_dual(*dual, device)])
        names.append("DualStyleGAN")
    photos = some(faces, COLUMNS)
    rows.append([square(image, CELL) for image in photos])
    names.append("photos")
    for path in models:
        stylizer = load(path, device)
        drawn = [stylizer.stylize_image(image, faces="largest", placement="full") for image in photos]
        rows.append([square(image, CELL) for image in drawn])
        names.append("VToonify" if path.suffix == ".pt" else "student")
    widest = max(map(len, rows))
    blank = np.full((CELL, CELL, 3), 255, np.uint8)
    save_image(out, table([row + [blank] * (widest - len(row)) for row in rows], down=names))
    return len(rows)


def _by_dual(generator: Path, codes: Path, device: str) -> list[np.ndarray]:
    """The seeds of the sheet, each in the style of another drawing, evenly from first to last."""
    artist = load_artist(generator, device)
    styles = list(load_codes_of(codes, artist.net.generator, "vtoon dual destylize makes it").values())
    extrinsic = artist.w_of(torch.cat([styles[i * len(styles) // COLUMNS] for i in range(COLUMNS)]))
    intrinsic = artist.faces.latents(range(1, COLUMNS + 1), PSI)
    return artist.pictures(intrinsic, extrinsic, artist.weights())
