"""Faces: found, followed, cut out, put back."""

from vtoon.faces.align import align_face, align_matrix
from vtoon.faces.crop import crop_face, pad_to_multiple, published_crop
from vtoon.faces.cuts import CutDetector
from vtoon.faces.detect import FaceDetector
from vtoon.faces.paste import CORE, blend_mask, paste_back
from vtoon.faces.region import RegionPlanner, auto_detail, face_size
from vtoon.faces.track import FaceTracker, largest_only

__all__ = [
    "CORE",
    "CutDetector",
    "FaceDetector",
    "FaceTracker",
    "RegionPlanner",
    "align_face",
    "align_matrix",
    "auto_detail",
    "blend_mask",
    "crop_face",
    "face_size",
    "largest_only",
    "pad_to_multiple",
    "paste_back",
    "published_crop",
]
