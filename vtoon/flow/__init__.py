"""Optical flow: estimate it, warp along it, find occlusions, steady a stylized video with it."""

from vtoon.flow.estimate import FlowEstimator, estimate_flow, find_estimator
from vtoon.flow.temporal import steady, steady_with_past
from vtoon.flow.warp import backward_warp, backward_warp_tensor, follow, occlusion_mask

__all__ = [
    "FlowEstimator",
    "backward_warp",
    "backward_warp_tensor",
    "estimate_flow",
    "find_estimator",
    "follow",
    "occlusion_mask",
    "steady",
    "steady_with_past",
]
