from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from vtoon.flow import follow
from vtoon.metrics import sharpness, warping_error


def pan(count: int) -> list[np.ndarray]:
    image = cv2.resize(data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    return [np.ascontiguousarray(image[i : i + 160, 2 * i : 2 * i + 160]) for i in range(count)]


def still(source, target, picture):
    return picture, np.zeros(source.shape[:2], bool)


def test_a_drawing_that_moves_along_is_steady():
    sources = pan(4)
    error = warping_error([255 - s for s in sources], sources, follow)
    assert error < 0.1 * warping_error([255 - s for s in sources], sources, still)


def test_flicker_is_measured_in_squared_colour():
    source = np.zeros((32, 32, 3), np.uint8)
    outputs = [np.full_like(source, value) for value in (0, 51, 0, 51)]
    assert warping_error(outputs, [source] * 4, still) == pytest.approx(0.2**2, rel=1e-5)


def test_occluded_pixels_do_not_count():
    source = np.zeros((32, 32, 3), np.uint8)
    changed = source.copy()
    changed[:8] = 255
    occluded = np.zeros((32, 32), bool)
    occluded[:8] = True
    assert warping_error([source, changed], [source] * 2, lambda s, t, p: (p, occluded)) == 0
    assert warping_error([source, changed], [source] * 2, lambda s, t, p: (p, ~occluded)) == pytest.approx(1)
    everything = np.ones((32, 32), bool)
    assert warping_error([source, changed], [source] * 2, lambda s, t, p: (p, everything)) == 0


def test_streams_and_counts():
    sources = pan(3)
    assert warping_error(iter(sources), iter(sources), still) == warping_error(sources, sources, still)
    assert warping_error([], [], still) == warping_error(sources[:1], sources[:1], still) == 0
    with pytest.raises(ValueError, match="shorter"):
        warping_error(sources, sources[:2], still)


def test_blur_lowers_sharpness():
    image = data.astronaut()
    values = [sharpness([cv2.GaussianBlur(image, (0, 0), sigma)]) for sigma in (0.5, 1, 2, 4)]
    assert sharpness([image]) > values[0]
    assert values == sorted(values, reverse=True)
    assert sharpness([]) == 0


def test_sharpness_is_steps_per_pixel():
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 3, 2).repeat(40, 0)
    assert sharpness([ramp[:, 5:-5]]) == pytest.approx(2, rel=0.05)
