"""Many inputs: every job gets an outcome, and one that fails does not stop the others."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vtoon.errors import VtoonError, describe
from vtoon.image import about_image, load_image, save_image
from vtoon.pipeline.jobs import Job
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.people import meet
from vtoon.pipeline.placement import Placement
from vtoon.pipeline.stylize import Progress, Stylizer, first_face, people_of
from vtoon.system.target import Target
from vtoon.types import Frame, TrackedFrame
from vtoon.video import VideoReader, VideoWriter

log = logging.getLogger("vtoon")
DONE, SKIPPED, FAILED, DAMAGED = "done", "skipped", "failed", "damaged"
Watch = Callable[[Job], AbstractContextManager[Progress | None]]


@dataclass(frozen=True)
class Result:
    """What became of a job."""

    job: Job
    status: str  # DONE, SKIPPED, FAILED or DAMAGED
    frames: int = 0
    faces: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether the input is done, now or before."""
        return self.status in (DONE, SKIPPED)


def stylize_all(
    stylizer: Stylizer, jobs: Iterable[Job], options: StylizeOptions, watch: Watch | None = None
) -> Iterator[Result]:
    """Do the jobs one after another. Finished ones are skipped unless `options.overwrite`.

    `watch(job)` is a context that gives the function to call with (frames done, frames in all).
    """
    stylizer.settled(options)  # a style that does not exist stops everything, before the first file
    for job in jobs:
        with watch(job) if watch else nullcontext() as progress:
            result = _attempt(stylizer, job, options, progress)
        yield result


def _attempt(stylizer: Stylizer, job: Job, options: StylizeOptions, progress: Progress | None) -> Result:
    try:
        return _do(stylizer, job, options, progress)
    except VtoonError as error:
        return Result(job, FAILED, reason=str(error))
    except Exception as error:  # a defect of ours must not cost the files that follow
        log.info("%s", job.source, exc_info=True)
        return Result(job, FAILED, reason=f"{job.source}: {describe(error)}")


def _do(stylizer: Stylizer, job: Job, options: StylizeOptions, progress: Progress | None) -> Result:
    if job.problem:
        raise VtoonError(job.problem)
    if job.output.exists() and not options.overwrite:
        if job.alone:
            raise VtoonError(f"{job.output}: exists already; add --overwrite, or give another name")
        if job.copy and not job.copy.exists():
            copy_cropped(stylizer, job, options)
        return Result(job, SKIPPED, reason="it is there already (--overwrite draws it again)")
    if job.copy:
        Target(job.copy, [job.source], options.overwrite)  # raises where a file is there that would be replaced
    work = _image if job.kind == "image" else _video
    result = work(stylizer, job, options, progress)
    if job.copy:
        copy_cropped(stylizer, job, options)
    return result


def _video(stylizer: Stylizer, job: Job, options: StylizeOptions, progress: Progress | None) -> Result:
    done = stylizer.stylize_video(job.source, job.output, progress, **vars(options))
    status = DAMAGED if done.damaged else DONE
    return Result(job, status, done.frames, done.faces, done.seconds, done.damaged or "")


def _image(stylizer: Stylizer, job: Job, options: StylizeOptions, progress: Progress | None) -> Result:
    started = time.monotonic()
    with _reserved(Target(job.output, [job.source], options.overwrite)):
        image, alpha = load_image(job.source)
        drawn, faces = stylizer.stylize_picture(image, **vars(options))
        if alpha is not None and drawn.shape != image.shape:
            alpha = _cropped(stylizer, np.dstack([image, alpha]), options, drawn.shape[1::-1])[..., 3]
        save_image(job.output, drawn, alpha, **about_image(job.source))
    if progress:
        progress(1, 1)
    return Result(job, DONE, 1, faces, time.monotonic() - started)


@contextmanager
def _reserved(target: Target) -> Iterator[None]:
    """The place is known to be writable before the work begins; nothing half written stays."""
    target.create()
    try:
        yield
    finally:
        target.discard()


def copy_cropped(stylizer: Stylizer, job: Job, options: StylizeOptions) -> None:
    """Write the region of the input that a crop shows, without the drawing (VToonify's `_input` files)."""
    if job.kind == "image":
        image = load_image(job.source)[0]
        save_image(job.copy, _cropped(stylizer, image, options), **about_image(job.source))
        return
    reader = VideoReader(job.source, part=options.part, deinterlace=options.deinterlace)
    with reader, VideoWriter(job.copy, like=reader, overwrite=True, **options.coding) as writer:
        face = first_face(iter(reader), people_of(job.source, options), reader)
        placement = stylizer.place(options, face, (reader.info.height, reader.info.width))
        for frame in reader:
            alpha = None if frame.alpha is None else _region(placement, Frame(np.dstack([frame.alpha] * 3)))[..., 0]
            writer.write(replace(frame, image=_region(placement, frame), alpha=alpha))


def _cropped(
    stylizer: Stylizer, image: np.ndarray, options: StylizeOptions, size: tuple[int, int] | None = None
) -> np.ndarray:
    """The region of a picture uint8 [H, W, C] (RGB first) that a crop shows; at `size` (width, height) px."""
    rgb = np.ascontiguousarray(image[..., :3])
    people = meet(options.skip_faces, lambda seconds: Frame(rgb))
    placement = stylizer.place(options, first_face(iter([Frame(rgb)]), people), image.shape[:2])
    parts = [_region(placement, Frame(rgb))]
    parts += [_region(placement, Frame(np.dstack([image[..., i]] * 3)))[..., :1] for i in range(3, image.shape[2])]
    region = np.dstack(parts)
    return region if size is None else cv2.resize(region, size, interpolation=cv2.INTER_LINEAR)


def _region(placement: Placement, frame: Frame) -> np.ndarray:
    regions = placement.regions(TrackedFrame(frame))
    return regions[0].job.image if regions else frame.image


def table(results: Sequence[Result]) -> str:
    """The summary: file, frames, faces, fps, result."""
    rows = [("file", "frames", "faces", "fps", "result"), *map(_row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(_align(text, width, i) for i, (text, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _align(text: str, width: int, column: int) -> str:
    return text.rjust(width) if 1 <= column <= 3 else text.ljust(width)


def _row(result: Result) -> tuple[str, ...]:
    name = os.path.basename(result.job.source)
    word = f"{result.status}: {result.reason}" if result.reason else result.status
    if not result.frames:
        return name, "-", "-", "-", word
    rate = f"{result.frames / max(result.seconds, 1e-6):.1f}" if result.job.kind == "video" else "-"
    if result.status == DONE:
        word = f"{DONE}: {result.job.output}"
    return name, str(result.frames), str(result.faces), rate, word


def one_line(result: Result) -> str:
    """The outcome of a single job: where it is and what was seen."""
    if result.status == SKIPPED:
        return f"{result.job.output}: {result.reason}"
    faces = f"{result.faces} face{'' if result.faces == 1 else 's'}"
    if result.job.kind == "image":
        return f"{result.job.output}: {faces}"
    rate = result.frames / max(result.seconds, 1e-6)
    frames = f"{result.frames} frame{'' if result.frames == 1 else 's'}"
    return f"{result.job.output}: {frames}, {faces}, {rate:.1f} fps"
