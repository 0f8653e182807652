"""Whether drawings still show the same person, and whether degrees grow evenly.

    python benchmarks/identity.py FOLDER [--count 40] [--styles 0 1 2] [--degrees 0 0.5 1] [--json]

For photos the model never saw: the distance between the face embeddings of photo and drawing (dlib's network; one
person's photographs stay under 0.6) for each style at degree 1, how many drawings no longer show a face to the
detector, and how far the drawing is from the photo at degrees 0, 1/4, 1/2, 3/4 and 1. Leaves with 1 where the aim
(median distance at most 0.55, no face lost) is missed.
"""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro

import vtoon
from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector
from vtoon.image import IMAGE_SUFFIXES, load_image
from vtoon.metrics import identity_distance
from vtoon.pipeline.stylize import Stylizer
from vtoon.types import Landmarks
from vtoon.weights.dlib_embedding import load_face_embedding

LARGEST_MEDIAN = 0.55
DEGREES = (0.0, 0.25, 0.5, 0.75, 1.0)
SMALLEST_SIDE = 512  # px: smaller photos are enlarged, or the detector misses their faces


@dataclass(frozen=True)
class Result:
    """One style's numbers over all photos."""

    style: str
    median_distance: float
    worst_distance: float
    faces: int
    lost: int
    change: tuple[float, ...]  # mean absolute difference from the photo, of 255, at DEGREES


def load_faces(folder: Path, count: int) -> list[tuple[np.ndarray, Landmarks]]:
    """Photos with one face or more, and its landmarks."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    detector, faces = FaceDetector(), []
    for path in files[:: max(1, len(files) // count)][:count]:
        image, _ = load_image(path)
        scale = max(1.0, SMALLEST_SIDE / min(image.shape[:2]))
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        found = detector.detect(image)
        if found:
            faces.append((image, found[0]))
    if not faces:
        raise VtoonError(f"{folder}: no picture with a face; name a folder of portraits")
    return faces


def measure(
    stylizer: Stylizer, style: str, faces: list[tuple[np.ndarray, Landmarks]], degrees: Sequence[float] = DEGREES
) -> Result:
    """Draw every face at every degree, 1 the last. The drawing's landmarks are found anew: reshaping has moved them."""
    embed, detector = load_face_embedding().embed, FaceDetector()
    distances, lost, change = [], 0, []
    for image, landmarks in faces:
        drawings = [stylizer.stylize_image(image, style=style, style_degree=d, faces="largest") for d in degrees]
        change.append([np.abs(drawing.astype(int) - image).mean() for drawing in drawings])
        found = detector.detect(drawings[-1])
        lost += not found
        distances.append(identity_distance(embed, image, landmarks, drawings[-1], found[0] if found else landmarks))
    spread = tuple(float(value) for value in np.mean(change, axis=0))
    return Result(style, float(np.median(distances)), float(np.max(distances)), len(faces), lost, spread)


def main(
    folder: tyro.conf.Positional[Path],
    count: int = 40,
    styles: tuple[str, ...] = ("0",),
    degrees: tuple[float, ...] = DEGREES,
    ckpt: str = "default",
    json: bool = False,
):
    """Measure identity and evenness on a folder of portraits."""
    stylizer, faces = vtoon.load(ckpt), load_faces(folder, count)
    names = [stylizer.checkpoint.bank.find(style).name for style in styles]
    results = [measure(stylizer, name, faces, degrees) for name in names]
    if json:
        print(json_format.dumps([asdict(result) for result in results]))
    else:
        columns = f"{'style':<14}{'median':>8}{'worst':>8}{'lost':>9}"
        print(f"{columns}   change at degree {', '.join(f'{degree:g}' for degree in degrees)}")
        for r in results:
            change = "  ".join(f"{value:5.1f}" for value in r.change)
            print(f"{r.style:<14}{r.median_distance:8.2f}{r.worst_distance:8.2f}{f'{r.lost}/{r.faces}':>9}   {change}")
    return int(any(r.median_distance > LARGEST_MEDIAN or r.lost for r in results))


if __name__ == "__main__":
    try:
        sys.exit(tyro.cli(main, use_underscores=True))
    except VtoonError as error:
        sys.exit(f"error: {error}")
