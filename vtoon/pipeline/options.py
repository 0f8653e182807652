"""What a user can choose of a drawing, on the command line, in Python and on the page alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vtoon.errors import VtoonError
from vtoon.faces.region import DETAIL_RANGE
from vtoon.painters.engine import DTYPES
from vtoon.pipeline.people import Place
from vtoon.video.deinterlace import check_mode
from vtoon.video.part import Part

PLACEMENTS = ("paste", "crop", "full")


@dataclass(frozen=True)
class StylizeOptions:
    """What a user can choose; checked where it is made, so that nothing starts with a bad value."""

    style: int | str | None = None  # number or name; None: what the model was trained for, else 0
    style_degree: float | None = None  # None: what the model was trained for, else 1
    color_transfer: bool = False
    placement: str = "paste"
    faces: str = "all"
    skip_faces: tuple[str | Place, ...] = ()  # people who are left as they are, pointed at in a frame
    detail: float | str = "auto"  # working eye distance, px
    padding: tuple[int, int, int, int] = (200, 200, 200, 200)  # of a crop: left, right, top, bottom at 64 px
    batch_size: int | None = None  # None: chosen from size and memory
    steady: bool = True
    exact: bool = False  # a published model frame for frame as the published code: crop or full, fp32, unsmoothed
    parsing_map: Path | None = None  # of a published model: smoothed parsing from a file
    parse_every: int = 1  # of a published model, in a video: frames from one parsing to the next
    dtype: str = "auto"  # of the network that draws: fp32, bf16 or fp16
    compile: bool = False  # of a published model: with torch.compile
    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    deinterlace: str = "auto"  # of an interlaced video: auto, off, or double, a frame of each field
    start: float = 0.0  # s: of a video, what comes before is left out
    end: float | None = None  # s, and what comes after
    sound: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        def check(good: bool, name: str, allowed: str) -> None:
            if not good:
                raise VtoonError(f"{name} is {getattr(self, name)!r}; it must be {allowed}")

        if self.batch_size == "auto":
            object.__setattr__(self, "batch_size", None)
        check(
            self.style_degree is None or _within(self.style_degree, 0, 1),
            "style_degree",
            "between 0 (the photo) and 1 (the full drawing)",
        )
        check(self.placement in PLACEMENTS, "placement", "crop, paste or full")
        check_mode(self.deinterlace)
        check(self.faces in ("all", "largest"), "faces", "all or largest")
        check(self.batch_size is None or _counts(self.batch_size), "batch_size", "auto or a whole number, at least 1")
        check(_counts(self.parse_every), "parse_every", "a whole number, at least 1")
        check(self.dtype in ("auto", *DTYPES), "dtype", f"auto, {', '.join(DTYPES)}")
        places = tuple(place if isinstance(place, Place) else Place.parse(place) for place in self.skip_faces)
        object.__setattr__(self, "skip_faces", places)
        check(not places or self.placement != "full", "placement", "paste or crop where skip_faces leaves somebody out")
        Part(self.start, self.end)
        check(len(self.padding) == 4 and min(self.padding) >= 0, "padding", "four numbers, none negative")
        if self.exact:
            placement = "full" if self.placement == "full" else "crop"
            exactly = {"placement": placement, "steady": False, "parse_every": 1, "dtype": "fp32"}
            for name, value in exactly.items():
                object.__setattr__(self, name, value)
        low, high = DETAIL_RANGE
        check(self.detail == "auto" or _within(self.detail, low, high), "detail", f"auto or {low:.0f} to {high:.0f} px")

    @property
    def part(self) -> Part:
        """What of a video is drawn."""
        return Part(self.start, self.end)

    @property
    def coding(self) -> dict[str, object]:
        """How a video is written, as VideoWriter calls it."""
        return {"codec": self.codec, "crf": self.crf, "preset": self.preset, "keep_sound": self.sound}


def _within(value: float | str, low: float, high: float) -> bool:
    return isinstance(value, int | float) and low <= value <= high


def _counts(value: int) -> bool:
    return isinstance(value, int) and value >= 1
