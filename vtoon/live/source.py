"""Where frames come from: a camera, a stream, a file played over and over. Only the newest one is kept."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np

from vtoon.errors import VtoonError
from vtoon.video import VideoReader

RETRY_SECONDS = 1.0  # between looks for a camera that went away
TIMEOUT = 5.0  # s without a packet after which a stream is opened again
CAMERAS = {"Linux": ("v4l2", "/dev/video{}"), "Darwin": ("avfoundation", "{}"), "Windows": ("dshow", "video={}")}
SCREENS = {"Linux": "x11grab", "Windows": "gdigrab", "Darwin": "avfoundation"}
SCREEN = re.compile(r"screen(?::(\d+)x(\d+)\+(\d+),(\d+))?")  # width x height + left, top
# Not `nobuffer`: what a stream is known by is not read again then, and RTMP never begins. What comes while it is looked
# at is decoded at once, and left out.
STREAM_OPTIONS = {"flags": "low_delay", "analyzeduration": "1000000", "probesize": "500000"}  # microseconds, bytes
STREAM = re.compile(r"(rtsp|rtmp|rtmps|udp|tcp|srt|http|https)://")


@dataclass(frozen=True)
class Captured:
    """A frame, and when it came: s of time.monotonic()."""

    image: np.ndarray  # uint8 [H, W, 3] RGB
    seconds: float
    number: int  # of all that came, those left out too


def frames(name: str) -> Iterator[np.ndarray]:
    """Pictures of a source without end. `name`: a camera's number, `screen`, an address of a stream, or a file.

    What goes away is opened again. Raises VtoonError where it cannot be opened the first time.
    """
    if name.isdigit() or SCREEN.fullmatch(name) or STREAM.match(name):
        yield from _opened_again(name)
    while True:
        yield from _played(name)


def _played(path: str) -> Iterator[np.ndarray]:
    """A file in its own time."""
    with VideoReader(path) as reader:
        begun, shown = time.monotonic(), 0.0
        for frame in reader:
            due = begun + float(frame.pts * frame.time_base - reader.info.start)
            time.sleep(max(0.0, due - time.monotonic()))
            yield frame.image
        shown = float(reader.last_shown or 1 / reader.info.rate)
        time.sleep(max(0.0, min(shown, 1.0)))


def _opened_again(name: str) -> Iterator[np.ndarray]:
    seen = False
    while True:
        try:
            with _open(name) as container:
                for picture in container.decode(video=0):
                    seen = True
                    yield picture.to_ndarray(format="rgb24")
        except (av.error.FFmpegError, OSError, IndexError) as error:
            if not seen:
                what = f"camera {name}" if name.isdigit() else name
                reason = getattr(error, "strerror", None) or "no picture in it"
                raise VtoonError(f"{what}: cannot be opened ({reason}); is it there, and nobody else's?") from None
        time.sleep(RETRY_SECONDS)


def _open(name: str) -> av.container.InputContainer:
    if screen := SCREEN.fullmatch(name):
        return _open_screen(*screen.groups())
    if not name.isdigit():
        return av.open(name, timeout=TIMEOUT, options=STREAM_OPTIONS)
    system = platform.system()
    if system not in CAMERAS:
        raise VtoonError(f"cameras are not known on {system}; give a stream or a file")
    form, pattern = CAMERAS[system]
    return av.open(pattern.format(name), format=form, timeout=TIMEOUT)


def _open_screen(
    width: str | None, height: str | None, left: str | None, top: str | None
) -> av.container.InputContainer:
    """The screen, or a part of it. Raises VtoonError where this system's cannot be had."""
    system = platform.system()
    options, place = ({"video_size": f"{width}x{height}"} if width else {}), ""
    if system == "Linux":
        place = os.environ.get("DISPLAY", ":0") + (f"+{left},{top}" if width else "")
    elif system == "Windows":
        place, options = "desktop", options | ({"offset_x": left, "offset_y": top} if width else {})
    elif system == "Darwin" and not width:
        place = "Capture screen 0"
    if not place:
        raise VtoonError(f"{'parts of the screen are' if width else 'the screen is'} not known on {system}")
    return av.open(place, format=SCREENS[system], timeout=TIMEOUT, options=options)


class Latest:
    """The newest of the frames that are put in; the one before it, if nobody took it, is left out. Iterate it for each
    frame once."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._latest: Captured | None = None
        self._failure: BaseException | None = None
        self._ended = False
        self._came = 0
        self.dropped = 0  # came and were left out

    def __enter__(self) -> Latest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, image: np.ndarray) -> int:
        """A frame uint8 [H, W, 3] that has just come; returns its number."""
        with self._change:
            self.dropped += self._latest is not None
            self._latest = Captured(image, time.monotonic(), self._came)
            self._came += 1
            self._change.notify_all()
            return self._latest.number

    def close(self) -> None:
        """The loop over it ends."""
        with self._change:
            self._ended = True
            self._change.notify_all()

    def __iter__(self) -> Iterator[Captured]:
        while True:
            with self._change:
                while self._latest is None and not self._ended:
                    self._change.wait()
                if self._ended:
                    if self._failure:
                        raise self._failure
                    return
                captured, self._latest = self._latest, None
            yield captured


class Newest(Latest):
    """The newest frame of a source, which a thread reads. Use as a context."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._thread = threading.Thread(target=self._read, name="vtoon-live-source", daemon=True)

    def __enter__(self) -> Newest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._thread.join(TIMEOUT + RETRY_SECONDS)

    def _read(self) -> None:
        try:
            with contextlib.closing(frames(self._name)) as pictures:
                for image in pictures:
                    if self._ended:
                        return
                    self.put(image)
        except BaseException as error:  # it crosses to the loop
            self._failure = error
        finally:
            self.close()
