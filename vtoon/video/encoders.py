"""Codecs by the names people use, what each takes, and the containers that hold it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from vtoon.errors import VtoonError

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
_X26X_PRESETS = tuple("ultrafast superfast veryfast faster fast medium slow slower veryslow placebo".split())


@dataclass(frozen=True)
class Codec:
    """How one codec is driven. `crf` and `preset` are the defaults of the options named beside them."""

    encoder: str  # ffmpeg's name
    suffixes: tuple[str, ...]
    pix_fmt: str = "yuv420p"
    crf: int | None = None  # lower is better and larger
    crf_option: str = "crf"
    max_crf: int = 51
    preset: str | None = None
    preset_option: str = "preset"
    presets: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    alpha_pix_fmt: str | None = None  # with alpha, in the containers named below
    alpha_suffixes: tuple[str, ...] = ()
    alpha_options: Mapping[str, str] = field(default_factory=dict)
    multiple: int = 2  # px that width and height are padded to: 4:2:0 halves them
    hardware: bool = False

    def settings(self, crf: int | None, preset: str | None) -> dict[str, str]:
        """ffmpeg's private options; `crf` and `preset` replace the defaults. VtoonError where one is not allowed."""
        options = dict(self.options)
        if crf is not None and (self.crf is None or not 0 <= crf <= self.max_crf):
            raise VtoonError(f"crf {crf} does not exist here: " + self._say(f"0 to {self.max_crf}", self.crf))
        if preset is not None and preset not in self.presets:
            raise VtoonError(
                f"preset {preset!r} does not exist here: " + self._say(", ".join(self.presets), self.presets)
            )
        if self.crf is not None:
            options[self.crf_option] = str(self.crf if crf is None else crf)
        if self.preset is not None:
            options[self.preset_option] = preset or self.preset
        return options

    def _say(self, allowed: str, exists: object) -> str:
        return f"{self.encoder} takes {allowed}" if exists else f"{self.encoder} has no such setting"


_ISO = (".mp4", ".m4v", ".mov", ".mkv")
_X265 = {"x265-params": "log-level=none", "forced-idr": "1"}  # a keyframe that is asked for ends what was before
_NVENC_OPTIONS = {"rc": "vbr", "b": "0", "forced-idr": "1"}
_NVENC = {"crf_option": "cq", "preset": "p5", "presets": tuple(f"p{n}" for n in range(1, 8)), "hardware": True}

CODECS = {
    # Beside medium at 18: 7% larger, 1 dB farther from what was drawn (43.7, which no eye sees), in 2/3 of the time.
    "h264": Codec("libx264", (*_ISO, ".avi"), crf=17, preset="faster", presets=_X26X_PRESETS),
    "hevc": Codec("libx265", _ISO, crf=20, preset="medium", presets=_X26X_PRESETS, options=_X265),
    "av1": Codec(
        "libsvtav1",
        (".mp4", ".m4v", ".mkv", ".webm"),
        crf=28,
        max_crf=63,
        preset="8",
        presets=tuple(map(str, range(14))),
    ),
    "vp9": Codec(
        "libvpx-vp9",
        (".mp4", ".m4v", ".mkv", ".webm"),
        crf=28,
        max_crf=63,
        preset="4",
        preset_option="cpu-used",
        presets=tuple(map(str, range(9))),
        options={"row-mt": "1", "b": "0"},
        alpha_pix_fmt="yuva420p",
        alpha_suffixes=(".webm", ".mkv"),
        alpha_options={"auto-alt-ref": "0"},  # libvpx looks ahead in opaque pictures only
        multiple=1,
    ),
    "prores": Codec(
        "prores_ks",
        (".mov", ".mkv"),
        "yuv422p10le",
        options={"profile": "hq", "vendor": "apl0"},
        alpha_pix_fmt="yuva444p10le",
        alpha_suffixes=(".mov", ".mkv"),
        alpha_options={"profile": "4444"},
    ),
    "h264_nvenc": Codec("h264_nvenc", (*_ISO, ".avi"), crf=19, options=_NVENC_OPTIONS, **_NVENC),
    "hevc_nvenc": Codec("hevc_nvenc", _ISO, crf=21, options=_NVENC_OPTIONS, **_NVENC),
}
_USUAL = {".webm": "vp9"}  # everywhere else h264
_USUAL_WITH_ALPHA = _USUAL | {".mov": "prores"}


def choose_codec(path: Path, name: str | None, alpha: bool = False) -> tuple[str, Codec]:
    """(codec name, how to drive it) for an output file; `name` None: the usual one of the container (of pictures with
    `alpha`, one that keeps it).

    VtoonError where the container is not known, does not hold the codec, or this machine cannot encode it.
    """
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        known = " ".join(CONTAINERS)
        raise VtoonError(f"{path}: {suffix or 'no extension'} is no video container; take one of {known}")
    name = name or (_USUAL_WITH_ALPHA if alpha else _USUAL).get(suffix, "h264")
    if name not in CODECS:
        raise VtoonError(f"codec {name!r} is not known; take one of {', '.join(CODECS)}")
    codec = CODECS[name]
    if suffix not in codec.suffixes:
        fitting = ", ".join(other for other in CODECS if suffix in CODECS[other].suffixes)
        raise VtoonError(f"{path}: {suffix} does not hold {name}; take {fitting}, or one of {' '.join(codec.suffixes)}")
    if not _works(codec):
        there = ", ".join(other for other in CODECS if _works(CODECS[other]))
        raise VtoonError(f"codec {name} cannot be encoded on this machine; available: {there}")
    return name, codec


def _works(codec: Codec) -> bool:
    """Whether PyAV has the encoder and, for hardware, whether it opens."""
    os.environ.setdefault("SVT_LOG", "1")  # else libsvtav1 prints a page; 1 = errors only
    try:
        context = av.CodecContext.create(codec.encoder, "w")
        if codec.hardware:
            context.width, context.height, context.pix_fmt = 256, 256, codec.pix_fmt
            context.time_base = Fraction(1, 25)
            context.open()
        return True
    except (av.error.FFmpegError, ValueError):
        return False
