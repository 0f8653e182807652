"""Is it still the same person?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vtoon.types import Landmarks

Embed = Callable[[np.ndarray, Landmarks], np.ndarray]


def identity_distance(
    embed: Embed, image_a: np.ndarray, landmarks_a: Landmarks, image_b: np.ndarray, landmarks_b: Landmarks
) -> float:
    """Euclidean distance between two faces, each uint8 [H, W, 3] with its landmarks.

    `embed(image, landmarks)` -> [D]. With `vtoon.models.face_embedding.FaceEmbedding.embed` one person's photographs
    stay under 0.6.
    """
    return float(np.linalg.norm(embed(image_a, landmarks_a) - embed(image_b, landmarks_b)))
