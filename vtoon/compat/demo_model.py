"""`Model`, the class behind VToonify's demo: its methods and style types, over the pipeline of vtoon.

    from vtoon import Model  # in place of: from vtoonify_model import Model

    model = Model("cuda")
    exstyle, message = model.load_model("cartoon1-d")
    face, instyle, message = model.detect_and_align_image("me.jpg", 160, 160, 160, 160)
    drawn, message = model.image_toonify(face, instyle, exstyle, 0.5, "cartoon1-d")

A notebook that uses the demo runs with its import changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from itertools import islice
from pathlib import Path

import numpy as np
from torch import Tensor

from vtoon.compat.demo_types import CPU_FRAMES, FIRST_TYPE, GPU_FRAMES, STYLE_TYPES, auto_batch, find_type
from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector, crop_face, published_crop
from vtoon.image import as_image
from vtoon.painters.engine import Engine, pick_device
from vtoon.painters.published import PublishedModel
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.placement import Crop
from vtoon.pipeline.stylize import Stylizer, load
from vtoon.types import CropBox, Frame, TrackedFrame
from vtoon.video import VideoReader, VideoWriter

NO_PICTURE = np.zeros((256, 256, 3), np.uint8)  # what a picture box shows beside an error

Picture = np.ndarray | str | os.PathLike


def explained(*empty: object) -> Callable:
    """Of a method that returns results and a message: a VtoonError becomes the message, beside `empty` results."""

    def around(method: Callable) -> Callable:
        @wraps(method)
        def call(*args: object, **kwargs: object) -> tuple:
            try:
                return method(*args, **kwargs)
            except VtoonError as error:
                return *empty, f"Error: {error}"

        return call

    return around


class Model:
    """VToonify's demo without its web page. Nothing is downloaded: the files lie in VToonify's layout (checkpoint/).

    Every method returns its results and, last, a message for the user. What goes wrong is told by the message; the
    results are then a black picture, or None. Pictures are uint8 [H, W, 3] RGB; those that go in may also be files.
    `instyle` and `exstyle` are the style codes of the face and of the artwork, w+ [1, 18, 512].

    Where the demo's page says nothing: of several faces the biggest is taken; a video keeps its sound and its times;
    input.mp4 and output.mp4 are written to `folder` and replace what is there.
    """

    def __init__(self, device: str = "auto", folder: str | os.PathLike = ".") -> None:
        """Reads no model yet. Raises VtoonError where `device` (auto, cpu, cuda, mps) is not there."""
        self.device, self.folder = pick_device(device), Path(folder)
        self.frame_cap = CPU_FRAMES if self.device.type == "cpu" else GPU_FRAMES
        self.style_type: str | None = None  # what is loaded
        self._stylizer: Stylizer | None = None
        self._detector = FaceDetector()

    @explained(None)
    def load_model(self, style_type: str) -> tuple[Tensor | None, str]:
        """Returns exstyle and a message."""
        return self._load(style_type), f"{style_type} is loaded"

    def detect_and_align(
        self, frame: Picture, top: int, bottom: int, left: int, right: int, return_para: bool = False
    ) -> tuple:
        """The face of a picture, cut out as VToonify sees it; px around the middle of the eyes, these 64 px apart.

        Returns the cut, instyle, a message; with `return_para` also where the cut was made: width and height of the
        picture resized, then top, bottom, left, right in it, and the scale (all 0 without a face).
        """
        try:
            cut, instyle, box = self._align(as_image(frame), (left, right, top, bottom))
            message = "the face is cut out at {1}x{0} px".format(*box.size)
        except VtoonError as error:
            cut, instyle, box, message = NO_PICTURE, None, None, f"Error: {error}"
        place = (box.width, box.height, box.top, box.bottom, box.left, box.right, box.scale) if box else (0,) * 7
        return (cut, instyle, message, *(place if return_para else ()))

    def detect_and_align_image(
        self, image: Picture, top: int, bottom: int, left: int, right: int
    ) -> tuple[np.ndarray, Tensor | None, str]:
        """`detect_and_align` of a picture or its file."""
        return self.detect_and_align(image, top, bottom, left, right)

    @explained(NO_PICTURE, None)
    def detect_and_align_video(
        self, video: str | os.PathLike, top: int, bottom: int, left: int, right: int
    ) -> tuple[np.ndarray, Tensor | None, str]:
        """`detect_and_align` of the first frame."""
        with VideoReader(_given(video)) as reader:
            return self.detect_and_align(_first(reader), top, bottom, left, right)

    @explained(None, None)
    def detect_and_align_full_video(
        self, video: str | os.PathLike, top: int, bottom: int, left: int, right: int
    ) -> tuple[str | None, Tensor | None, str]:
        """Cut every frame where the face is in the first one. Returns the path of input.mp4, instyle, a message."""
        path = self.folder / "input.mp4"
        with VideoReader(_given(video)) as reader:
            _, instyle, box = self._align(_first(reader), (left, right, top, bottom))
            with VideoWriter(path, like=reader, overwrite=True) as writer:
                for frame in islice(reader, self.frame_cap):
                    writer.write(replace(frame, image=crop_face(frame.image, box, as_published=True)))
        size = "{1}x{0}".format(*box.size)
        return str(path), instyle, f"{writer.frames} frames are cut to {size} px{self._left_out(reader)}"

    @explained(NO_PICTURE)
    def image_toonify(
        self, aligned_face: Picture, instyle: Tensor, exstyle: Tensor, style_degree: float, style_type: str
    ) -> tuple[np.ndarray, str]:
        """Draw a picture that was cut out before. Returns it at 4 times its size and a message.

        `style_degree` counts for the style types that end in -d; another `style_type` than the loaded one is loaded,
        and its exstyle is taken in place of the given one.
        """
        image = as_image(aligned_face)
        engine = self._engine(instyle, exstyle, style_degree, style_type, image.shape[:2])
        whole = Crop.whole(image.shape[:2], self._model.upscale)
        (drawn,) = self._stylizer.render(iter([TrackedFrame(Frame(image))]), whole, engine, 1)
        return drawn.image, f"the picture is drawn as {style_type}"

    @explained(None)
    def video_tooniy(
        self, aligned_video: str | os.PathLike, instyle: Tensor, exstyle: Tensor, style_degree: float, style_type: str
    ) -> tuple[str | None, str]:
        """As `image_toonify`, for a video. Returns the path of output.mp4 and a message."""
        path = self.folder / "output.mp4"
        with VideoReader(_given(aligned_video)) as reader, VideoWriter(path, like=reader, overwrite=True) as writer:
            size = reader.info.height, reader.info.width
            engine = self._engine(instyle, exstyle, style_degree, style_type, size)
            frames = (TrackedFrame(frame) for frame in islice(reader, self.frame_cap))
            whole = Crop.whole(size, self._model.upscale)
            for drawn in self._stylizer.render(frames, whole, engine, engine.batch_size):
                writer.write(drawn)
        return str(path), f"{writer.frames} frames are drawn as {style_type}{self._left_out(reader)}"

    def _load(self, style_type: str) -> Tensor:
        """Read the file of a style type, unless it is the loaded one, and return its exstyle."""
        path, style_id = find_type(style_type)
        if self._stylizer is None or self._model.path != path:
            stylizer = load(path, str(self.device))
            if self._stylizer:
                stylizer.checkpoint.share(self._model)
            self._stylizer, self.style_type = stylizer, None
        exstyle = self._model.exemplar(self._model.bank.find(style_id), self.device)
        self.style_type = style_type
        return exstyle

    @property
    def _model(self) -> PublishedModel:
        return self._stylizer.checkpoint

    def _align(self, image: np.ndarray, padding: tuple[int, ...]) -> tuple[np.ndarray, Tensor, CropBox]:
        """The cut, its instyle, its place. `padding`: left, right, top, bottom."""
        faces = self._detector.detect(image)
        if not faces:
            raise VtoonError("no face was found; take another picture, or a video that begins with a face (Step 2)")
        box = published_crop(faces[0], image.shape[:2], padding)
        cut = crop_face(image, box, as_published=True)
        inside = self._detector.detect(cut)
        if not inside:
            raise VtoonError("no face was found in what was cut out; enlarge the padding (Step 2)")
        if self._stylizer is None:
            self._load(FIRST_TYPE)
        return cut, self._model.face_style(cut, inside[0], self.device), box

    def _engine(
        self, instyle: Tensor, exstyle: Tensor, degree: float, style_type: str, size: tuple[int, int]
    ) -> Engine:
        """The loaded network in the given codes, frame for frame as published."""
        if exstyle is None or style_type != self.style_type:
            exstyle = self._load(style_type)
        if getattr(instyle, "shape", None) != exstyle.shape:
            raise VtoonError("there is no style code of a face yet; rescale an image or the first frame (Step 2)")
        batch = auto_batch(*size, self.device.type == "cpu")
        options = StylizeOptions(STYLE_TYPES[style_type][1], degree, exact=True, batch_size=batch)
        engine = self._stylizer.engine(options)
        engine.painter.draw_as(instyle, exstyle)
        return engine

    def _left_out(self, reader: VideoReader) -> str:
        """What to add to a message about a video."""
        if reader.damaged:
            return f"; {reader.damaged}"
        expected = reader.info.expected_frames or 0
        return f", of {expected}: a video is cut off after {self.frame_cap} here" if expected > self.frame_cap else ""


def _given(video: str | os.PathLike | None) -> str | os.PathLike:
    if video is None:
        raise VtoonError("no video was given (Step 2)")
    return video


def _first(reader: VideoReader) -> np.ndarray:
    return next(iter(reader)).image
