"""Numbers for a stylized video: how steady, how sharp, and whether it is still the same person."""

from vtoon.metrics.identity import identity_distance
from vtoon.metrics.temporal import sharpness, warping_error

__all__ = ["identity_distance", "sharpness", "warping_error"]
