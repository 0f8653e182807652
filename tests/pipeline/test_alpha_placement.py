"""Alpha goes with the picture to where it is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from vtoon.pipeline.placement import Crop, PassThrough
from vtoon.types import CropBox, Frame, TrackedFrame

ALPHA = np.zeros((64, 96), np.uint8)
ALPHA[:, 48:] = 255


@pytest.mark.parametrize("upscale", [1, 4])
def test_of_a_crop_it_is_cut_and_enlarged_with_it(upscale):
    tracked = TrackedFrame(Frame(np.zeros((64, 96, 3), np.uint8), alpha=ALPHA))
    crop = Crop(CropBox(1.0, 64, 96, 32, 0, 64, 64), 64.0, upscale)
    toon = np.zeros((64 * upscale, 32 * upscale, 3), np.uint8)
    alpha = crop.compose(tracked, crop.regions(tracked), [toon]).alpha
    assert alpha.shape == toon.shape[:2]
    assert alpha[:, : 12 * upscale].max() == 0 and alpha[:, 20 * upscale :].min() == 255


def test_of_a_whole_frame_it_stays():
    for alpha in (ALPHA, None):
        tracked = TrackedFrame(Frame(np.zeros((64, 96, 3), np.uint8), alpha=alpha))
        assert PassThrough().compose(tracked, [], []).alpha is alpha
