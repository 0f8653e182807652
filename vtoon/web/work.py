"""What a press of Start does, in the worker's thread: the command line's own jobs, watched."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vtoon.pipeline import jobs as planned
from vtoon.pipeline.batch import DAMAGED, stylize_all
from vtoon.pipeline.stylize import Stylizer
from vtoon.types import Frame, Rendered, TrackedFrame
from vtoon.video import VideoReader
from vtoon.web.jobs import Job
from vtoon.web.settings import Settings
from vtoon.web.tracks import Tracks

ZIP = "drawings.zip"


class Watched(Stylizer):
    """A Stylizer that leaves what it has drawn last with a job, and follows no face a second time."""

    def __init__(self, stylizer: Stylizer, job: Job, tracks: Tracks) -> None:
        super().__init__(stylizer.checkpoint, str(stylizer.device))
        self._plain, self._job, self._tracks = stylizer, job, tracks

    @property
    def flow(self):
        """Shared: its weights are loaded once."""
        return self._plain.flow

    def track(self, frames: Iterator[Frame], reader: VideoReader) -> Iterator[TrackedFrame]:
        return self._tracks.through(reader, frames, super().track(frames, reader))

    def render(self, *args: object, **kwargs: object) -> Iterator[Rendered]:
        for picture in super().render(*args, **kwargs):
            self._job.picture = picture.image
            yield picture


def output_name(source: Path, settings: Settings) -> str:
    """What the drawing of a video is called."""
    return f"{source.stem}-{settings.style.name}{settings.suffix}"


@dataclass(frozen=True)
class Hands:
    """What a work draws with."""

    stylizer: Stylizer
    settings: Settings
    tracks: Tracks = field(default_factory=Tracks)


def draw_video(job: Job, hands: Hands, source: Path, folder: Path) -> list[Path]:
    """Returns the file that was made, in `folder`; of a job that ends early nothing stays."""
    return _draw(job, hands, [source], folder / output_name(source, hands.settings), folder)


def draw_pictures(job: Job, hands: Hands, sources: Sequence[Path], folder: Path) -> list[Path]:
    """Returns the files that were made; several come with a ZIP of all, which is the last one."""
    made = _draw(job, hands, sources, folder, folder)
    return [*made, zipped(made, folder)] if len(made) > 1 else made


def draw_one(job: Job, hands: Hands, source: Path, folder: Path) -> list[Path]:
    """A file of many: called as the command line calls it in a folder of drawings."""
    folder.mkdir(parents=True, exist_ok=True)
    return _draw(job, hands, [source], folder, folder)


def zipped(made: Sequence[Path], folder: Path) -> Path:
    """All of them in one file."""
    with zipfile.ZipFile(folder / ZIP, "w") as archive:  # stored: pictures are compressed already
        for path in made:
            archive.write(path, path.name)
    return folder / ZIP


def _draw(job: Job, hands: Hands, sources: Sequence[Path], output: Path, folder: Path) -> list[Path]:
    made, many = [], len(sources) > 1

    @contextmanager
    def watch(_: planned.Job) -> Iterator:
        job.progress(len(made) if many else 0, len(sources) if many else None)
        yield (lambda frames, total: job.progress(len(made), len(sources))) if many else job.progress

    try:
        works = planned.plan([str(source) for source in sources], output)
        stylizer = Watched(hands.stylizer, job, hands.tracks)
        for result in stylize_all(stylizer, works, hands.settings.options(), watch):
            name = Path(result.job.source).name
            if result.good or result.status == DAMAGED:
                made.append(result.job.output)
            if result.reason:
                job.problems.append(_without_folders(result.reason, result.job))
            elif not result.faces and hands.settings.placement != "full":
                job.problems.append(f"{name}: no face was found, so nothing was drawn")
        job.progress(len(made) if many else job.frames, len(sources) if many else job.total)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if not made:
        shutil.rmtree(folder, ignore_errors=True)
    return made


def _without_folders(message: str, job: planned.Job) -> str:
    """The pipeline's line, with names as the user knows them."""
    for path in (Path(job.source), job.output):
        message = message.replace(str(path), path.name).replace(f"{path.parent}/", "")
    return message
