"""Stylizers: a photo and its landmarks in, an exact drawing out. They make the training pairs of a `PairTeacher`.

A look is two things: how the picture is painted (`LOOKS`, appearance only) and how the face is reshaped
(`warp_offsets`). A palette recolours what was painted. The drawing at degree d is

    lerp(warp(photo, d), palette(finish(warp(paint(photo), d))), d)

so that shape and appearance both grow evenly, from the photo at 0 to the full drawing at 1. numpy and OpenCV only;
every result is a deterministic local function of the photo, the place of the face and (halftone) the pixel grid.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from vtoon.errors import VtoonError
from vtoon.train.looks import animated, drawn, modelled, painted
from vtoon.train.looks.geometry import SHAPES, warp_offsets
from vtoon.train.looks.palettes import PALETTES, RAMPS
from vtoon.train.looks.regions import Face
from vtoon.train.looks.screen import halftone
from vtoon.train.looks.tone import to_bytes
from vtoon.types import Landmarks

Look = Callable[[np.ndarray, Landmarks], np.ndarray]
WORKING_EYE_DISTANCE = (96.0, 192.0)  # px; smaller and larger faces are painted at this size, where lines are clean

__all__ = [
    "LOOKS",
    "PALETTES",
    "RAMPS",
    "SCREENS",
    "SHAPES",
    "Look",
    "finish",
    "stylize",
    "warp",
    "warp_offsets",
]


def paint(image: np.ndarray, landmarks: Landmarks, painter: Callable[[Face], np.ndarray]) -> np.ndarray:
    """Run a painter at a size where its lines are clean. uint8 [H, W, 3] RGB -> the same, no change of geometry."""
    distance = max(landmarks.eye_distance, 1.0)
    scale = float(np.clip(distance, *WORKING_EYE_DISTANCE)) / distance
    if scale == 1:
        return to_bytes(painter(Face(image, landmarks)))
    height, width = image.shape[:2]
    size = max(8, round(width * scale)), max(8, round(height * scale))
    resized = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    painted_image = to_bytes(painter(Face(resized, landmarks.moved(scale))))
    return cv2.resize(painted_image, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC)


_PAINTERS = {
    "toon3d": modelled.toon3d,
    "cartoon": drawn.cartoon,
    "comic": drawn.comic,
    "anime": animated.anime,
    "clay": painted.clay,
    "watercolour": painted.watercolour,
    "oil": painted.oil,
    "poster": painted.poster,
    "pencil": drawn.pencil,
    "charcoal": drawn.charcoal,
    "caricature": painted.caricature,
}
LOOKS: dict[str, Look] = {name: partial(paint, painter=painter) for name, painter in _PAINTERS.items()}


SCREENS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"comic": halftone}


def finish(look: str, image: np.ndarray) -> np.ndarray:
    """What is tied to the pixel grid and so comes last before the palette, at the final size. uint8 [H, W, 3]."""
    return SCREENS[look](image) if look in SCREENS else image


def warp(image: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Pull every pixel of uint8 [H, W, 3] from (x, y) + offsets, float32 [H, W, 2]; the border is mirrored."""
    height, width = image.shape[:2]
    x = np.arange(width, dtype=np.float32)[None] + offsets[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + offsets[..., 1]
    return cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def stylize(
    image: np.ndarray, landmarks: Landmarks, look: str, palette: str = "own", degree: float = 1.0
) -> np.ndarray:
    """The drawing of one face: uint8 [H, W, 3] RGB -> the same. `degree` in [0, 1]: 0 the photo, 1 the full drawing.

    Raises VtoonError where the look or the palette does not exist or the degree is out of range.
    """
    for kind, name, known in (("look", look, LOOKS), ("palette", palette, PALETTES)):
        if name not in known:
            raise VtoonError(f"there is no {kind} '{name}'; choose one of: {', '.join(known)}")
    if not 0 <= degree <= 1:
        raise VtoonError(f"degree is {degree}; it must lie in [0, 1]")
    offsets = warp_offsets(look, landmarks, image.shape[:2], degree)
    drawing = PALETTES[palette](finish(look, warp(LOOKS[look](image, landmarks), offsets)))
    return cv2.addWeighted(warp(image, offsets), 1 - degree, drawing, degree, 0)
