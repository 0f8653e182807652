"""The straight line: a photo or a video in, its drawing out. Command line, web page and batches all call this."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from vtoon.clock import StageClock
from vtoon.engine import Engine, pick_device
from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector, FaceTracker
from vtoon.faces.region import DETAIL_RANGE
from vtoon.flow import find_estimator, steady
from vtoon.image import load_image
from vtoon.placement import Crop, Full, PassThrough, Paste, Placement, wanted_eyes
from vtoon.types import Frame, Landmarks, Rendered, TrackedFace, TrackedFrame
from vtoon.video import VideoReader, VideoWriter, batched, prefetch
from vtoon.weights.checkpoint import DEFAULT_CHECKPOINT, Checkpoint, load_checkpoint

PLACEMENTS = ("paste", "crop", "full")
Progress = Callable[[int, int | None], None]  # frames done, frames in all if known


@dataclass(frozen=True)
class StylizeOptions:
    """What a user can choose; checked where it is made, so that nothing starts with a bad value."""

    style: int | str = 0
    style_degree: float = 1.0
    color_transfer: bool = False
    placement: str = "paste"
    faces: str = "all"
    detail: float | str = "auto"  # working eye distance, px
    padding: tuple[int, int, int, int] = (200, 200, 200, 200)  # of a crop: left, right, top, bottom at 64 px
    batch_size: int | None = None  # None: chosen from size and memory
    steady: bool = True
    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        def check(good: bool, name: str, allowed: str) -> None:
            if not good:
                raise VtoonError(f"{name} is {getattr(self, name)!r}; it must be {allowed}")

        check(0.0 <= self.style_degree <= 1.0, "style_degree", "between 0 (the photo) and 1 (the full drawing)")
        check(self.placement in PLACEMENTS, "placement", "crop, paste or full")
        check(self.faces in ("all", "largest"), "faces", "all or largest")
        check(self.batch_size is None or self.batch_size >= 1, "batch_size", "auto or at least 1")
        check(len(self.padding) == 4 and min(self.padding) >= 0, "padding", "four numbers, none negative")
        low, high = DETAIL_RANGE
        check(self.detail == "auto" or _within(self.detail, low, high), "detail", f"auto or {low:.0f} to {high:.0f} px")


def _within(value: float | str, low: float, high: float) -> bool:
    return isinstance(value, int | float) and low <= value <= high


@dataclass(frozen=True)
class Summary:
    """What became of one input."""

    source: str
    output: Path
    frames: int
    faces: int  # the most seen in one frame
    seconds: float  # of work
    damaged: str | None = None  # where a broken file ended


class Stylizer:
    """A model on a device. `vtoon.load()` makes one."""

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        self.checkpoint, self.device = checkpoint, pick_device(device)

    @property
    def styles(self) -> tuple:
        """The style bank, in the order of ids."""
        return self.checkpoint.bank.styles

    def engine(self, options: StylizeOptions) -> Engine:
        """The network with the chosen style. Raises VtoonError for a style that does not exist."""
        style = self.checkpoint.bank.find(options.style)
        batch = options.batch_size
        return Engine(self.checkpoint, style, options.style_degree, options.color_transfer, self.device, batch)

    def stylize_image(self, image: np.ndarray | str | os.PathLike, **options) -> np.ndarray:
        """Draw the faces of one picture: uint8 [H, W, 3] RGB (or a file) -> uint8 RGB. Options: StylizeOptions."""
        return self.stylize_picture(image, **options)[0]

    def stylize_picture(self, image: np.ndarray | str | os.PathLike, **options) -> tuple[np.ndarray, int]:
        """As `stylize_image`; also returns the number of faces found."""
        chosen = StylizeOptions(**options)
        engine = self.engine(chosen)
        image = image if isinstance(image, np.ndarray) else load_image(image)[0]
        found = FaceDetector().detect(image)
        found = found[:1] if chosen.faces == "largest" else found
        faces = tuple(TrackedFace(i, landmarks) for i, landmarks in enumerate(found))
        tracked = TrackedFrame(Frame(image), faces, cut=True)
        placement = self.place(chosen, found[0] if found else None, image.shape[:2])
        (result,) = self.render(iter([tracked]), placement, engine, 1)
        return result.image, len(faces)

    def stylize_video(
        self,
        source: str | os.PathLike,
        target: str | os.PathLike,
        progress: Progress | None = None,
        clock: StageClock | None = None,
        **options,
    ) -> Summary:
        """Draw a video, sound and times kept. Options: StylizeOptions.

        Raises VtoonError for a source that cannot be read at all or a target that cannot be written; of a source
        that breaks in the middle, the frames before the break are written and `Summary.damaged` says where.
        """
        chosen = StylizeOptions(**options)
        engine, clock, started = self.engine(chosen), clock or StageClock(), time.monotonic()
        placement = self._placement_of(source, chosen)
        n = chosen.batch_size or (1 if self.device.type == "cpu" else 8)
        frames, most = 0, 0
        coding = {"codec": chosen.codec, "crf": chosen.crf, "preset": chosen.preset, "overwrite": chosen.overwrite}
        with VideoReader(source) as reader, VideoWriter(target, like=reader, **coding) as writer:
            decoded = clock.stage("wait", prefetch(clock.stage("decode", reader)))
            tracker = FaceTracker(faces=chosen.faces)
            tracked = clock.stage("wait", prefetch(clock.stage("track", tracker.track(decoded))))
            drawn = self.render(tracked, placement, engine, n, clock)
            done = clock.stage("steady", steady(drawn, find_estimator(self.device))) if chosen.steady else drawn
            for picture in prefetch(done):
                with clock.measure("encode"):
                    writer.write(picture.image, picture.pts, picture.time_base)
                frames, most = frames + 1, max(most, picture.faces)
                if progress:
                    progress(frames, reader.info.expected_frames)
        return Summary(str(source), Path(target), frames, most, time.monotonic() - started, reader.damaged)

    def render(
        self,
        tracked: Iterator[TrackedFrame],
        placement: Placement,
        engine: Engine,
        frames_at_once: int,
        clock: StageClock | None = None,
    ) -> Iterator[Rendered]:
        """Regions of several frames share a batch on the device; then each goes back to its place."""
        clock = clock or StageClock()
        for group in batched(tracked, frames_at_once):
            with clock.measure("crop"):
                regions = [placement.regions(t) for t in group]
            with clock.measure("model"):
                toons = iter(engine.draw([r.job for r in chain.from_iterable(regions)]))
            for frame, own in zip(group, regions, strict=True):
                with clock.measure("paste"):
                    result = placement.compose(frame, own, [next(toons) for _ in own])
                yield result

    def _placement_of(self, source: str | os.PathLike, options: StylizeOptions) -> Placement:
        """`crop` and `full` fix their geometry by the first face of the clip, so they look ahead for it."""
        if options.placement == "paste":
            return Paste(options.detail)
        with VideoReader(source) as reader:
            face = first_face(iter(reader))
            size = (reader.info.height, reader.info.width)
        return self.place(options, face, size)

    def place(self, options: StylizeOptions, face: Landmarks | None, size: tuple[int, int]) -> Placement:
        """The geometry for a clip or picture of `size` (height, width) whose first face is `face`."""
        if options.placement == "paste":
            return Paste(options.detail)
        if options.placement == "full":
            return Full.around(face, size, options.detail)
        if face is None:
            return PassThrough()
        detail = wanted_eyes(face, options.detail)
        return Crop.around(face, size, options.padding, detail, self.checkpoint.config.upscale)


def first_face(frames: Iterator[Frame]) -> Landmarks | None:
    """The largest face of the first frame that has one; None where no frame has."""
    tracked = FaceTracker(faces="largest").track(frames)
    return next((t.faces[0].landmarks for t in tracked if t.faces), None)


def load(checkpoint: str | os.PathLike = "default", device: str = "auto") -> Stylizer:
    """A Stylizer with the built-in model, or with a checkpoint file of yours."""
    path = DEFAULT_CHECKPOINT if str(checkpoint) == "default" else Path(checkpoint)
    return Stylizer(load_checkpoint(path), device)
