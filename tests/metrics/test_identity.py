from __future__ import annotations

import numpy as np
import pytest

from vtoon.metrics import identity_distance
from vtoon.types import Landmarks


def test_distance_between_what_the_embedding_gives():
    seen = []

    def embed(image, landmarks):
        seen.append((image.shape, landmarks.points[0, 0]))
        return image.reshape(-1)[:2].astype(np.float32)

    a, b = np.zeros((4, 4, 3), np.uint8), np.full((6, 6, 3), 3, np.uint8)
    left, right = Landmarks(np.zeros((68, 2))), Landmarks(np.ones((68, 2)))
    assert identity_distance(embed, a, left, b, right) == pytest.approx(18**0.5)
    assert seen == [((4, 4, 3), 0.0), ((6, 6, 3), 1.0)]
