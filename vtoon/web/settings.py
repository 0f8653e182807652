"""What is chosen on the page, as the pipeline takes it and as a command line says it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vtoon.faces.crop import PADDING
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.people import Place
from vtoon.types import Style

FORMATS = {  # name on the page: (extension, codec)
    "MP4 (H.264)": (".mp4", None),
    "MP4 (HEVC)": (".mp4", "hevc"),
    "MP4 (AV1)": (".mp4", "av1"),
    "WebM (VP9)": (".webm", None),
    "MOV (ProRes)": (".mov", "prores"),
    "MKV (H.264)": (".mkv", None),
}
IN_BROWSERS = ("MP4 (H.264)", "MP4 (AV1)", "WebM (VP9)")  # what they play
DETAILS = ("auto", 64, 80, 96, 128, 160)  # px between the eyes


@dataclass(frozen=True)
class Settings:
    """Everything that Start needs beside the files."""

    model: str  # "default" or a path
    style: Style
    degree: float = 1.0
    color_transfer: bool = False
    placement: str = "paste"
    faces: str = "all"
    detail: float | str = "auto"
    steady: bool = True
    sound: bool = True
    format: str = "MP4 (H.264)"
    start: float = 0.0
    end: float | None = None
    skipped: tuple[Place, ...] = ()  # people who are left as they are
    padding: tuple[int, int, int, int] = PADDING  # of a crop: left, right, top, bottom

    @property
    def suffix(self) -> str:
        return FORMATS[self.format][0]

    def options(self) -> StylizeOptions:
        """Raises VtoonError where a value is not allowed."""
        return StylizeOptions(
            style=self.style.id,
            style_degree=self.degree,
            color_transfer=self.color_transfer,
            placement=self.placement,
            faces=self.faces,
            padding=self.padding,
            skip_faces=self.skipped if self.placement != "full" else (),
            detail=self.detail,
            steady=self.steady,
            sound=self.sound,
            codec=FORMATS[self.format][1],
            start=self.start,
            end=self.end,
        )

    def command(self, sources: Sequence[str], output: str, video: bool = True) -> list[str]:
        """The words of the command line that makes the same; defaults are left out."""
        words = ["vtoon", "stylize", *sources, "-o", output]
        words += ["--style", str(self.style.id) if self.style.name.isdigit() else self.style.name]
        words += ["--style_degree", f"{self.degree:g}"] if self.degree != 1 else []
        words += ["--color_transfer"] if self.color_transfer else []
        words += ["--placement", self.placement] if self.placement != "paste" else []
        cropped = self.placement == "crop" and self.padding != PADDING
        words += ["--padding", *map(str, self.padding)] if cropped else []
        words += ["--faces", self.faces] if self.faces != "all" else []
        words += ["--skip_faces", *map(_plain, self.options().skip_faces)] if self.options().skip_faces else []
        words += ["--detail", f"{self.detail:g}"] if self.detail != "auto" else []
        words += ["--ckpt", self.model] if self.model != "default" else []
        return words + (self._of_video() if video else [])

    def _of_video(self) -> list[str]:
        codec = FORMATS[self.format][1]
        words = ["--no_steady"] if not self.steady else []
        words += ["--no_sound"] if not self.sound else []
        words += ["--codec", codec] if codec else []
        words += ["--start", f"{self.start:g}"] if self.start else []
        return words + (["--end", f"{self.end:g}"] if self.end is not None else [])


def _plain(place: Place) -> str:
    """Without the folders of this server."""
    return str(replace(place, file=place.file and Path(place.file.name)))


def as_line(words: Sequence[str]) -> str:
    """Words as a shell takes them."""
    return shlex.join(words)
