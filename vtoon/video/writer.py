"""Writing frames as a video that looks, sounds and keeps time like its source."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
from av.video.frame import PictureType

from vtoon.errors import VtoonError
from vtoon.system.target import Target
from vtoon.types import Frame, Rendered, over_black
from vtoon.video.about import say_what_is_lost
from vtoon.video.colours import SDR, Colours, FromRGB
from vtoon.video.encoders import CONTAINERS, choose_codec
from vtoon.video.info import MediaInfo
from vtoon.video.reader import VideoReader
from vtoon.video.rising import stands_at_the_end
from vtoon.video.source import is_pattern, open_source
from vtoon.video.track_kinds import Kind
from vtoon.video.tracks import Tracks, plan

log = logging.getLogger("vtoon")
_MAX_TIMESCALE = 2**31 - 1
TELLS_SHAPE = ("h264", "hevc", "h264_nvenc", "hevc_nvenc")  # in the stream itself, whatever the container
REORDERING = TELLS_SHAPE  # their encoders decode pictures in another order than they are shown
REORDERED = 2  # frames that may be decoded before the first is shown


class VideoWriter:
    """Encode frames into an MP4, MOV, Matroska, WebM or AVI file.

        with VideoReader("in.mov") as reader, VideoWriter("out.mp4", like=reader) as writer:
            for frame in reader:
                writer.write(frame)

    `like` gives what the frames do not carry: average rate, sample aspect ratio, colour tags (BT.709 where the source
    is HDR or RGB), title, chapters, and the sound and subtitles, which are copied packet by packet. Times are kept:
    variable rates, a start that is not zero, the sound's place beside the pictures. Frames are upright, so the output
    needs no display matrix: it is shown the same way up in any player.

    The file appears under its name when the `with` block ends well. When it ends in an exception nothing is left.
    Width and height are padded to even numbers by repeating the border where the codec halves the chroma.

    Raises VtoonError, before anything is written where that can be known: the output is the input or exists, its place
    cannot be written, container and codec do not fit, the encoder is not there, a setting is not allowed, disk full.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        like: VideoReader | None = None,
        *,
        size: tuple[int, int] | None = None,
        codec: str | None = None,
        crf: int | None = None,
        preset: str | None = None,
        rate: Fraction | int | None = None,
        sound: str | os.PathLike | None = None,
        keep_sound: bool = True,
        overwrite: bool = False,
    ) -> None:
        """`size` is (width, height) px of the frames, default: the first frame's. `codec` is h264, hevc, av1, vp9,
        prores, h264_nvenc or hevc_nvenc; None is vp9 for WebM, else h264. `rate`: frames/s, default: `like`'s or 25.
        `sound`: a file whose sound and subtitles are taken, default: `like`'s, of the part that it reads; without
        `keep_sound` only the subtitles are.
        """
        self._target = Target(path, [like and like.path, sound], overwrite)
        self.path = self._target.path
        alpha = bool(like and like.info.alpha)
        self.codec, self._codec = choose_codec(self.path, codec, alpha and crf is None and preset is None)
        self._alpha = alpha and self.path.suffix.lower() in self._codec.alpha_suffixes
        self._options = self._codec.settings(crf, preset) | (self._codec.alpha_options if self._alpha else {})
        self._pix_fmt = self._codec.alpha_pix_fmt if self._alpha else self._codec.pix_fmt
        self._like, self._size = like, size
        self._rate = Fraction(rate) if rate else like.info.rate if like else Fraction(25)
        self._sound = sound or (like.path if like and not is_pattern(like.path) else None)
        self._keep_sound = keep_sound
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._ways: dict[int, Kind] = {}  # how sound and subtitles get in: known before the first frame is drawn
        self._tracks: Tracks | None = None
        self._last: int | None = None  # pts of the last frame in the stream's time base
        self._latest: av.VideoFrame | None = None  # the last frame, which waits to be encoded
        self._dts: int | None = None
        self._held: list[av.Packet] = []
        self.frames = 0

    def __enter__(self) -> VideoWriter:
        self._target.create()
        if self._sound:
            self._ways = plan(self._sound, CONTAINERS[self.path.suffix.lower()], self._keep_sound)
        return self

    def write(
        self, frame: Frame | Rendered | np.ndarray, pts: int | None = None, time_base: Fraction | None = None
    ) -> None:
        """Encode one frame: a `Frame`, or uint8 [H, W, 3] RGB shown at `pts * time_base` seconds (default: the next).

        Alpha is kept where `like` has it and codec and container can; else the picture is laid over black.

        Raises VtoonError where the size changes or the file cannot be written.
        """
        image = frame if isinstance(frame, np.ndarray) else self._with_alpha(frame)
        if pts is None and not isinstance(frame, np.ndarray):
            pts, time_base = frame.pts, frame.time_base
        if pts is None or time_base is None:
            pts, time_base = self.frames, 1 / self._rate
        try:
            if self._container is None:
                self._start(image, time_base)
            self._encode(image, pts * time_base)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._close()
            self._target.discard()

    def _with_alpha(self, frame: Frame | Rendered) -> np.ndarray:
        """[H, W, 4] where alpha is kept, else [H, W, 3]."""
        if self._alpha:
            alpha = np.full(frame.image.shape[:2], 255, np.uint8) if frame.alpha is None else frame.alpha
            return np.dstack([frame.image, alpha])
        if frame.alpha is None:
            return frame.image
        log.warning("%s: what is transparent becomes black: %s here has no alpha", self.path, self.codec)
        return over_black(frame.image, frame.alpha)

    def _start(self, image: np.ndarray, time_base: Fraction) -> None:
        """Open the container with all its streams; the first frame tells size and time base."""
        self._size = self._size or image.shape[1::-1]
        format_name = CONTAINERS[self.path.suffix.lower()]
        self._container = av.open(str(self._target.part), "w", format=format_name)
        self._stream = self._add_video(1 / self._rate if format_name == "avi" else time_base)
        if self._sound:
            part = (self._like.part, self._like.shift) if self._like else ()
            self._tracks = Tracks(self._sound, self._container, self._ways, *part)
        options = _muxer_options(format_name, self._container.streams)
        if self._tracks and self._tracks.options:
            options["movflags"] += self._tracks.options["movflags"]
        self._container.container_options.update(options)

    def _add_video(self, time_base: Fraction) -> av.VideoStream:
        info = self._like.info if self._like else None
        options = self._options | ({} if self._reorders() else {"bf": "0"})
        stream = self._container.add_stream(self._codec.encoder, rate=self._rate, options=options)
        stream.time_base = time_base
        context = stream.codec_context
        context.time_base = time_base
        context.thread_type = "AUTO"
        context.pix_fmt = self._pix_fmt
        if self._alpha and self.codec == "vp9":
            stream.metadata["alpha_mode"] = "1"  # players look here
        context.width, context.height = (side + -side % self._codec.multiple for side in self._size)
        if (context.width, context.height) != tuple(self._size):
            log.warning(
                "%s: padded from %dx%d to %dx%d by repeating the border: %s needs even sizes",
                *(self.path, *self._size, context.width, context.height, self.codec),
            )
        context.sample_aspect_ratio = shape = info.sample_aspect_ratio if info else Fraction(1)
        if shape != 1 and self.path.suffix.lower() in (".mkv", ".webm") and self.codec not in TELLS_SHAPE:
            log.warning("%s: %s in this container cannot tell the pixels' shape (%s)", self.path, self.codec, shape)
        tags, conversion = output_colours(info, context.width, context.height)
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace, context.color_range = tags.matrix, tags.range
        if context.codec.canonical_name == "hevc" and self.path.suffix.lower() != ".mkv":
            context.codec_tag = "hvc1"  # the one Apple's players take
        context.open()
        self._to_picture = FromRGB(conversion, self._pix_fmt, self._codec.multiple)
        return stream

    def _reorders(self) -> bool:
        """Whether pictures may be decoded in another order than they are shown. AVI has no times for that, and where
        an MP4 is so, older players do not see how long the last one stands."""
        suffix = self.path.suffix.lower()
        if suffix == ".avi" or self.codec not in REORDERING or suffix == ".mkv":
            return suffix != ".avi"
        return not (self._like and stands_at_the_end(self._like.path, self._rate))

    def _encode(self, image: np.ndarray, time: Fraction) -> None:
        if image.shape[1::-1] != tuple(self._size):
            got, wanted = ("{}x{}".format(*size) for size in (image.shape[1::-1], self._size))
            raise VtoonError(f"{self.path}: a frame of {got} came into a video of {wanted}; all must have one size")
        picture = self._to_picture(image)
        pts = round(time / self._stream.codec_context.time_base)
        if self._last is not None and pts <= self._last:
            pts = self._last + 1
        picture.pts, picture.time_base = pts, self._stream.codec_context.time_base
        waited, self._latest, self._last = self._latest, picture, pts
        self.frames += 1
        if waited:
            self._mux(self._stream.encode(waited))
        if self._tracks:
            self._tracks.advance(float(time))

    def _mux(self, packets: list[av.Packet], shown: Fraction = Fraction(0)) -> None:
        """`shown`: s that the last picture is shown, where it is known; till then the newest packet waits."""
        packets = [*self._held, *packets]
        self._held = packets[-1:] if not shown else []
        for packet in packets[: len(packets) - len(self._held)]:
            last = shown if packet.pts == self._last else 0
            packet.duration = round((last or 1 / self._rate) / packet.time_base)
            packet.dts = self._dts = decoding_time(packet.pts, packet.dts, self._dts, round(10 / packet.time_base))
            self._container.mux(packet)

    def _finish(self) -> None:
        if self._container is None:
            raise VtoonError(f"{self.path}: no frame was written, so there is no video")
        try:
            self._encode_last(self._last_shown())
            if self._tracks:
                self._tracks.finish(self._sound_end())
            self._close()
            if self._sound:
                with open_source(self._sound) as old, av.open(str(self._target.part)) as new:
                    say_what_is_lost(old, new, self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from None
        self._target.commit()

    def _encode_last(self, shown: Fraction) -> None:
        """The last frame, shown for so many seconds.

        Files give a length to the picture that is decoded last. Where that may be another one, a picture that stands
        becomes a keyframe, behind which nothing is decoded. AVI has no lengths: there it is shown twice.
        """
        stands = abs(shown * self._rate - 1) > Fraction(1, 10)
        if stands and self.codec in REORDERING:
            self._latest.pict_type = PictureType.I
        packets = self._stream.encode(self._latest)
        if stands and self.path.suffix.lower() == ".avi":
            self._latest.pts = self._last = self._last + max(1, round((shown * self._rate) - 1))
            packets += self._stream.encode(self._latest)
            shown = 1 / self._rate
        self._mux(packets + self._stream.encode(None), shown)

    def _last_shown(self) -> Fraction:
        """Seconds: as long as the source shows its last picture, if the last one here is that."""
        return (self._like and self._like.finished and self._like.last_shown) or 1 / self._rate

    def _sound_end(self) -> float:
        """Seconds: where the pictures end, if the source breaks or was left early; else the sound is heard out."""
        if self._like and (self._like.finished is False or self._like.broken):
            return float(self._last * self._stream.codec_context.time_base + 1 / self._rate)
        return math.inf

    def _close(self) -> None:
        container, self._container = self._container, None
        tracks, self._tracks = self._tracks, None
        if tracks:
            tracks.close()
        if container:
            container.close()

    def _failure(self, error: OSError) -> VtoonError:
        return VtoonError(f"{self.path}: cannot be written ({error.strerror or error})")


def decoding_time(pts: int, dts: int | None, last: int | None, far: int) -> int:
    """The decoding time of a packet after one at `last`: the encoder's own where it can be right, less than `far` ago.

    x265 makes up the first ones from frames to come; in a clip of two or three frames there are none, and it hands out
    whatever was in memory.
    """
    if dts is not None and pts - far < dts <= pts and (last is None or dts > last):
        return dts
    return pts - REORDERED if last is None else min(pts, last + 1)


def output_colours(info: MediaInfo | None, width: int, height: int) -> tuple[Colours, Colours]:
    """(tags of the output, how RGB becomes YUV) so that width x height px show the colours of the source.

    The tags are the source's, and open ones stay open, except where a player would guess another matrix from the
    output's size. What came from HDR or RGB is BT.709.
    """
    if info is None or info.hdr or not info.colours.encodable:
        return SDR, SDR
    tags, conversion = info.colours, info.colours.completed(*info.stored_size)
    if tags.completed(width, height).matrix != conversion.matrix:
        tags = replace(tags, matrix=conversion.matrix)
    return tags, conversion


def _muxer_options(format_name: str, streams: Sequence[av.stream.Stream]) -> dict[str, str]:
    """MP4 and MOV: the index first, and a time scale in which the edit lists name every stream's start exactly.

    The others: no shift of all times where the sound begins with a packet before zero, as AAC does.
    """
    if format_name not in ("mp4", "mov"):
        return {"avoid_negative_ts": "disabled"}
    scales = [stream.codec_context.sample_rate for stream in streams if stream.type == "audio"]
    scale = math.lcm(streams[0].codec_context.time_base.denominator, *scales)  # the pictures come first
    return {"movflags": "+faststart"} | ({"movie_timescale": str(scale)} if scale <= _MAX_TIMESCALE else {})
