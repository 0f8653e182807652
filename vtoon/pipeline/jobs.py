"""Inputs become jobs: files, folders, globs, image sequences, each with its output, checked before anything starts."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vtoon.errors import VtoonError
from vtoon.image import IMAGE_SUFFIXES, PHOTO_SUFFIXES
from vtoon.system.pipes import through_pipe
from vtoon.system.target import Target
from vtoon.video import sniff_kind
from vtoon.video.encoders import CODECS, CONTAINERS
from vtoon.video.source import is_pattern

VIDEO_SUFFIXES = (*CONTAINERS, *(".gif .apng .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv .mxf .y4m .vob").split())
SAVED_IMAGES = (".png", ".jpg", ".jpeg", ".webp")  # a picture of another kind is saved as PNG


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


def plan(inputs: Sequence[str], output: str | os.PathLike, naming: Naming = Naming()) -> list[Job]:
    """The jobs for files, folders, quoted globs, image sequences and pipes; nothing is written yet.

    `output` is a folder, or, for one input file, a file where it has an extension and no slash at its end.
    Two inputs that would share an output, and an output that is an input, are problems of these jobs alone. Raises
    VtoonError where there is nothing to do, or the only job has a problem of this kind.
    """
    inputs = [through_pipe(os.fspath(text)) for text in inputs]
    sources, alone = find(inputs), len(inputs) == 1 and _is_one(inputs[0])
    as_file, output = _is_file_name(os.fspath(output)), Path(output)
    if as_file and not alone:
        raise VtoonError(f"{output}: names one file, but the input is more than one; give a folder")
    jobs = [_job(source, output, naming, alone, as_file and alone) for source in sources]
    return _checked(_without_products(jobs, inputs))


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
        return suffix in VIDEO_SUFFIXES or suffix in PHOTO_SUFFIXES
    try:
        return bool(sniff_kind(path))  # no extension: the content says
    except VtoonError:
        return False


def _is_file_name(output: str) -> bool:
    return bool(Path(output).suffix) and not output.endswith(("/", os.sep)) and not os.path.isdir(output)


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


def _without_products(jobs: Sequence[Job], named: Sequence[str]) -> list[Job]:
    """Leave out what was found in a folder and is what another job has made there on an earlier run."""
    maker = {os.path.abspath(path): job for job in jobs for path in (job.output, job.copy) if path}
    return [job for job in jobs if job.source in named or maker.get(os.path.abspath(job.source), job) is job]


def _checked(jobs: Sequence[Job]) -> list[Job]:
    """Jobs whose outputs collide get a `problem`; a single job raises it."""
    inputs, taken = {os.path.realpath(job.source) for job in jobs}, {}
    checked = []
    for job in jobs:
        try:
            if not job.problem:
                _check_outputs(job, inputs, taken)
        except VtoonError as error:
            if len(jobs) == 1:
                raise
            job = replace(job, problem=str(error))
        checked.append(job)
    return checked


def _check_outputs(job: Job, inputs: set[str], taken: dict[str, Job]) -> None:
    for path in [path for path in (job.output, job.copy) if path]:
        Target(path, [job.source], overwrite=True)  # raises where it is a folder or the input itself
        if os.path.realpath(path) in inputs:
            raise VtoonError(f"{path}: is an input and would be an output, too; give the outputs another folder")
        other = taken.setdefault(os.path.abspath(path), job)
        if other is not job:
            raise VtoonError(
                f"{other.source} and {job.source} would both become {path}; "
                "rename one, or give them different output folders"
            )
