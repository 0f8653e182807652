"""Whether two pictures show one person: what projection lowers beside the perceptual distance."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.faces.detect import FaceDetector
from vtoon.image import to_uint8
from vtoon.models.face_embedding import FaceEmbedding, chip_matrix, face_chips
from vtoon.types import Landmarks
from vtoon.weights.dlib_embedding import load_face_embedding


class Identity:
    """Whether drawn faces are the persons of the targets: 1 - cosine of face embeddings, in the target's pose."""

    def __init__(self, targets: Tensor, landmarks: list[Landmarks | None]) -> None:
        """targets: [N, 3, H, W]; a target without landmarks has no say."""
        self._net: FaceEmbedding = load_face_embedding().to(targets.device)
        known = [face is not None for face in landmarks]
        self._known = torch.tensor(known, device=targets.device)
        matrices = [chip_matrix(face) if face is not None else np.eye(2, 3) for face in landmarks]
        self._matrices = torch.tensor(np.stack(matrices), dtype=torch.float32, device=targets.device)
        with torch.no_grad():
            self._wanted = self._embed(targets)

    def distance(self, images: Tensor) -> Tensor:
        """[N] in [0, 2]."""
        return (1 - F.cosine_similarity(self._embed(images), self._wanted)) * self._known

    def _embed(self, images: Tensor) -> Tensor:
        return self._net(face_chips(images, self._matrices))


def find_landmarks(images: Tensor, detector: FaceDetector | None = None) -> list[Landmarks | None]:
    """Of the largest face of each picture [N, 3, H, W]."""
    detector = detector or FaceDetector()
    return [next(iter(detector.detect(image)), None) for image in to_uint8(images)]
