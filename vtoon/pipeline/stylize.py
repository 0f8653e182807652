"""The straight line: a photo or a video in, its drawing out. Command line, web page and batches all call this."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from vtoon.faces import FaceDetector, FaceTracker, largest_only
from vtoon.flow import FlowEstimator, find_estimator, steady
from vtoon.image import as_image
from vtoon.painters.builtin import BuiltinPainter
from vtoon.painters.engine import Engine, Job, Painter, pick_device, pick_dtype
from vtoon.painters.onnx import OnnxModel, OnnxPainter
from vtoon.painters.published import Companions, PublishedModel, PublishedPainter
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.people import People, frame_of, meet
from vtoon.pipeline.placement import Crop, Full, PassThrough, Paste, Placement, Region, wanted_eyes
from vtoon.system.clock import StageClock
from vtoon.system.pool import side_by_side
from vtoon.system.stream import batched, prefetch
from vtoon.types import Frame, Landmarks, Rendered, Style, TrackedFace, TrackedFrame
from vtoon.video import VideoReader, VideoWriter
from vtoon.weights.checkpoint import DEFAULT_CHECKPOINT, LIVE_CHECKPOINT, Checkpoint, load_checkpoint
from vtoon.weights.converted import is_converted
from vtoon.weights.hub import find_missing, folder_name

TORCH_SUFFIXES = (".pt", ".pth")
Progress = Callable[[int, int | None], None]  # frames done, frames in all if known


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

    def __init__(self, checkpoint: Checkpoint | PublishedModel | OnnxModel, device: str = "auto") -> None:
        self.checkpoint, self.device = checkpoint, pick_device(device)

    @cached_property
    def flow(self) -> FlowEstimator:
        """The best flow for this device; RAFT's weights are loaded once."""
        return find_estimator(self.device)

    @property
    def styles(self) -> tuple:
        """The style bank, in the order of ids."""
        return self.checkpoint.bank.styles

    def engine(self, options: StylizeOptions, moving: bool = False) -> Engine:
        """The network with the chosen style. Raises VtoonError for a style that does not exist."""
        return Engine(self._painter(options, moving), self.device, options.batch_size)

    def _painter(self, options: StylizeOptions, moving: bool) -> Painter:
        model, chosen = self.checkpoint, self.settled(options)
        if isinstance(model, OnnxModel):
            return OnnxPainter(model)
        dtype = pick_dtype(options.dtype, self.device)
        if not isinstance(model, PublishedModel):
            return BuiltinPainter(model.model, *chosen, self.device, dtype, moving and options.steady)
        flow = self.flow if moving and options.steady else None
        parsing = flow, options.parsing_map, options.parse_every
        return PublishedPainter(model, *chosen, self.device, *parsing, dtype, options.compile)

    def settled(self, options: StylizeOptions) -> tuple[Style, float, bool]:
        """The style, degree and colour transfer that are drawn: a specialised file knows but one of some.

        Raises VtoonError for a style that does not exist.
        """
        model, asked = self.checkpoint, (options.style, options.style_degree, options.color_transfer)
        if isinstance(model, PublishedModel):
            return model.settled(*asked)[:3]
        style, degree, color_transfer = asked
        return model.bank.find(style), 1.0 if degree is None else degree, color_transfer

    def needs_face(self, options: StylizeOptions) -> bool:
        """Whether what is drawn depends on whose face it is beyond what is seen of it."""
        *_, color_transfer = self.settled(options)
        model = self.checkpoint
        if not isinstance(model, PublishedModel) or model.own_code is not None:
            return False
        return not (model.dual and color_transfer)

    def notes(self, options: StylizeOptions) -> list[str]:
        """What a user should know of how these options suit the model, a line each."""
        model = self.checkpoint
        if isinstance(model, PublishedModel):
            return model.settled(options.style, options.style_degree, options.color_transfer)[-1]
        style, *_ = self.settled(options)
        if options.style == style.name != style.look and not options.color_transfer:
            return [f"the palette {style.palette} is taken with --color_transfer; the face keeps its colours now"]
        return []

    def stylize_image(self, image: np.ndarray | str | os.PathLike, **options) -> np.ndarray:
        """Draw the faces of one picture: uint8 [H, W, 3] RGB (or a file) -> uint8 RGB. Options: StylizeOptions."""
        return self.stylize_picture(image, **options)[0]

    def stylize_picture(self, image: np.ndarray | str | os.PathLike, **options) -> tuple[np.ndarray, int]:
        """As `stylize_image`; also returns the number of faces found."""
        chosen, image = StylizeOptions(**options), as_image(image)
        engine = self.engine(chosen)  # a style that does not exist is told before the search
        found, people = FaceDetector().detect(image), meet(chosen.skip_faces, lambda seconds: Frame(image))
        found = wanted(found, image, chosen, people)
        return self.draw_faces(image, found, chosen, engine), len(found)

    def draw_faces(
        self, image: np.ndarray, faces: Sequence[Landmarks], options: StylizeOptions, engine: Engine | None = None
    ) -> np.ndarray:
        """Draw the given faces, biggest first, of one picture uint8 [H, W, 3]; uint8 [h, w, 3]."""
        seen = tuple(TrackedFace(i, landmarks) for i, landmarks in enumerate(faces))
        tracked = TrackedFrame(Frame(image), seen, cut=True)
        placement = self.place(options, faces[0] if faces else None, image.shape[:2])
        (result,) = self.render(iter([tracked]), placement, engine or self.engine(options), 1)
        return result.image

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
        engine, clock, started = self.engine(chosen, moving=True), clock or StageClock(), time.monotonic()
        people = people_of(source, chosen)
        placement = self._placement_of(source, chosen, people)
        n = chosen.batch_size or (1 if self.device.type == "cpu" else 8)
        frames, most = 0, 0
        reader = VideoReader(source, part=chosen.part, deinterlace=chosen.deinterlace)
        with reader, VideoWriter(target, like=reader, overwrite=chosen.overwrite, **chosen.coding) as writer:
            decoded = clock.stage("wait", prefetch(clock.stage("decode", reader)))
            followed = self._followed(decoded, reader, chosen, people)
            tracked = clock.stage("wait", prefetch(clock.stage("track", followed)))
            drawn = self.render(tracked, placement, engine, n, clock, engine.abreast)
            drawn = clock.stage("wait", prefetch(drawn, depth=2))
            done = clock.stage("steady", steady(drawn, self.flow)) if chosen.steady else drawn
            for picture in prefetch(done):
                with clock.measure("encode"):
                    writer.write(picture)
                frames, most = frames + 1, max(most, picture.faces)
                if progress:
                    progress(frames, reader.info.expected_frames)
        return Summary(str(source), Path(target), frames, most, time.monotonic() - started, reader.damaged)

    def track(self, frames: Iterator[Frame], reader: VideoReader) -> Iterator[TrackedFrame]:
        """Every face of every frame, which `reader` has read."""
        return FaceTracker().track(frames)

    def _followed(
        self, frames: Iterator[Frame], reader: VideoReader, options: StylizeOptions, people: People | None
    ) -> Iterator[TrackedFrame]:
        """The faces that are drawn."""
        tracked = self.track(frames, reader)
        tracked = people.leave(tracked, reader) if people else tracked
        return largest_only(tracked) if options.faces == "largest" else tracked

    def render(
        self,
        tracked: Iterator[TrackedFrame],
        placement: Placement,
        engine: Engine,
        frames_at_once: int,
        clock: StageClock | None = None,
        abreast: int = 1,
    ) -> Iterator[Rendered]:
        """Regions of several frames share a batch on the device; then each goes back to its place. `abreast`: batches
        that are drawn at the same time; with more than one, a frame comes when later ones have been asked for."""
        clock = clock or StageClock()
        waiting: deque[tuple[TrackedFrame, list[Region]]] = deque()  # the painter may look some frames ahead

        def cut_out() -> Iterator[list[Job]]:
            for frame in tracked:
                with clock.measure("crop"):
                    waiting.append((frame, placement.regions(frame)))
                jobs = [region.job for region in waiting[-1][1]]
                for job in jobs:
                    engine.check(*job.image.shape[:2])  # before anything is prepared
                yield jobs

        def draw(group: list[list[Job]]) -> tuple[int, Iterator[np.ndarray]]:
            with clock.measure("model"):
                return len(group), iter(engine.draw(list(chain.from_iterable(group))))

        def room(group: list[list[Job]]) -> int:
            return engine.room(list(chain.from_iterable(group)))

        prepared = clock.stage("prepare", engine.painter.prepare(cut_out()))
        for count, toons in side_by_side(draw, batched(prepared, frames_at_once), abreast, room):
            for _ in range(count):
                frame, regions = waiting.popleft()
                with clock.measure("paste"):
                    result = placement.compose(frame, regions, [next(toons) for _ in regions], engine.painter.grade)
                yield result

    def _placement_of(self, source: str | os.PathLike, options: StylizeOptions, people: People | None) -> Placement:
        """`crop` and `full` fix their geometry by the first face of the clip, so they look ahead for it."""
        if options.placement == "paste":
            return self.place(options, None, (0, 0))
        with VideoReader(source, part=options.part, deinterlace=options.deinterlace) as reader:
            face = first_face(iter(reader), people, reader)
            size = (reader.info.height, reader.info.width)
        return self.place(options, face, size)

    def place(self, options: StylizeOptions, face: Landmarks | None, size: tuple[int, int]) -> Placement:
        """The geometry for a clip or picture of `size` (height, width) whose first face is `face`."""
        upscale = self.checkpoint.upscale
        own = self.checkpoint.eyes if upscale > 1 and options.detail == "auto" else None
        detail = own or options.detail
        if options.placement == "paste":
            return Paste(own, (own, own)) if own else Paste(detail)
        if options.placement == "full" and upscale > 1 and (options.exact or options.parsing_map):
            # Unscaled, so that the crop's rule for smoothing does not matter.
            return Crop.whole(size, upscale, self.checkpoint.eyes)
        if options.placement == "full":
            return Full.around(face, size, detail)
        if face is None:
            return PassThrough()
        eyes = self.checkpoint.eyes if upscale > 1 else wanted_eyes(face, detail)
        return Crop.around(face, size, options.padding, eyes, upscale, options.exact)


def first_face(
    frames: Iterator[Frame], people: People | None = None, reader: VideoReader | None = None
) -> Landmarks | None:
    """The largest face that is drawn, of the first frame that has one; None where no frame has."""
    tracked = FaceTracker().track(frames)
    tracked = people.leave(tracked, reader) if people else tracked
    return next((t.faces[0].landmarks for t in tracked if t.faces), None)


def people_of(source: str | os.PathLike, options: StylizeOptions) -> People | None:
    """Who is left as he is in a video, if anybody is. Raises VtoonError where there is no face at a place."""
    return meet(options.skip_faces, lambda seconds: frame_of(Path(source), seconds, options.deinterlace))


def wanted(
    faces: Sequence[Landmarks], image: np.ndarray, options: StylizeOptions, people: People | None
) -> list[Landmarks]:
    """Of the faces of one picture, biggest first, those that are drawn."""
    left = people.alone(image, faces) if people else [None] * len(faces)
    kept = [face for face, place in zip(faces, left, strict=True) if place is None]
    return kept[:1] if options.faces == "largest" else kept


def load(
    checkpoint: str | os.PathLike = "default", device: str = "auto", companions: Companions | None = None
) -> Stylizer:
    """A Stylizer with the built-in model (`live`: the quick one, of three looks), a model file of yours, a published
    VToonify (.pt, or converted) or what `vtoon export` wrote (.onnx).

    A published model that is not where it should be (vtoonify_d_cartoon/vtoonify_s_d.pt) is looked for where files of
    the hub lie. `companions`: the files that it needs beside it, where they do not lie in the published layout. Raises
    VtoonError where a file is missing, with the command that gets it, or damaged, or of another kind.
    """
    path = {"default": DEFAULT_CHECKPOINT, "live": LIVE_CHECKPOINT}.get(str(checkpoint)) or Path(checkpoint)
    as_published = folder_name(path).startswith(("vtoonify_d_", "vtoonify_t_"))
    if path.suffix in TORCH_SUFFIXES and as_published and not path.is_file():
        path = find_missing(path)
    if (path.suffix in TORCH_SUFFIXES and path.is_file()) or is_converted(path):
        return Stylizer(PublishedModel(path, companions), device)
    if path.suffix == ".onnx" and path.is_file():
        return Stylizer(OnnxModel(path, pick_device(device)), device)
    return Stylizer(load_checkpoint(path), device)
