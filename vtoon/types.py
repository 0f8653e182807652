"""What crosses a boundary between packages: small frozen records, checked where they are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

RIGHT_EYE = slice(36, 42)  # of the 68 points, the subject's right eye: on the left in the image
LEFT_EYE = slice(42, 48)
MOUTH_CORNERS = (48, 54)
# Of the 68 points, what becomes of each when left and right change places.
MIRRORED = (*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), *range(45, 41, -1), 47, 46)
MIRRORED += (*range(39, 35, -1), 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65)


@dataclass(frozen=True)
class Frame:
    """One picture of a video, upright, and its time: `pts * time_base` seconds."""

    image: np.ndarray  # uint8 [H, W, 3] RGB
    pts: int = 0
    time_base: Fraction = Fraction(1, 25)
    alpha: np.ndarray | None = None  # uint8 [H, W], 0: nothing of the picture is seen; None: all of it

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise ValueError(f"Frame.image is {self.image.dtype} {self.image.shape}; it must be uint8 [H, W, 3]")


def over_black(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] with alpha uint8 [H, W] as it is seen on black: not the colours that alpha hides."""
    return (image.astype(np.uint16) * alpha[..., None] // 255).astype(np.uint8)


@dataclass(frozen=True)
class Landmarks:
    """The 68 facial points of the iBUG layout, in pixels of the frame they were found in."""

    points: np.ndarray  # float [68, 2], x then y

    def __post_init__(self) -> None:
        if self.points.shape != (68, 2):
            raise ValueError(f"Landmarks.points is {self.points.shape}; it must be (68, 2)")

    @property
    def eyes(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the eye on the left and the eye on the right of the image, [2] each."""
        return self.points[RIGHT_EYE].mean(0), self.points[LEFT_EYE].mean(0)

    @property
    def eye_distance(self) -> float:
        """Euclidean distance between the eye centres, px."""
        left, right = self.eyes
        return float(np.hypot(*(right - left)))

    @property
    def eye_middle(self) -> np.ndarray:
        """Halfway between the eye centres, [2]."""
        return sum(self.eyes) / 2

    @property
    def mouth(self) -> np.ndarray:
        """Centre between the corners of the mouth, [2]."""
        return self.points[list(MOUTH_CORNERS)].mean(0)

    def moved(self, scale: float = 1.0, offset: tuple[float, float] = (0.0, 0.0)) -> Landmarks:
        """The same face after the image is scaled, then shifted by `offset` (x, y) px."""
        return Landmarks(self.points * scale + np.asarray(offset))

    def resized(self, scale: float) -> Landmarks:
        """The same face where the image is resampled between the centres of its pixels, as OpenCV and torch do."""
        return self.moved(scale, (0.5 * scale - 0.5,) * 2)


@dataclass(frozen=True)
class TrackedFace:
    """One person in one frame."""

    track: int  # the same number for the same person through a shot
    landmarks: Landmarks  # smoothed
    held: bool = False  # True: not seen in this frame, its last place is kept for a short gap


@dataclass(frozen=True)
class TrackedFrame:
    """A frame and the faces in it. `cut` is True on the first frame of a shot."""

    frame: Frame
    faces: tuple[TrackedFace, ...] = ()
    cut: bool = False


@dataclass(frozen=True)
class CropBox:
    """A region of a frame that was first resized to (height, width); all in px of the resized frame."""

    scale: float  # resized / original
    height: int
    width: int
    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= self.width and 0 <= self.top < self.bottom <= self.height):
            raise ValueError(f"{self} is empty or leaves its frame")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the region."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Rendered:
    """A stylized frame on its way to the encoder."""

    source: np.ndarray  # uint8 [H, W, 3], the untouched pixels that `image` shows
    image: np.ndarray  # uint8 [H, W, 3], stylized
    weight: np.ndarray | None  # float32 [H, W] in [0, 1]: how far each pixel is stylized; None: everywhere
    pts: int
    time_base: Fraction
    cut: bool = False
    faces: int = 0
    alpha: np.ndarray | None = None  # uint8 [H, W] of `image`; None: all of it is seen


@dataclass(frozen=True)
class Style:
    """One entry of a style bank."""

    id: int
    name: str
    look: str = ""
    palette: str = ""
    tags: tuple[str, ...] = field(default_factory=tuple)
