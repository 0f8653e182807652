"""A folder of pictures and videos becomes a folder of aligned faces, as StyleGAN2 is trained on.

Work goes to processes, one picture at a time; the order of the report is that of the inputs.
"""

from __future__ import annotations

import csv
import glob
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from vtoon.errors import VtoonError
from vtoon.faces.align import align_face, align_quad
from vtoon.faces.detect import FaceDetector
from vtoon.faces.drawn import Detector, search
from vtoon.faces.landmarks import FacePose
from vtoon.image import REMOVED, load_image, save_image
from vtoon.latent.frames import FrameChooser
from vtoon.system.target import Target
from vtoon.video import VideoReader, sniff_kind

FILLS = 0.75  # of a picture's shorter side: from here on it is a picture of one face
ALREADY = "there already"  # a reason to write nothing
FEW = 8  # pictures that are looked at sooner than processes have started
AHEAD = 4  # pictures waiting for each process


@dataclass(frozen=True)
class AlignOptions:
    """What becomes a face of the data set."""

    size: int = 1024  # px of the result
    detector: Detector = "auto"
    faces: Literal["all", "largest"] = "all"
    min_size: int = 256  # px of the picture, side of the aligned square: smaller faces are left out
    every: int = 24  # of a video, one frame in so many
    sharp: float = 30.0  # variance of the Laplacian under which a frame of a video is blurred
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, least, most in (("size", 16, 4096), ("min_size", 0, 65535), ("every", 1, 10**6)):
            if not least <= getattr(self, name) <= most:
                raise VtoonError(f"{name} is {getattr(self, name)}; it must be {least} to {most}")


@dataclass(frozen=True)
class Row:
    """One line of the report: a face that was aligned, or a picture (a frame) that was not, and why."""

    source: str
    frame: int | None  # of a video
    output: str  # "" where nothing was written
    reason: str  # "" where a face was written
    detector: str = ""  # which way found it
    side: int = 0  # px of the source, of the aligned square
    left: int = 0  # the face's box in the source, px
    top: int = 0
    right: int = 0
    bottom: int = 0

    @property
    def place(self) -> str:
        """Source and frame, for a message."""
        return self.source if self.frame is None else f"{self.source}, frame {self.frame}"


@dataclass(frozen=True)
class _Picture:
    source: str
    stem: str  # of the output's name
    frame: int | None = None
    image: np.ndarray | None = None  # None: to be read
    problem: str = ""


def find_sources(inputs: Sequence[str | os.PathLike]) -> list[str]:
    """The files that files, folders (with those in them) and globs name. Raises VtoonError where one names nothing."""
    found: list[str] = []
    for text in map(os.fspath, inputs):
        if os.path.isdir(text):
            files = [str(path) for path in sorted(Path(text).rglob("*")) if path.is_file() and path.name[0] != "."]
        else:
            files = [text] if os.path.exists(text) or not glob.has_magic(text) else sorted(glob.glob(text))
        if not files:
            raise VtoonError(f"{text}: no file in there; give pictures, videos, or folders with some")
        found += files
    if missing := next((path for path in found if not os.path.exists(path)), None):
        raise VtoonError(f"{missing}: no such file or folder")
    return list(dict.fromkeys(found))


def unique_stems(sources: Sequence[str]) -> dict[str, str]:
    """A name for what is made of each file: its own, and where files share one, with folder and suffix before it."""
    taken = Counter(Path(source).stem for source in sources)
    stems: dict[str, str] = {}
    used: set[str] = set()
    for source in sources:
        stem, path = Path(source).stem, Path(os.path.abspath(source))
        if taken[stem] > 1:
            stem = "_".join([*path.parts[-3:-1], path.name.replace(".", "_")])
        while stem in used:
            stem += "_"
        used.add(stem)
        stems[source] = stem
    return stems


def align_all(
    inputs: Sequence[str | os.PathLike],
    target: Path,
    options: AlignOptions = AlignOptions(),
    processes: int | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> list[Row]:
    """Align every face of the inputs into the folder `target`; a report row for each face and each miss.

    `processes`: None for one a CPU core, and of few pictures none but this; 1 for none but this. What cannot be read is
    a row, not the end. What lies in `target` already, from an earlier run, is no input.
    """
    sources = [source for source in find_sources(inputs) if target.resolve() not in Path(source).resolve().parents]
    if not sources:
        raise VtoonError(f"{target}: holds the inputs; give the aligned faces a folder of their own")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VtoonError(f"{target}: cannot be made ({error.strerror})") from None
    videos = any(sniffed(source) == "video" for source in sources)
    rows: list[Row] = []
    tasks = ((picture, target, options) for picture in _pictures(sources, options, rows))
    if not videos and (len(sources) == 1 or (processes is None and len(sources) <= FEW)):
        processes = 1
    processes = processes or os.cpu_count() or 1
    for done, found in enumerate(_mapped(tasks, processes), start=1):
        rows += found
        progress(done, None if videos else len(sources))
    order = {source: i for i, source in enumerate(sources)}
    return sorted(rows, key=lambda row: (order[row.source], -1 if row.frame is None else row.frame))


def sniffed(source: str) -> str | None:
    """ "image", "video", or None for what is neither."""
    try:
        return sniff_kind(source)
    except VtoonError:
        return None


def _pictures(sources: Sequence[str], options: AlignOptions, rows: list[Row]) -> Iterator[_Picture]:
    """Still pictures, and of videos the frames worth a look. What is left out here goes to `rows`."""
    for source, stem in unique_stems(sources).items():
        if sniffed(source) == "video":
            yield from _frames(source, stem, options, rows)
        else:
            yield _Picture(source, stem)


def _frames(source: str, stem: str, options: AlignOptions, rows: list[Row]) -> Iterator[_Picture]:
    chooser = FrameChooser(options.sharp)
    try:
        with VideoReader(source) as reader:
            for number, frame in enumerate(reader):
                if number % options.every:
                    continue
                if reason := chooser.refuse(frame.image):
                    rows.append(Row(source, number, "", reason))
                else:
                    yield _Picture(source, f"{stem}_{number:06d}", number, frame.image)
            if reader.damaged:
                rows.append(Row(source, None, "", reader.damaged))
    except VtoonError as error:
        rows.append(Row(source, None, "", str(error)))


def _mapped(tasks: Iterable[tuple], processes: int) -> Iterator[list[Row]]:
    if processes == 1:
        yield from (_align(*task) for task in tasks)
        return
    waiting: deque[Future] = deque()
    context = multiprocessing.get_context("spawn")  # threads of the video decoder do not survive a fork
    with ProcessPoolExecutor(processes, context) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(_align, *task))
                if len(waiting) >= processes * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise VtoonError("a process ended suddenly (memory?); try again with fewer --processes") from None
        finally:
            pool.shutdown(cancel_futures=True)


_detector: FaceDetector | None = None  # of this process


def _align(picture: _Picture, target: Path, options: AlignOptions) -> list[Row]:
    global _detector
    _detector = _detector or FaceDetector()
    try:
        image = load_image(picture.source)[0] if picture.image is None else picture.image
        return list(_aligned(_detector, image, picture, target, options))
    except VtoonError as error:
        return [Row(picture.source, picture.frame, "", str(error).removeprefix(f"{picture.source}: "))]


def _aligned(
    detector: FaceDetector, image: np.ndarray, picture: _Picture, target: Path, options: AlignOptions
) -> Iterator[Row]:
    faces, way = search(detector, image, options.detector)
    if not faces:
        yield Row(picture.source, picture.frame, "", "no face found")
    for number, face in enumerate(faces[:1] if options.faces == "largest" else faces, start=1):
        quad, box = align_quad(face), FacePose.of(face.points)
        side = round(float(np.hypot(*(quad[3] - quad[0]))))
        corners = [round(c + s * box.side / 2) for s in (-1, 1) for c in (box.x, box.y)]
        path = target / f"{picture.stem}_{number:02d}.png"
        small = measured(side, image) < options.min_size
        reason = f"smaller than {options.min_size} px (its square is {side} px)" if small else ""
        if not reason and path.exists() and not options.overwrite:
            reason = f"{path.name} is {ALREADY}"
        if not reason and (target / REMOVED / path.name).exists() and not options.overwrite:
            reason = f"{path.name} was {REMOVED}"
        if not reason:
            save_image(path, align_face(image, face, options.size))
        yield Row(picture.source, picture.frame, "" if reason else path.name, reason, way, side, *corners)


def measured(side: int, image: np.ndarray) -> int:
    """How large a face counts, px: its square's side, or the picture's shorter one where the face fills that."""
    shorter = min(image.shape[:2])
    return max(side, shorter) if side > FILLS * shorter else side


def write_report(rows: Sequence[Row], path: Path) -> None:
    """The rows as CSV, complete or not at all."""
    target = Target(path, overwrite=True)
    target.create()
    try:
        with target.part.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)])
            writer.writeheader()
            writer.writerows(map(asdict, rows))
        target.commit()
    except OSError as error:
        raise VtoonError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        target.discard()


def draw_faces(image: np.ndarray, detector: FaceDetector, how: Detector = "auto") -> tuple[np.ndarray, int]:
    """The picture with box, 68 points and aligned square of each face drawn on, and how many there are."""
    faces, _ = search(detector, image, how)
    drawn = image.copy()
    thick = max(round(max(image.shape[:2]) / 400), 1)
    for face in faces:
        pose = FacePose.of(face.points)
        box = cv2.boxPoints(((pose.x, pose.y), (pose.side, pose.side), float(np.degrees(pose.angle))))
        for shape, colour in ((box, (255, 80, 80)), (align_quad(face), (80, 160, 255))):
            cv2.polylines(drawn, [np.rint(shape).astype(np.int32)], True, colour, thick, cv2.LINE_AA)
        for x, y in face.points:
            cv2.circle(drawn, (round(x), round(y)), thick + 1, (60, 230, 90), -1, cv2.LINE_AA)
    return drawn, len(faces)
