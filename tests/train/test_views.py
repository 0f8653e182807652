"""What the network is shown of a photo."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.train.views import degrade

CHECKED = (np.indices((60, 80)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(16, 90), height=st.integers(16, 90))
def test_a_worse_picture_has_the_same_size(seed, width, height):
    image = np.full((height, width, 3), 90, np.uint8)
    worse = degrade(np.random.default_rng(seed), image)
    assert worse.shape == image.shape and worse.dtype == np.uint8 and (image == 90).all()
    assert abs(worse.mean() - 90) < 3


def test_some_pictures_lose_their_finest_detail_and_some_keep_it():
    detail = [degrade(np.random.default_rng(seed), CHECKED).std() for seed in range(60)]
    assert 10 < sum(d < 30 for d in detail) < 45 and sum(d > 120 for d in detail) > 10
