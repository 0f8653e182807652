"""Sets as their makers hand them out: Google's cartoonset (a tar of PNG and CSV), iCartoonFace (boxes in a list)."""

from __future__ import annotations

import io
import re
import tarfile
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vtoon.errors import VtoonError
from vtoon.image import IMAGE_SUFFIXES, load_image
from vtoon.train.sources import decoded, size_of

BROKEN = (tarfile.TarError, OSError, EOFError)


class TarSource:
    """Pictures of a .tar, .tgz or .tar.gz, in its order; what else it holds (attributes, READMEs) is passed over.

    A packed archive can be read from its beginning alone: pictures are kept until they are asked for, and whoever goes
    back begins anew.
    """

    def __init__(self, path: Path) -> None:
        """Raises VtoonError where it is damaged, or none."""
        self.path, self._lock = path, threading.Lock()
        self._kept: dict[int, bytes] = {}
        self._tar: tarfile.TarFile | None = None
        self._members, self._next = iter(()), 0
        try:
            with tarfile.open(path, "r|*") as tar:
                self.names = [member.name for member in tar if _is_picture(member)]
        except BROKEN as error:
            raise VtoonError(f"{path}: not a readable tar archive ({error}); get it again") from None

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def side(self, index: int) -> tuple[int, int]:
        return size_of(io.BytesIO(self._bytes(index)), self.names[index])

    def picture(self, index: int) -> np.ndarray:
        return decoded(io.BytesIO(self._bytes(index)), self.names[index])

    def _bytes(self, index: int) -> bytes:
        with self._lock:
            if index not in self._kept and (self._tar is None or index < self._next):
                self._kept.clear()
                self._tar, self._next = tarfile.open(self.path, "r|*"), 0
                self._members = iter(self._tar)
            while index not in self._kept:
                self._read_on(index)
            return self._kept.pop(index)

    def _read_on(self, index: int) -> None:
        try:
            for member in self._members:
                if _is_picture(member):
                    self._kept[self._next] = self._tar.extractfile(member).read()
                    self._next += 1
                    return
        except BROKEN as error:
            raise VtoonError(f"{self.names[index]}: cannot be unpacked ({error})") from None
        raise VtoonError(f"{self.path}: has changed while it was read")


def _is_picture(member: tarfile.TarInfo) -> bool:
    name = Path(member.name).name
    return member.isfile() and not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


@dataclass(frozen=True)
class Box:
    """A face in a picture, px."""

    file: str
    left: float
    top: float
    right: float
    bottom: float


class BoxSource:
    """Faces cut out of a folder's pictures as a list says: squares with a margin, the border mirrored."""

    def __init__(self, path: Path, boxes: Path, margin: float, least: int = 0) -> None:
        """`margin`: of the box's longer side, on every side; `least`: px that it must have."""
        self.path, self.margin = path, margin
        found = read_boxes(boxes)
        self.boxes = [box for box in found if max(box.right - box.left, box.bottom - box.top) >= least]
        if not self.boxes:
            raise VtoonError(f"{boxes}: none of its {len(found)} boxes is {least} px or more; lower --min_size")

    def __len__(self) -> int:
        return len(self.boxes)

    def name(self, index: int) -> str:
        return f"{self.boxes[index].file}, box {index}"

    def side(self, index: int) -> tuple[int, int]:
        box = self.boxes[index]
        side = round(max(box.right - box.left, box.bottom - box.top) * (1 + 2 * self.margin))
        return side, side

    def picture(self, index: int) -> np.ndarray:
        box, (side, _) = self.boxes[index], self.side(index)
        image = load_image(self.path / box.file)[0]
        height, width = image.shape[:2]
        if not (0 <= box.left < box.right <= width + 1 and 0 <= box.top < box.bottom <= height + 1):
            raise VtoonError(f"{self.name(index)}: lies outside of the picture, {width}x{height} px")
        left, top = (round((a + b - side) / 2) for a, b in ((box.left, box.right), (box.top, box.bottom)))
        edges = max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0)
        wide = cv2.copyMakeBorder(image, *edges, cv2.BORDER_REFLECT)
        top, left = top + edges[0], left + edges[2]
        return wide[top : top + side, left : left + side]


def read_boxes(path: Path) -> list[Box]:
    """Lines of a file name and left, top, right, bottom, px, parted by commas, tabs or spaces; more on a line is passed
    over. Raises VtoonError where a line is something else."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise VtoonError(f"{path}: cannot be read ({error.strerror})") from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = re.split(r"[,\t]" if re.search(r"[,\t]", line) else r"\s+", line.strip())
        try:
            found.append(Box(parts[0], *map(float, parts[1:5])))
        except (ValueError, TypeError):
            raise VtoonError(f"{path}: line {number} is {line[:60]!r}; expected name,left,top,right,bottom") from None
    if not found:
        raise VtoonError(f"{path}: holds no box; expected lines of name,left,top,right,bottom")
    return found
