from __future__ import annotations

import numpy as np
import pytest
from face_samples import portrait, scenery

from vtoon.faces import CutDetector


def cuts(images) -> list[int]:
    detector = CutDetector()
    return [number for number, image in enumerate(images) if detector(image)]


def test_a_shot_starts_at_its_first_frame():
    shots = [portrait()] * 4 + [scenery(1)] * 4 + [scenery(2)] * 3
    assert cuts(shots) == [0, 4, 8]


@pytest.mark.parametrize("gain, offset", [(1.6, 0), (1, 110), (0.3, 0), (0, 255), (0, 0)])
def test_a_flash_or_a_black_gap_is_no_cut(gain, offset):
    image = portrait()
    flash = (image * float(gain) + offset).clip(0, 255).astype(np.uint8)
    assert cuts([image, image, flash, flash, image, image]) == [0]


def test_a_cut_behind_a_black_gap_is_seen():
    black = np.zeros((240, 320, 3), np.uint8)
    assert cuts([scenery(1), black, black, scenery(2)]) == [0, 3]


@pytest.mark.parametrize("step", [10, 40, 80])
def test_a_fast_pan_is_no_cut(step):
    wide = np.hstack([portrait(), portrait()[:, ::-1]])
    assert cuts(wide[:, x : x + 512] for x in range(0, 500, step)) == [0]


def test_noise_is_no_cut():
    rng = np.random.default_rng(0)
    noisy = (portrait() + rng.normal(0, 25, (6, 512, 512, 3))).clip(0, 255).astype(np.uint8)
    assert cuts(noisy) == [0]
