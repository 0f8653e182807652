"""`vtoon align`: pictures and videos become aligned faces; `vtoon detect`: what is found, drawn on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import FAILED, Flag, Talk, progress_bar, say_error, show_notices
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from vtoon.latent.align import Row

SHOWN = 20  # lines of what was not aligned
Detector = Annotated[Literal["auto", "mmod", "hog"], arg(aliases=["--model"])]
OldName = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]


@dataclass(frozen=True)
class Align:
    """Align every face of a folder of pictures and videos as FFHQ's are, for training and for projecting.

    Writes TARGET/<name>_01.png and so on. The names of align_image_data.py are taken, too.
    """

    source: Annotated[Path | None, Positional, arg(metavar="SOURCE", help_behavior_hint="")] = None
    """A picture, a video, or a folder with some, also in folders in it."""
    target: Annotated[Path | None, Positional, arg(metavar="TARGET", help_behavior_hint="")] = None
    """The folder for the faces."""
    size: Annotated[int, arg(metavar="PX", aliases=["--output_size"])] = 1024
    """Side of the result."""
    detector: Detector = "auto"
    """auto: HOG, tilted, mirrored, softened, grey, with a margin, then MMOD at three sizes, until a face is found."""
    faces: Literal["all", "largest"] = "all"
    """Of a picture with several faces."""
    min_size: Annotated[int, arg(metavar="PX")] = 256
    """Leave out faces whose aligned square is smaller than this in the source; a picture that is filled by the face
    counts with its own shorter side."""
    every: Annotated[int, arg(metavar="N")] = 24
    """Of a video, look at one frame in N; near-duplicates and blurred frames are left out."""
    sharp: Annotated[float, arg(metavar="VARIANCE")] = 30.0
    """A frame whose Laplacian varies less is blurred; 0 takes all."""
    report: Annotated[Path | None, arg(metavar="FILE.csv", help_behavior_hint="")] = None
    """Write a line for each face and each miss, with the reason, the box and what found it."""
    processes: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one a core)")] = None
    """Pictures worked on at the same time."""
    overwrite: Flag = False
    """Write faces again that are in TARGET already; without it they are left as they are."""
    images_source: OldName = None
    """Old name of SOURCE."""
    image_source: OldName = None
    """Old name of SOURCE, a single picture."""
    images_target: OldName = None
    """Old name of TARGET."""
    metadata: Flag = False
    """Old name: writes the report to TARGET/metadata.csv."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> int:
        """Returns the exit code: 0 where at least one face lies in the folder."""
        from vtoon.latent.align import AlignOptions, align_all, write_report

        show_notices(self.messages)
        sources, target = self._places()
        if self.processes is not None and self.processes < 1:
            raise VtoonError(f"processes is {self.processes}; it must be 1 or more")
        options = AlignOptions(
            self.size, self.detector, self.faces, self.min_size, self.every, self.sharp, self.overwrite
        )
        with progress_bar("align", self.messages.quiet, " pictures") as progress:
            rows = align_all(sources, target, options, self.processes, progress)
        report = self.report or (target / "metadata.csv" if self.metadata else None)
        if report:
            write_report(rows, report)
        self._tell(rows, target, report)
        return 0 if any(row.output or "already" in row.reason for row in rows) else FAILED

    def _places(self) -> tuple[list[Path], Path]:
        positional = [path for path in (self.source, self.target) if path is not None]
        named = [path for path in (self.images_source, self.image_source) if path is not None]
        sources = named or positional[:1]
        target = self.images_target or (positional[len(positional) - 1] if len(positional) > (not named) else None)
        if not sources or target is None:
            raise VtoonError("two names are needed: vtoon align SOURCE TARGET, pictures and the folder for their faces")
        return sources, target

    def _tell(self, rows: list[Row], target: Path, report: Path | None) -> None:
        if self.messages.quiet:
            return
        missed = [row for row in rows if row.reason]
        for row in missed[:SHOWN]:
            say_error(f"{row.place}: {row.reason}", "not aligned")
        if len(missed) > SHOWN:
            more = f"see {report}" if report else "--report FILE.csv lists all"
            say_error(f"{len(missed) - SHOWN} more; {more}", "not aligned")
        faces = sum(bool(row.output) for row in rows)
        looked = {row.place for row in rows}
        good = {row.place for row in rows if row.output}
        print(f"{target}: {faces} faces of {self.size} px, from {len(good)} of {len(looked)} pictures and frames")
        if report:
            print(f"{report}: the report, {len(rows)} lines")


@dataclass(frozen=True)
class Detect:
    """Draw the box, the 68 points and the aligned square of every face on pictures, for a look."""

    inputs: Annotated[tuple[str, ...], Positional, arg(metavar="FILE [FILE ...]", help_behavior_hint="")] = ()
    """Pictures, folders, quoted globs."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="PATH")] = Path("output")
    """A folder; or, for one picture, a file."""
    detector: Detector = "auto"
    """auto tries harder where no face is found; hog and mmod are dlib's two alone."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> int:
        """Returns the exit code: 0 where every picture shows a face."""
        from vtoon.faces.detect import FaceDetector
        from vtoon.image import IMAGE_SUFFIXES, load_image, save_image
        from vtoon.latent.align import draw_faces, find_sources, unique_stems

        show_notices(self.messages)
        sources = find_sources(self.inputs)
        if not sources:
            raise VtoonError("no input: give pictures, a folder or a quoted glob")
        single = self.output.suffix.lower() in IMAGE_SUFFIXES
        if single and len(sources) > 1:
            raise VtoonError(f"{self.output}: names one file, but there are {len(sources)} pictures; give a folder")
        detector, code = FaceDetector(), 0
        for source, stem in unique_stems(sources).items():
            try:
                drawn, faces = draw_faces(load_image(source)[0], detector, self.detector)
                path = self.output if single else self.output / f"{stem}_faces.png"
                save_image(path, drawn)
                if not self.messages.quiet:
                    print(f"{path}: {faces} face{'s' * (faces != 1)}")
                code = code or (0 if faces else FAILED)
            except VtoonError as error:
                say_error(str(error))
                code = FAILED
        return code
