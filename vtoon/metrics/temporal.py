"""How steady and how sharp a stylized video is. Streams: one frame of the past is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np

Follow = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def warping_error(outputs: Iterable[np.ndarray], sources: Iterable[np.ndarray], follow: Follow) -> float:
    """Mean squared difference of each output to the one before it, warped along the motion of the sources.

    Lai et al. 2018, "Learning blind video temporal consistency", equations 10 and 11: the mean over the pixels that are
    not occluded, averaged over the pairs of frames, colours in [0, 1]. 0 is perfectly steady. Both uint8 [H, W, 3],
    one output for each source. `follow(source, previous_source, previous_output)` -> (the previous output at the
    source's places, bool [H, W] where it is occluded): `vtoon.flow.follow`. Fewer than two frames: 0.
    """
    errors, before = [], None
    for output, source in zip(outputs, sources, strict=True):
        if before is not None:
            warped, occluded = follow(source, *before)
            squared = np.square((output.astype(np.float32) - warped) / 255).mean(2)
            if not occluded.all():
                errors.append(squared[~occluded].mean(dtype=np.float64))
        before = source, output
    return float(np.mean(errors)) if errors else 0.0


def sharpness(images: Iterable[np.ndarray]) -> float:
    """Mean length of the brightness gradient (Sobel), 8-bit steps per px; uint8 [H, W, 3]. Blurring lowers it."""
    means = []
    for image in images:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        x, y = (cv2.Sobel(grey, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
        means.append(float(cv2.magnitude(x, y).mean()))
    return float(np.mean(means)) if means else 0.0
