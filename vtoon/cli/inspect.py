"""`vtoon inspect`: what a file is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

if TYPE_CHECKING:
    from vtoon.video import MediaInfo
    from vtoon.weights.checkpoint import Checkpoint

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


@dataclass(frozen=True)
class Inspect:
    """Say what a video, an image or a model file is."""

    file: Positional[Path]
    """The file, or an image sequence (frames/%04d.png)."""

    def run(self) -> None:
        facts = _of_model(self.file) if self.file.suffix.lower() in WEIGHT_SUFFIXES else _of_media(self.file)
        rows = list(facts)
        width = max(len(name) for name, _ in rows)
        print("\n".join(f"{name.ljust(width)}  {value}" for name, value in rows))


def _of_media(path: Path) -> Iterator[tuple[str, str]]:
    from vtoon.video import probe

    info = probe(path)
    yield "file", str(path)
    yield "kind", f"{info.kind} ({info.container}, {info.codec})"
    yield "size", f"{info.width}x{info.height} px{_turned(info)}"
    yield "pixels", f"{info.pix_fmt}, {info.bit_depth} bits"
    if info.kind == "image":
        return
    yield "pixel shape", str(info.sample_aspect_ratio)
    yield "colours", f"{info.colours}{', HDR' if info.hdr else ''}"
    yield "frames", str(info.frames) if info.frames else f"about {info.expected_frames or 'unknown'}"
    yield "rate", f"{float(info.rate):.3f} fps ({info.rate})"
    yield "length", f"{info.duration:.3f} s, from {info.start:.3f} s"
    yield "sound", ", ".join(info.audio_codecs) or "none"
    yield "subtitles", ", ".join(info.subtitle_codecs) or "none"


def _turned(info: MediaInfo) -> str:
    words = [f"turned by {info.rotation} degrees"] if info.rotation else []
    words += ["mirrored"] if info.orientation.mirrored else []
    return f" ({', '.join(words)})" if words else ""


def _of_model(path: Path) -> Iterator[tuple[str, str]]:
    from vtoon.weights.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    config = checkpoint.config
    yield "file", str(path)
    yield "kind", f"vtoon model, VToonify-{config.backbone[0].upper()}"
    yield "size", f"{os.path.getsize(path) / 1e6:.1f} MB"
    yield "parameters", f"{sum(p.numel() for p in checkpoint.model.parameters()):,}"
    yield from _of_config(checkpoint)
    yield "styles", f"{len(checkpoint.bank)}: {', '.join(style.name for style in checkpoint.bank.styles)}"
    yield from ((name, str(value)) for name, value in checkpoint.provenance.items())


def _of_config(checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    config = checkpoint.config.to_dict()
    channels = config.pop("channels")
    yield "channels", ", ".join(f"{size} px: {n}" for size, n in sorted(channels.items()))
    yield from ((name.replace("_", " "), str(value)) for name, value in config.items())
