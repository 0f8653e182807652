"""Dense optical flow between two pictures: DIS on a CPU, RAFT where its weights and a GPU are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import UnpicklingError

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights, raft_large, raft_small

from vtoon.errors import VtoonError
from vtoon.image import to_tensor

FlowEstimator = Callable[[np.ndarray, np.ndarray], np.ndarray]

DIS_AREA = 320 * 320  # px; larger frames are made smaller first: about 3 ms on one core
DIS_SMALLEST = 16  # px, OpenCV refuses less than 12
RAFT_AREA = 640 * 640
RAFT_STRIDE = 8
RAFT_SMALLEST = 128  # px, for its four levels of correlation
RAFT_NETS = ((raft_large, Raft_Large_Weights.DEFAULT), (raft_small, Raft_Small_Weights.DEFAULT))  # the better one first


def estimate_flow(source: np.ndarray, target: np.ndarray, area: int = DIS_AREA) -> np.ndarray:
    """Where each pixel of `source` is in `target`, by dense inverse search (Kroeger et al. 2016).

    Both uint8 [H, W, 3] RGB (or grey [H, W]) of one size. Frames of more than `area` px are compared at a smaller size.
    Returns float32 [2, H, W] px, x then y: target(p + flow(p)) shows what source(p) shows.
    """
    _check(source, target)
    size = [max(side, DIS_SMALLEST) for side in working_size(source.shape, area)]
    way = cv2.INTER_AREA if source.shape[0] >= 2 * size[1] else cv2.INTER_LINEAR  # linear is faster and enough below 2x
    small = [cv2.resize(_grey(image), size, interpolation=way) for image in (source, target)]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # its own for each call: it is not thread-safe
    dis.setFinestScale(1)  # half the size, not a quarter: a fifth less error on faces,
    dis.setVariationalRefinementIterations(0)  # paid by what gains least there: this,
    dis.setGradientDescentIterations(5)  # and two thirds of 16
    return scale_flow(cv2.split(dis.calc(*small, None)), source.shape)


class RaftFlow:
    """RAFT (Teed and Deng 2020) as torchvision has it. Call it like `estimate_flow`."""

    def __init__(self, weights: Path, device: torch.device | str) -> None:
        """`weights`: torchvision's file for raft_large or raft_small; the name tells which."""
        build = raft_small if "small" in weights.name else raft_large
        self.net = build(weights=None)
        try:
            self.net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, ValueError, AttributeError, TypeError, UnpicklingError):
            raise VtoonError(f"{weights}: not torchvision's weights for {build.__name__}; delete the file") from None
        self.net.eval().requires_grad_(False).to(device)
        self.device = device

    @torch.inference_mode()
    def __call__(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Contract and limits of `estimate_flow`; the frames must be RGB."""
        _check(source, target)
        width, height = working_size(source.shape, RAFT_AREA)
        size = [max(RAFT_SMALLEST, -(-side // RAFT_STRIDE) * RAFT_STRIDE) for side in (height, width)]
        images = torch.cat([to_tensor(image, self.device) for image in (source, target)])
        images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        flow = self.net(images[:1], images[1:])[-1][0]
        return scale_flow(flow.float().cpu().numpy(), source.shape)


def find_estimator(device: torch.device | str = "cpu", folder: Path | None = None) -> FlowEstimator:
    """The best flow this machine has: RAFT on a GPU if torchvision's weights are in `folder`, else DIS.

    `folder` is torch's own cache unless given. Nothing is ever downloaded here.
    """
    folder = folder or Path(torch.hub.get_dir()) / "checkpoints"
    if torch.device(device).type != "cpu":
        for _, weights in RAFT_NETS:
            path = folder / Path(weights.url).name
            if path.is_file():
                return RaftFlow(path, device)
    return estimate_flow


def working_size(shape: tuple[int, ...], area: int) -> tuple[int, int]:
    """(width, height) of a picture of `shape` [H, W, ...], made smaller to at most about `area` px."""
    scale = min(1.0, (area / (shape[0] * shape[1])) ** 0.5)
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def scale_flow(flow: np.ndarray | Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The flow [2, h, w] of a picture resized to `shape` [H, W, ...]: float32 [2, H, W], its vectors scaled along."""
    scaled = np.empty((2, *shape[:2]), np.float32)
    for to, part in zip(scaled, flow, strict=True):
        cv2.resize(part, to.shape[::-1], dst=to)
    scaled *= np.float32([[[shape[1] / flow[0].shape[1]]], [[shape[0] / flow[0].shape[0]]]])
    return scaled


def _grey(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _check(source: np.ndarray, target: np.ndarray) -> None:
    if source.shape != target.shape or source.dtype != np.uint8 or target.dtype != np.uint8:
        got = f"{source.dtype} {source.shape} and {target.dtype} {target.shape}"
        raise ValueError(f"flow between {got}: both must be uint8 of one size")
