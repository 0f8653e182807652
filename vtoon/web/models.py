"""The models that the page offers, and what each can draw."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from vtoon.errors import VtoonError
from vtoon.painters.published import PublishedModel
from vtoon.pipeline.samples import each_style
from vtoon.pipeline.stylize import Stylizer, load
from vtoon.types import Style
from vtoon.weights.hub import LAYOUTS

DEFAULT, LIVE = "default", "live"
OWN, STYLES = "own", "style"  # colours: the face's own; the style's, where it has but one palette
KEPT = 2  # models in memory
PATTERNS = ("*.safetensors", "*.onnx", "vtoonify_*/vtoonify_*.pt", "vtoonify_*/vtoonify_*.safetensors")

TRAINED = ("*/network-snapshot-*.pt", "style/*/base/network-snapshot-*.pt")  # of `vtoon finetune`, of a style's faces
RUNS = ("*/*.safetensors", "style/*/*.safetensors", "style/*/student/*.safetensors")


@dataclass(frozen=True)
class Menu:
    """What one model draws: looks, each in the face's own colours or in one of some palettes."""

    styles: tuple[Style, ...]
    looks: tuple[str, ...]
    palettes: tuple[str, ...]  # beside the face's own colours
    quick: bool  # a drawing of every look at once is a matter of seconds

    @classmethod
    def of(cls, stylizer: Stylizer) -> Menu:
        wanted = [options["style"] for _, options in each_style(stylizer)]
        styles = tuple(style for style in stylizer.styles if style.id in wanted)
        with_palettes = any(style.name != style.look for style in styles) and all(style.look for style in styles)
        looks = dict.fromkeys(style.look if with_palettes else style.name for style in styles)
        palettes = list(dict.fromkeys(style.palette for style in styles))[1:] if with_palettes else [STYLES]
        quick = not isinstance(stylizer.checkpoint, PublishedModel) or stylizer.device.type == "cuda"
        return cls(styles, tuple(looks), tuple(palettes), quick)

    def find(self, look: str, palette: str) -> tuple[Style, bool]:
        """The style, and whether its palette is taken. Raises VtoonError where the model has no such look."""
        named = [style for style in self.styles if look in (style.look, style.name)]
        if not named:
            raise VtoonError(f"this model has no style {look!r}; choose one of {', '.join(self.looks[:8])}")
        if palette in (OWN, STYLES):
            return named[0], palette == STYLES
        fitting = [style for style in named if style.palette == palette]
        return (fitting or named)[0], bool(fitting)


class Models:
    """Found where models lie: checkpoint/, checkpoints/, models/ and runs/ of the folder the page was started in."""

    def __init__(self, device: str = "auto", folder: Path = Path(".")) -> None:
        self.device, self._folder, self._lock = device, folder, threading.Lock()
        self._loaded: OrderedDict[str, Stylizer] = OrderedDict()

    def names(self) -> list[str]:
        """The built-in ones and the paths of the others."""
        found = []
        for root in LAYOUTS:
            for pattern in PATTERNS:
                found += sorted((self._folder / root).glob(pattern))
        for pattern in RUNS:
            found += sorted((self._folder / "runs").glob(pattern))
        own = [str(path) for path in found if path.parent.name != "checkpoints" or path.stem not in (DEFAULT, LIVE)]
        return [DEFAULT, LIVE, *own]

    def generators(self) -> list[str]:
        """Generators of faces, which a style of one's own can begin with."""
        files = sorted((self._folder / "checkpoint").glob("ffhq*"))
        newest: dict[Path, Path] = {}
        for pattern in TRAINED:
            newest |= {path.parent: path for path in sorted((self._folder / "runs").glob(pattern))}
        return [str(path) for path in (*files, *newest.values()) if path.suffix in (".pkl", ".pt")]

    def load(self, name: str) -> Stylizer:
        """One of `names`; nothing else is opened. Raises VtoonError where it is none, or its file is damaged."""
        if name not in self.names():
            raise VtoonError(f"{name!r} is not one of the models of this page")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load(name, self.device)
            self._loaded.move_to_end(name)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[name]
