"""A face as 128 numbers: dlib's metric ResNet in PyTorch, differentiable, and the 150 px chip that it looks at.

Same person: distance under 0.6 (King, "High quality face recognition with deep metric learning", dlib.net, 2017).
`vtoon.weights.dlib_embedding` reads its weights; this module holds tensors only.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.image import to_tensor
from vtoon.types import Landmarks

CHIP_SIZE = 150  # px, the size that the network was trained at
CHIP_PADDING = 0.25  # of the face's width, added on every side
EMBEDDING_SIZE = 128
SAME_PERSON = 0.6  # largest distance between two pictures of one person

PIXEL_MEAN = (122.782, 117.001, 104.298)  # RGB in 0..255
PIXEL_SCALE = 256.0
STEM_CHANNELS = 32
BLOCKS = ((32, 1),) * 3 + ((64, 2),) + ((64, 1),) * 3 + ((128, 2),) + ((128, 1),) * 2 + ((256, 2),)
BLOCKS += ((256, 1),) * 2 + ((256, 2),)  # (channels, stride) of the 14 residual blocks
FEATURE_LAYERS = (0, 3, 7, 10)  # strides 2, 4, 8, 16

# Where four eye corners and the base of the nose lie in an unpadded chip, and their numbers among the 68 points:
# dlib's five-point mean face (image_transforms/interpolation.h).
CHIP_POINTS = (45, 42, 36, 39, 33)
CHIP_MEAN = ((0.85957, 0.21350), (0.64606, 0.22897), (0.12058, 0.21373), (0.33409, 0.22906), (0.49011, 0.62780))


def _pad_to(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Zeros at the bottom, the right and the last channels, up to the given size."""
    return F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1]))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut that is pooled, never projected; sizes that differ are zero-padded."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1 if stride == 1 else 0)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride)
        size = [max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True)]
        return F.relu(_pad_to(x, *size) + _pad_to(y, *size))


class FaceEmbedding(nn.Module):
    """dlib's face recognition ResNet, its affine layers folded into the convolutions. Frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, STEM_CHANNELS, 7, stride=2)
        inputs = (STEM_CHANNELS, *(channels for channels, _ in BLOCKS))
        self.blocks = nn.ModuleList(ResidualBlock(i, o, s) for i, (o, s) in zip(inputs, BLOCKS, strict=False))
        self.head = nn.Linear(BLOCKS[-1][0], EMBEDDING_SIZE, bias=False)
        self.requires_grad_(False)

    def forward(self, chips: Tensor) -> Tensor:
        """Face chips [N, 3, 150, 150] in [-1, 1] -> embeddings [N, 128]; compare them by Euclidean distance."""
        (features,) = self.features(chips, (len(self.blocks),))
        return self.head(features.mean((2, 3)))

    def features(self, images: Tensor, layers: Sequence[int] = FEATURE_LAYERS) -> list[Tensor]:
        """Inner activations after the ReLU, for a perceptual loss at any size (64 px and more for the default layers).

        `images` [N, 3, H, W] in [-1, 1]. Layer 0 is the first convolution (stride 2); layer i = 1..14 is the i-th
        residual block: 1-3 stride 4, 4-7 stride 8, 8-10 stride 16, 11-13 stride 32, 14 stride 64. Nothing deeper than
        the last layer asked for is computed. Returns one [N, C, h, w] for each of `layers`, in ascending order.
        """
        wanted = sorted(layers)
        if not wanted or wanted[0] < 0 or wanted[-1] > len(self.blocks):
            raise ValueError(f"layers is {tuple(layers)}; it must name some of 0..{len(self.blocks)}")
        x = F.relu(self.stem(((images + 1) * 127.5 - self.mean) / PIXEL_SCALE))
        maps = {0: x}
        x = F.max_pool2d(x, 3, 2) if wanted[-1] else x
        for i, block in enumerate(self.blocks[: wanted[-1]], start=1):
            maps[i] = x = block(x)
        return [maps[i] for i in wanted]

    @torch.no_grad()
    def embed(self, image: np.ndarray, landmarks: Landmarks) -> np.ndarray:
        """One face of an image, uint8 [H, W, 3] RGB -> float32 [128]."""
        chip = face_chip(image, landmarks)
        return self(to_tensor(chip, self.mean.device))[0].cpu().numpy()


def chip_matrix(landmarks: Landmarks, size: int = CHIP_SIZE) -> np.ndarray:
    """The similarity [2, 3] that takes image pixels to chip pixels, as dlib's `get_face_chip` has it.

    Least squares over five points (Umeyama 1991), with the error measured in the image.
    """
    chip = (np.asarray(CHIP_MEAN) + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * size
    image = landmarks.points[list(CHIP_POINTS)].astype(np.float64)
    z, w = chip @ (1, 1j), image @ (1, 1j)  # in the plane of complex numbers a similarity is w = a z + b
    centred = z - z.mean()
    a = np.vdot(centred, w) / np.vdot(centred, centred).real
    centre = w.mean() + a * (size * (0.5 + 0.5j) - z.mean())
    a *= (size - 1 / abs(a)) / (size - 1)  # dlib's chip ends at the centres of its outermost pixels, here and there
    b = centre - a * (size - 1) * (0.5 + 0.5j)
    return cv2.invertAffineTransform(np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]]))


def face_chip(image: np.ndarray, landmarks: Landmarks, size: int = CHIP_SIZE) -> np.ndarray:
    """Cut a face out upright: uint8 [H, W, 3] -> uint8 [size, size, 3], black outside the image.

    The geometry is that of dlib's `get_face_chip` with padding 0.25.
    """
    matrix = chip_matrix(landmarks, size)
    shrink = int(1 / np.hypot(matrix[0, 0], matrix[1, 0]))  # bilinear alone would alias when it makes smaller
    if shrink > 1:
        smaller = np.array([max(1, side // shrink) for side in image.shape[1::-1]])
        scale = image.shape[1::-1] / smaller
        image = cv2.resize(image, smaller.tolist(), interpolation=cv2.INTER_AREA)
        shift = matrix[:, :2] @ ((scale - 1) / 2)  # pixel centres: x = scale (x' + 1/2) - 1/2
        matrix = np.column_stack((matrix[:, :2] * scale, matrix[:, 2] + shift))
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def face_chips(images: Tensor, matrices: Tensor, size: int = CHIP_SIZE) -> Tensor:
    """The same cut on the device, differentiable, for identity losses.

    `images` [N, 3, H, W] in [-1, 1], `matrices` [N, 2, 3] from `chip_matrix` -> chips [N, 3, size, size] in [-1, 1].
    Bilinear without a low pass: for faces not much larger than the chip.
    """
    inverse = torch.linalg.inv(matrices[:, :, :2])
    offset = -inverse @ matrices[:, :, 2:]
    axis = torch.arange(size, device=images.device, dtype=matrices.dtype)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = (inverse @ torch.stack((x, y)).reshape(1, 2, -1) + offset).reshape(-1, 2, size, size)
    extent = torch.tensor((images.shape[3], images.shape[2]), device=images.device, dtype=matrices.dtype)
    grid = (points.permute(0, 2, 3, 1) * 2 + 1) / extent - 1
    black = -1.0  # grid_sample pads with 0, which is grey here
    chips = F.grid_sample(images - black, grid.to(images.dtype), mode="bilinear", align_corners=False)
    return chips + black
