"""`vtoon inspect`: what a file is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

if TYPE_CHECKING:
    from vtoon.video import MediaInfo
    from vtoon.weights.checkpoint import Checkpoint

PUBLISHED_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".npy", ".pkl")


@dataclass(frozen=True)
class Inspect:
    """Say what a video, an image, a model or a published file of weights is."""

    file: Positional[Path]
    """The file, or an image sequence (frames/%04d.png)."""

    def run(self) -> None:
        from vtoon.system.pipes import through_pipe

        file = Path(through_pipe(str(self.file)))
        suffix = file.suffix.lower()
        look = LOOK.get(suffix, _of_published if suffix in PUBLISHED_SUFFIXES else _of_media)
        rows = list(look(file))
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
    from vtoon.weights.converted import is_converted

    if is_converted(path):
        yield from _of_converted(path)
        return
    checkpoint = load_checkpoint(path)
    config = checkpoint.config
    yield from _head(path, f"vtoon model, VToonify-{config.backbone[0].upper()}")
    yield "parameters", f"{sum(p.numel() for p in checkpoint.model.parameters()):,}"
    yield from _of_config(checkpoint)
    yield "styles", f"{len(checkpoint.bank)}: {', '.join(style.name for style in checkpoint.bank.styles)}"
    yield from ((name, str(value)) for name, value in checkpoint.provenance.items())


def _of_converted(path: Path) -> Iterator[tuple[str, str]]:
    from vtoon.weights.converted import read_vtoonify
    from vtoon.weights.facts import facts
    from vtoon.weights.published import PublishedFile
    from vtoon.weights.trained import KEY

    file = read_vtoonify(path)
    yield from _head(path, f"{file.kind.title} with its style codes, converted")
    yield "parameters", f"{sum(tensor.numel() for tensor in file.state.values()):,}"
    # What it was trained for is told by the name of the file it was made of.
    told = {KEY: replace(file.trained, provenance={}).content()}
    yield from facts(PublishedFile(Path(file.provenance.get("file", path.name)), file.kind, file.state, told))
    names = [Path(name).stem for name in file.codes]
    yield "styles", f"{len(names)}: {', '.join(names)}" if names else "one"
    yield from (("made of" if name == "file" else name, str(value)) for name, value in file.provenance.items())


def _of_published(path: Path) -> Iterator[tuple[str, str]]:
    from vtoon.weights.facts import facts
    from vtoon.weights.published import recognise

    file = recognise(path)
    file.check_finite()
    yield from _head(path, file.kind.title)
    yield "for", file.kind.taken_by
    yield "numbers", f"{sum(tensor.numel() for tensor in file.tensors.values()):,} in {len(file.tensors)} tensors"
    yield from facts(file)


def _head(path: Path, kind: str) -> Iterator[tuple[str, str]]:
    yield "file", str(path)
    yield "kind", kind
    yield "size", f"{os.path.getsize(path) / 1e6:.1f} MB"


def _of_config(checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    config = checkpoint.config.to_dict()
    channels = config.pop("channels")
    yield "channels", ", ".join(f"{size} px: {n}" for size, n in sorted(channels.items()))
    yield from ((name.replace("_", " "), str(value)) for name, value in config.items())


def _of_exported(path: Path) -> Iterator[tuple[str, str]]:
    import torch

    from vtoon.painters.onnx import OnnxModel

    model = OnnxModel(path, torch.device("cpu"))
    yield from _head(path, "vtoon model, exported (ONNX)")
    yield "style", model.bank.styles[0].name
    yield "enlarges", f"{model.upscale} times"


LOOK = {".safetensors": _of_model, ".onnx": _of_exported}
