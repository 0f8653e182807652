"""`vtoon distill`: a small fast network that draws the one style of any stylizer."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from vtoon.cli.common import Flag, Talk, progress_bar, show_notices
from vtoon.cli.distillation import Distillation
from vtoon.cli.generator_teacher import Inversion
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import numpy as np

    from vtoon.pipeline.stylize import Stylizer
    from vtoon.train.pairs import FaceSheets
    from vtoon.train.recipes.distill import Distill
    from vtoon.train.students import Lesson, Shaping
    from vtoon.types import Landmarks

SIGN = 50  # faces between two signs of life, where no bar is drawn


@dataclass(frozen=True)
class DistillCommand:
    """Teach a quick network of the built-in kind to draw as any stylizer does, on any pictures of faces.

    The teacher is whatever `vtoon stylize --ckpt` takes: a published VToonify, one of your own, an ONNX file, a model
    of the built-in kind; or a generator: a blended one, a DualStyleGAN. The result is OUTDIR/NAME.safetensors, which
    `vtoon stylize --ckpt` takes in turn.
    """

    teacher: Annotated[Path | None, arg(metavar="CKPT", help_behavior_hint="")] = None
    """The stylizer that is learned from."""
    faces: Annotated[list[Path], arg(metavar="FOLDER [FOLDER ...]", help_behavior_hint="")] = field(
        default_factory=list
    )
    """Folders of portraits, any size; faces are found once."""
    style: Annotated[str, arg(aliases=["-s"], metavar="NAME")] = "own"
    """The name of the style in the new file."""
    preset: Literal["small", "live"] = "small"
    """small: as large as the built-in model (5.1 GFLOP at 256x256, 4.8 MB). live: a third of it (1.6 GFLOP, 1.6 MB)."""
    outdir: Annotated[Path | None, arg(aliases=["-o"], metavar="PATH", help_behavior_hint="(default: runs/NAME)")] = (
        None
    )
    """Folder of the run; the same command goes on."""
    teacher_style: Annotated[str | None, arg(metavar="NAME|ID", help_behavior_hint="(default: its first)")] = None
    """Which of the teacher's styles."""
    style_degree: Annotated[float | None, arg(metavar="0..1", help_behavior_hint="(default: 1)")] = None
    """How far the teacher goes."""
    color_transfer: Flag = False
    """The teacher takes the style's palette."""
    most: Annotated[int, arg(metavar="N")] = 500
    """Pictures of faces to learn from, at most."""
    init: Annotated[str, arg(metavar="default|none|FILE")] = "default"
    """A model of the built-in kind to start from: the built-in one, none, or a file."""
    inversion: Inversion = field(default_factory=Inversion)
    learning: Distillation = field(default_factory=lambda: Distillation(iter=4000))
    cache: Path = Path("runs/cache")
    """Where faces and the teacher's drawings of them are kept."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        """Raises VtoonError for what cannot be taught."""
        show_notices(self.messages)
        self._check()
        self._teach()

    @property
    def folder(self) -> Path:
        return self.outdir or Path("runs") / self.style

    @property
    def result(self) -> Path:
        return self.folder / f"{self.style}.safetensors"

    def _check(self) -> None:
        if self.teacher is None:
            raise VtoonError("name the stylizer that is learned from: --teacher CKPT, as vtoon stylize --ckpt takes it")
        if not self.faces:
            raise VtoonError("name a folder of portraits to learn on: --faces FOLDER")
        if missing := [folder for folder in self.faces if not folder.is_dir()]:
            raise VtoonError(f"{missing[0]}: not a folder of pictures")
        if not self.style or "/" in self.style or self.style.startswith(".") or self.style.isdigit():
            raise VtoonError(f"--style {self.style!r}: it is the style's name, not a number, and a file's")
        if self.most < 1:
            raise VtoonError(f"--most is {self.most}; it must be 1 or more")
        self.learning.check()

    def _teach(self) -> None:
        from vtoon.pipeline.stylize import load
        from vtoon.train.pairs import prepare_faces
        from vtoon.train.students import lesson_by
        from vtoon.train.trainer import fit

        say = (lambda line: None) if self.messages.quiet else print
        paint, stamp, shaping = self._painter()
        faces = prepare_faces(self.faces, self.cache, self.most)
        with progress_bar("teacher", self.messages.quiet, " faces") as bar:

            def watch(done: int, total: int) -> None:
                bar(done, total)
                if done % SIGN == 0 and not sys.stderr.isatty():
                    say(f"teacher: {done} of {total} faces drawn")

            lesson = lesson_by(paint, faces, self.style, stamp, watch, shaping)
        reshapes = lesson.taught.offsets.any()
        shape = f"reshapes faces by {lesson.reshapes:.2f} eye distances" if reshapes else "keeps their shape"
        say(f"teacher: {self.teacher}, {len(faces)} faces drawn; it {shape}")
        recipe = self._recipe(faces, lesson, stamp)
        done = fit(recipe, self.learning.run_in(self.folder))
        if done < self.learning.iter:
            say(f"{done} of {self.learning.iter} steps done: {self.folder}; the same command goes on")
            return
        (self.folder / "model.safetensors").replace(self.result)
        self._report(load(self.result, self.learning.device), paint, faces, lesson, say)

    def _painter(self) -> tuple[Callable[[np.ndarray, Landmarks], np.ndarray], str, Shaping | None]:
        """How the teacher draws a face, what tells its settings from others, and how it reshapes, where it tells."""
        from vtoon.cli.generator_teacher import is_generator, painter
        from vtoon.painters.builtin import BuiltinPainter
        from vtoon.pipeline.options import StylizeOptions
        from vtoon.pipeline.stylize import load

        asked: tuple = (self.teacher_style, self.style_degree, self.color_transfer)
        if is_generator(self.teacher):
            paint = painter(self.teacher, self.inversion, self.teacher_style, self.style_degree, self.learning.device)
            return paint, self._stamp(*asked, self.inversion), None
        stylizer: Stylizer = load(self.teacher, self.learning.device)
        options = StylizeOptions(*asked, placement="full", dtype="fp32")
        engine = stylizer.engine(options)
        own = engine.painter if isinstance(engine.painter, BuiltinPainter) and engine.painter.degree == 1 else None
        return lambda image, face: stylizer.draw_faces(image, [face], options, engine), self._stamp(*asked), own

    def _stamp(self, *settings: object) -> str:
        return hashlib.sha256(self.teacher.read_bytes() + repr(settings).encode()).hexdigest()[:8]

    def _recipe(self, faces: FaceSheets, lesson: Lesson, stamp: str) -> Distill:
        from vtoon.painters.engine import pick_device
        from vtoon.train.recipes.distill import Distill
        from vtoon.train.students import PRESETS, build_student
        from vtoon.train.teacher import PairTeacher
        from vtoon.weights.dlib_embedding import load_face_embedding

        how, device = self.learning, pick_device(self.learning.device)
        teacher = PairTeacher(lesson.taught.faces, {self.style: lesson.taught}, how.size)
        model = build_student(PRESETS[self.preset], teacher, how.seed, self._start())
        perceptual = load_face_embedding() if how.perc_loss else None
        recipe = Distill(
            model, teacher, how.options(device), perceptual, device, lambda step: self._provenance(step, faces)
        )
        recipe.about |= {"teacher": f"{self.teacher.name} {stamp}", "preset": self.preset, "init": self.init}
        return recipe

    def _start(self) -> object:
        from vtoon.weights.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint

        if self.init == "none":
            return None
        return load_checkpoint(DEFAULT_CHECKPOINT if self.init == "default" else self.init).model

    def _provenance(self, step: int, faces: FaceSheets) -> dict:
        photos = {"count": faces.originals, "credit": self.learning.photo_credit}
        about = {"teacher": self.teacher.name, "preset": self.preset, "started from": self.init}
        return {"command": " ".join(sys.argv), "steps": step, "batch": self.learning.batch, "photos": photos} | about

    def _report(
        self, student: Stylizer, paint: object, faces: FaceSheets, lesson: Lesson, say: Callable[[str], None]
    ) -> None:
        from vtoon.cli.compare import as_json, compare

        report = compare(student, paint, faces, lesson, self.folder / "sheet.png")
        (self.folder / "report.json").write_text(json.dumps(as_json(report), indent=2))
        for line in report.lines():
            say(line)
        say(f"{self.result}: style {self.style}; {self.folder / 'sheet.png'} shows photo, teacher, student")
