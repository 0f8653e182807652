"""Where drawn frames go: a recording, a stream, a virtual camera."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from fractions import Fraction
from types import TracebackType
from typing import Protocol

import av
import numpy as np

from vtoon.errors import VtoonError, needs_extra
from vtoon.live.window import WINDOW, Window
from vtoon.video import VideoWriter

MILLISECOND = Fraction(1, 1000)
FORMATS = {"udp": "mpegts", "tcp": "mpegts", "srt": "mpegts", "rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp"}
STREAM = re.compile(rf"({'|'.join(FORMATS)})://")
CAMERA = "camera"


class Sink(Protocol):
    """A context that takes pictures."""

    def write(self, image: np.ndarray, seconds: float) -> None: ...
    def __enter__(self) -> Sink: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Recording:
    """A file that appears when the recording ends, by Ctrl-C too."""

    def __init__(self, path: str, rate: float, overwrite: bool = False) -> None:
        self._writer = VideoWriter(path, rate=Fraction(rate), preset="veryfast", overwrite=overwrite)

    def __enter__(self) -> Recording:
        self._writer.__enter__()
        return self

    def write(self, image: np.ndarray, seconds: float) -> None:
        """`seconds` since the beginning."""
        self._writer.write(image, round(seconds * 1000), MILLISECOND)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        # GeneratorExit: whoever took the frames has had enough, or was interrupted.
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt | GeneratorExit) and self._writer.frames
        self._writer.__exit__(None if stopped else kind, error, None)


class Stream:
    """H.264 without delay, to an address that listens."""

    def __init__(self, address: str, rate: float) -> None:
        self.address, self._rate = address, rate
        self._container: av.container.OutputContainer | None = None

    def __enter__(self) -> Stream:
        return self

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Raises VtoonError where nobody listens any more."""
        try:
            if self._container is None:
                self._open(image.shape[1], image.shape[0])
            image = image[: self._stream.height, : self._stream.width]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts, picture.time_base = round(seconds * 1000), MILLISECOND
            self._container.mux(self._stream.encode(picture))
        except (av.error.FFmpegError, OSError) as error:
            raise VtoonError(f"{self.address}: cannot be sent to ({error.strerror or error})") from None

    def _open(self, width: int, height: int) -> None:
        form = FORMATS[self.address.split("://")[0]]
        self._container = av.open(self.address, "w", format=form)
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(max(1, round(2 * self._rate)))}
        self._stream = self._container.add_stream("libx264", rate=Fraction(self._rate), options=options)
        self._stream.width, self._stream.height = width & ~1, height & ~1  # 4:2:0 halves them
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = MILLISECOND

    def __exit__(self, *_: object) -> None:
        if self._container:
            with contextlib.suppress(av.error.FFmpegError, OSError):  # the listener may have gone first
                self._container.mux(self._stream.encode(None))
                self._container.close()


class VirtualCamera:
    """A camera for other programs (extra [live]; on Linux v4l2loopback must be loaded)."""

    def __init__(self, rate: float) -> None:
        with needs_extra("live"):
            import pyvirtualcam
        self._module, self._rate, self._camera = pyvirtualcam, rate, None

    def __enter__(self) -> VirtualCamera:
        return self

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Raises VtoonError where this machine has no such device."""
        try:
            if self._camera is None:
                self._camera = self._module.Camera(image.shape[1], image.shape[0], self._rate)
            self._camera.send(image)
        except RuntimeError as error:
            raise VtoonError(f"no virtual camera ({' '.join(str(error).split())})") from None

    def __exit__(self, *_: object) -> None:
        if self._camera:
            self._camera.close()


def open_sink(
    name: str, rate: float, overwrite: bool = False, obey: Callable[[str], object] = lambda line: None
) -> Sink:
    """`camera`, `window` (whose keys become lines for `obey`), an address, or a file. Raises VtoonError where it is
    none of these."""
    if name == CAMERA:
        return VirtualCamera(rate)
    if name == WINDOW:
        return Window(obey)
    if STREAM.match(name):
        return Stream(name, rate)
    if "://" in name:
        raise VtoonError(f"{name}: an address begins with one of {', '.join(f'{way}://' for way in FORMATS)}")
    return Recording(name, rate, overwrite)
