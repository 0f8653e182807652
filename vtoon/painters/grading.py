"""A palette on the part of a frame that is not drawn, so that a drawn face and its scene are of one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from vtoon.image import recolour
from vtoon.models.palettes import Palettes


@dataclass(frozen=True)
class Grading:
    """See `vtoon.models.palettes.Palettes`; in step with the degree."""

    ramp: np.ndarray  # float32 [256, 3] RGB in [0, 255]
    own: float  # share of the picture's own colour
    degree: float = 1.0

    @classmethod
    def of(cls, palettes: Palettes, index: int | None, degree: float) -> Grading | None:
        """None where colours are left alone, as by the first palette."""
        if not index or degree == 0:
            return None
        return cls((palettes.ramps[index].float().cpu().numpy() + 1) * 127.5, float(palettes.own[index]), degree)

    def __call__(self, scene: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] RGB -> the same."""
        return cv2.addWeighted(scene, 1 - self.degree, recolour(scene, self.ramp, self.own), self.degree, 0)

    def about(self) -> dict[str, object]:
        """As JSON holds it."""
        return {"ramp": self.ramp.round(2).tolist(), "own": self.own, "degree": self.degree}

    @classmethod
    def read(cls, about: Mapping | None) -> Grading | None:
        """The way back. Raises ValueError, TypeError or KeyError where it is something else."""
        if about is None:
            return None
        ramp = np.asarray(about["ramp"], np.float32).reshape(256, 3)
        return cls(ramp, float(about["own"]), min(max(float(about["degree"]), 0.0), 1.0))
