"""What was dropped: checked, described, and a frame of it drawn."""

from __future__ import annotations

import io
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vtoon.errors import VtoonError
from vtoon.pipeline.people import Place, Seen, frame_of
from vtoon.pipeline.samples import close_up, square
from vtoon.pipeline.stylize import Stylizer
from vtoon.video import MediaInfo, probe
from vtoon.web.models import Menu
from vtoon.web.settings import Settings

SHOWN_SIDE, TILE = 1280, 160  # px, at most: a preview's long side, a thumbnail
FRAMES_KEPT = 4
# How files begin that only name other files: reading one would open what it names.
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"v=0", b"[playlist]", b"[Reference]", b"RTSPtext")


@dataclass
class Clip:
    """A file of a session: a video, or a picture."""

    path: Path
    info: MediaInfo
    _seen: OrderedDict[float, Seen] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def last(self) -> float:
        """Seconds: the time of the last frame, about."""
        rate = float(self.info.rate) or 25.0
        return max(0.0, self.info.duration - 1 / rate)

    def at(self, seconds: float = 0.0) -> Seen:
        """The frame of a time. Raises VtoonError where it cannot be read."""
        time = self.time(seconds)
        with self._lock:
            if time not in self._seen:
                self._seen[time] = Seen.of(frame_of(self.path, time))
                while len(self._seen) > FRAMES_KEPT:
                    self._seen.popitem(last=False)
            return self._seen[time]

    def time(self, seconds: float) -> float:
        """A time that the file has."""
        return round(min(max(0.0, seconds), self.last), 3)


def safe_name(name: str) -> str:
    """A file name of plain characters: nothing in it is a pattern, a flag or another folder."""
    name = re.sub(r"[^\w.\- ]", "_", os.path.basename(name)).lstrip(".- ")
    stem, suffix = os.path.splitext(name)
    return (stem[:80] or "clip") + suffix[:10]


def described(path: Path) -> MediaInfo:
    """What a file is. Raises VtoonError, without folders in it, where it cannot be read or only names other files."""
    with path.open("rb") as file:
        start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(PLAYLISTS):
        raise VtoonError(f"{path.name}: a list that names other files; give the file itself")
    try:
        return probe(path)
    except VtoonError as error:
        raise VtoonError(str(error).replace(str(path), path.name)) from None


def open_clip(path: Path, *kinds: str) -> Clip:
    """Describe a file. `kinds`: "video" | "image". Raises VtoonError where it is another, or cannot be read."""
    info = described(path)
    if info.kind not in kinds:
        other = "Pictures" if info.kind == "image" else "Video"
        raise VtoonError(f"{path.name}: the content is a {info.kind}, not a {kinds[0]}; it belongs to the tab {other}")
    return Clip(path, info)


def preview(
    stylizer: Stylizer, seen: Seen, settings: Settings, left: Sequence[Place | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Before and after, of one size. A crop's before is the region it shows, as near as sizes tell.

    `left`: for every face, what says that it is not drawn.
    """
    options = settings.options()
    faces = [face for face, place in zip(seen.faces, left, strict=True) if place is None]
    faces = faces[:1] if options.faces == "largest" else faces
    after = stylizer.draw_faces(seen.image, faces, options)
    if options.placement != "crop" or not faces:
        return seen.image, after
    region = stylizer.place(options, faces[0], seen.image.shape[:2]).box
    size = region.width, region.height
    resized = cv2.resize(seen.image, size, interpolation=cv2.INTER_AREA if region.scale < 1 else cv2.INTER_CUBIC)
    return resized[region.top : region.bottom, region.left : region.right], after


def thumbnails(stylizer: Stylizer, menu: Menu, seen: Seen, palette: str) -> list[np.ndarray]:
    """Every look on the largest face, uint8 [TILE, TILE, 3] each; none where there is no face or it would take long."""
    if not seen.faces or not menu.quick:
        return []
    pictures = []
    for look in menu.looks:
        style, transfer = menu.find(look, palette)
        drawn = square(close_up(stylizer, seen.image, seen.faces, style=style.id, color_transfer=transfer))
        pictures.append(cv2.resize(drawn, (TILE, TILE), interpolation=cv2.INTER_AREA))
    return pictures


def as_webp(image: np.ndarray, side: int = SHOWN_SIDE, quality: int = 85) -> bytes:
    """A picture for the page, no larger than `side` px."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "webp", quality=quality, method=1)
    return buffer.getvalue()
