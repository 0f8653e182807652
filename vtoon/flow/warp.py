"""Follow a flow: fetch pixels from where they went, and find those that cannot be followed.

A flow is float32 [2, H, W] px, x then y. The flow from a source to a target maps each pixel of the source to its place
in the target: target(p + flow(p)) shows what source(p) shows.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.flow.estimate import FlowEstimator, estimate_flow


@lru_cache(maxsize=4)
def pixel_grid(height: int, width: int, left: int = 0, top: int = 0) -> np.ndarray:
    """The coordinates of every pixel, float32 [2, H, W], x then y, of the upper left one `left`, `top`; read-only."""
    x, y = (np.arange(first, first + n, dtype=np.float32) for first, n in ((left, width), (top, height)))
    grid = np.stack(np.meshgrid(x, y))
    grid.flags.writeable = False
    return grid


def backward_warp(
    image: np.ndarray, flow: np.ndarray, origin: tuple[int, int] = (0, 0), interpolation: int = cv2.INTER_LINEAR
) -> np.ndarray:
    """Bring the target's pixels to the source's places: out(p) = image(p + flow(p)), the border repeated outside.

    `image` [H, W] or [H, W, C] (C up to 4), any number type; `flow` [2, h, w] px. A flow of a part of the picture
    whose upper left pixel is `origin` (x, y) gives that part. Returns [h, w] or [h, w, C] of the image's type.
    """
    x, y = pixel_grid(*flow.shape[1:], *origin) + flow
    return cv2.remap(image, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)


def backward_warp_tensor(images: Tensor, flow: Tensor) -> Tensor:
    """The same on the device, differentiable: [N, C, H, W] and flow [N, 2, H, W] px -> [N, C, H, W]."""
    height, width = flow.shape[2:]
    cols = (torch.arange(width, device=flow.device) * 2 + 1) / width - 1  # of pixel centres, in [-1, 1]
    rows = (torch.arange(height, device=flow.device) * 2 + 1) / height - 1
    # Side by side, not by a tensor of both sizes: that one would be a constant of the size traced in an exported graph;
    # and x and y apart in memory, where a CPU has them in a quarter of the time.
    x, y = flow[:, 0] * (2 / width) + cols, flow[:, 1] * (2 / height) + rows[:, None]
    grid = torch.stack([x, y], 1).permute(0, 2, 3, 1).to(images.dtype)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def inverse(flow: np.ndarray, rounds: int = 2) -> np.ndarray:
    """The way back of a smooth flow [2, H, W] px, found by going there: back(q) = -flow(q + back(q)), starting from
    -flow (Chen et al. 2008, "A simple fixed-point approach to invert a deformation field"). Where several pixels have
    gone to one place, or none, the two do not close."""
    back = -flow
    for _ in range(rounds):
        back = -_at_the_end(flow, back)
    return back


def occlusion_mask(forward: np.ndarray, backward: np.ndarray, boundaries: bool = True) -> np.ndarray:
    """Where the source's pixels cannot be followed into the target: bool [H, W].

    `forward` leads from the source to the target, `backward` from the target to the source, both [2, H, W] px. True
    where the way there and back does not close, where it leaves the picture and, unless `boundaries` is False, where
    the motion jumps, since flow is a guess there (Sundaram et al. 2010, "Dense point trajectories by GPU-accelerated
    large displacement optical flow", equations 5 and 6; Lai et al. 2018 use both).
    """
    height, width = forward.shape[1:]
    back = _at_the_end(backward, forward)
    length = _squared(forward)
    lost = _squared(forward + back) > 0.01 * (length + _squared(back)) + 0.5
    x, y = pixel_grid(height, width) + forward
    lost |= (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    if boundaries:
        steepness = sum(_squared(np.stack(np.gradient(component))) for component in forward)
        lost |= steepness > 0.01 * length + 0.002
    return lost


def follow(
    source: np.ndarray, target: np.ndarray, picture: np.ndarray, estimate: FlowEstimator = estimate_flow
) -> tuple[np.ndarray, np.ndarray]:
    """Bring `picture`, drawn over `target`, to the places where `source` shows the same things.

    All uint8 [H, W, 3]. Returns it warped, and the occlusion mask: bool [H, W], True where it cannot be right.
    """
    flow = estimate(source, target)
    return backward_warp(picture, flow), occlusion_mask(flow, estimate(target, source))


def _at_the_end(flow: np.ndarray, way: np.ndarray) -> np.ndarray:
    """What `flow` [2, H, W] is where `way` [2, H, W] leads each pixel."""
    return np.stack(cv2.split(backward_warp(cv2.merge(list(flow)), way)))


def _squared(flow: np.ndarray) -> np.ndarray:
    """Squared length of [2, H, W] vectors: [H, W]."""
    return np.einsum("chw,chw->hw", flow, flow)
