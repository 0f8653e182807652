"""Many inputs: files, folders and globs become jobs with an output each; one that fails does not stop the others."""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vtoon.errors import VtoonError, describe
from vtoon.image import IMAGE_SUFFIXES, load_image, save_image
from vtoon.placement import Placement
from vtoon.stylize import Progress, StylizeOptions, Stylizer, first_face
from vtoon.types import Frame, TrackedFrame
from vtoon.video import VideoReader, VideoWriter, sniff_kind
from vtoon.video.encoders import CODECS, CONTAINERS
from vtoon.video.source import is_pattern
from vtoon.video.target import Target

log = logging.getLogger("vtoon")
VIDEO_SUFFIXES = (*CONTAINERS, *(".gif .apng .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv .mxf .y4m .vob").split())
SAVED_IMAGES = (".png", ".jpg", ".jpeg", ".webp")  # a picture of another kind is saved as PNG
DONE, SKIPPED, FAILED, DAMAGED = "done", "skipped", "failed", "damaged"


@dataclass(frozen=True)
class Naming:
    """How an output is called in its folder: <stem><ending><extension>."""

    ending: str = ""
    copy_ending: str | None = None  # also keep the cropped input under this ending
    codec: str | None = None

    def output(self, source: str, kind: str | None) -> str:
        """The file name of a drawing. An extension that cannot be written becomes .mp4 or .png."""
        return self._name(source, kind, self.ending)

    def copy(self, source: str, kind: str | None) -> str | None:
        """The file name of the cropped input, if it is wanted."""
        return None if self.copy_ending is None else self._name(source, kind, self.copy_ending)

    def _name(self, source: str, kind: str | None, ending: str) -> str:
        stem, suffix = os.path.splitext(os.path.basename(source))
        if is_pattern(source):
            stem = os.path.basename(os.path.dirname(os.path.abspath(source)))
        if kind == "image":
            return stem + ending + (suffix if suffix.lower() in SAVED_IMAGES else ".png")
        fitting = CODECS[self.codec].suffixes if self.codec in CODECS else tuple(CONTAINERS)
        default = ".mp4" if ".mp4" in fitting else fitting[0]
        return stem + ending + (suffix if suffix.lower() in fitting else default)


@dataclass(frozen=True)
class Job:
    """One input and what becomes of it."""

    source: str
    output: Path
    kind: str | None  # "video" | "image" | None: not readable, `problem` says why
    problem: str | None = None
    copy: Path | None = None  # the cropped input goes here
    alone: bool = False  # the only input, named itself rather than found in a folder


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


def plan(inputs: Sequence[str], output: Path, naming: Naming = Naming()) -> list[Job]:
    """The jobs for files, folders, quoted globs and image sequences; nothing is written yet.

    `output` is a folder, or, for one input file, a file where it has an extension. Raises VtoonError where there is
    nothing to do, two inputs would share an output, or an output is its input.
    """
    sources, alone = find(inputs), len(inputs) == 1 and _is_one(inputs[0])
    as_file = _is_file_name(output)
    if as_file and not alone:
        raise VtoonError(f"{output}: names one file, but the input is more than one; give a folder")
    jobs = [_job(source, output, naming, alone, as_file and alone) for source in sources]
    jobs = [job for job in jobs if not _is_product(job, jobs, inputs)]
    _check_outputs(jobs)
    return jobs


def find(inputs: Sequence[str]) -> list[str]:
    """The files that the inputs name, each once, folders and globs in the order of names."""
    if not inputs:
        raise VtoonError("no input: give a video, an image, a folder or a quoted glob")
    found = {os.path.abspath(path): path for text in inputs for path in _expand(os.fspath(text))}
    return list(found.values())


def _expand(text: str) -> list[str]:
    if os.path.isdir(text):
        files = [path for path in _listing(os.path.join(glob.escape(text), "*")) if _is_media(path)]
        if not files:
            raise VtoonError(f"{text}: no video and no image in this folder")
        return files
    if _is_one(text):
        return [text]
    files = _listing(text)
    if not files:
        raise VtoonError(f"{text}: no file fits this pattern")
    return files


def _listing(pattern: str) -> list[str]:
    """Files that fit, without hidden ones (glob leaves them out) and half-written ones."""
    return [path for path in sorted(glob.glob(pattern)) if os.path.isfile(path) and not path.endswith(".part")]


def _is_one(text: str) -> bool:
    """Whether an input is a single file (there or not) or an image sequence."""
    return not os.path.isdir(text) and (os.path.exists(text) or is_pattern(text) or not glob.has_magic(text))


def _is_media(path: str) -> bool:
    suffix = Path(path).suffix.lower()
    if suffix:
        return suffix in VIDEO_SUFFIXES or suffix in IMAGE_SUFFIXES
    try:
        return bool(sniff_kind(path))  # no extension: the content says
    except VtoonError:
        return False


def _is_file_name(output: Path) -> bool:
    return bool(output.suffix) and not output.is_dir()


def _job(source: str, output: Path, naming: Naming, alone: bool, as_file: bool) -> Job:
    kind, problem = None, None
    try:
        kind = sniff_kind(source)
    except VtoonError as error:
        problem = str(error)
    if as_file and kind == "image" and output.suffix.lower() not in IMAGE_SUFFIXES:
        raise VtoonError(f"{source}: is one picture; {output.name} must end in {', '.join(SAVED_IMAGES)}")
    target = output if as_file else output / naming.output(source, kind)
    copy = naming.copy(source, kind)
    return Job(source, target, kind, problem, target.with_name(copy) if copy else None, alone)


def _is_product(job: Job, jobs: Sequence[Job], named: Sequence[str]) -> bool:
    """Whether a file found in a folder is what another job of an earlier run has made there."""
    if job.source in named:
        return False
    made = {os.path.abspath(path) for other in jobs if other is not job for path in (other.output, other.copy) if path}
    return os.path.abspath(job.source) in made


def _check_outputs(jobs: Iterable[Job]) -> None:
    taken: dict[str, Job] = {}
    for job in jobs:
        Target(job.output, [job.source], overwrite=True)  # raises where it is a folder or the input itself
        other = taken.setdefault(os.path.abspath(job.output), job)
        if other is not job:
            raise VtoonError(
                f"{other.source} and {job.source} would both become {job.output}; "
                "rename one, or give them different output folders"
            )


Watch = Callable[[Job], AbstractContextManager[Progress | None]]


def stylize_all(
    stylizer: Stylizer, jobs: Iterable[Job], options: StylizeOptions, watch: Watch | None = None
) -> Iterator[Result]:
    """Do the jobs one after another. Finished ones are skipped unless `options.overwrite`.

    `watch(job)` is a context that gives the function to call with (frames done, frames in all).
    """
    stylizer.checkpoint.bank.find(options.style)  # a style that does not exist stops everything, before the first file
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
        return Result(job, SKIPPED, reason="it is there already")
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
        save_image(job.output, drawn, alpha if drawn.shape == image.shape else None)
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
        placement = stylizer.place(options, first_face(iter([Frame(image)])), image.shape[:2])
        save_image(job.copy, _region(placement, Frame(image)))
        return
    coding = {"codec": options.codec, "crf": options.crf, "preset": options.preset}
    with VideoReader(job.source) as reader, VideoWriter(job.copy, like=reader, overwrite=True, **coding) as writer:
        placement = stylizer.place(options, first_face(iter(reader)), (reader.info.height, reader.info.width))
        for frame in reader:
            writer.write(replace(frame, image=_region(placement, frame)))


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
    faces = f"{result.faces} face{'' if result.faces == 1 else 's'}"
    if result.job.kind == "image":
        return f"{result.job.output}: {faces}"
    rate = result.frames / max(result.seconds, 1e-6)
    return f"{result.job.output}: {result.frames} frames, {faces}, {rate:.1f} fps"
