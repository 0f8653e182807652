"""The style bank: which looks and palettes a model draws, their names and numbers."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from vtoon.errors import VtoonError
from vtoon.types import Style

DEFAULT_ID = 26  # VToonify's commands ask for this one by default, so it has to be the best look

# Looks and palettes that the built-in model has drawn before, and what comes nearest to each.
RETIRED = {"clay": "toon3d", "sunset": "film", "candy": "film", "vintage": "print", "forest": "print"}
RETIRED |= {"ocean": "night", "neon": "night"}
LATER = {"caricature"}  # looks that came after: theirs are the last ids, so that those of others have not moved


def build_styles(looks: list[str], palettes: list[str]) -> tuple[Style, ...]:
    """All looks in their own colours, then all in the next palette, and so on; ids count from 0. A look that came LATER
    follows them in all palettes, unless it is the first.

    Style 26 changes places with one of the first look's, so that the default of VToonify's commands is that look.
    """
    later = [look for look in looks[1:] if look in LATER]
    groups = [look for look in looks if look not in later], later
    pairs = [(look, palette) for group in groups for palette in palettes for look in group]
    if len(pairs) > DEFAULT_ID:
        nearest = min((i for i, p in enumerate(pairs) if p[0] == looks[0]), key=lambda i: abs(i - DEFAULT_ID))
        pairs[nearest], pairs[DEFAULT_ID] = pairs[DEFAULT_ID], pairs[nearest]
    name = lambda look, palette: look if palette == palettes[0] else f"{look}-{palette}"  # noqa: E731
    return tuple(Style(i, name(*pair), *pair) for i, pair in enumerate(pairs))


def list_command(ckpt: Path | None = None) -> str:
    """What a user types to see the styles of a model; None: of the built-in one."""
    return f"vtoon styles --ckpt {ckpt}" if ckpt else "vtoon styles"


@dataclass(frozen=True)
class StyleBank:
    """`styles[i].id == i`."""

    styles: tuple[Style, ...]
    listed_by: str = list_command()  # the command that lists them

    def __len__(self) -> int:
        return len(self.styles)

    def find(self, style: int | str | None) -> Style:
        """By number or name; None: the first. Raises VtoonError that prints the valid range or the nearest name."""
        if style is None:
            return self.styles[0]
        text = str(style).strip()
        if re.fullmatch(r"-?[0-9]+", text):
            if 0 <= int(text) < len(self.styles):
                return self.styles[int(text)]
            raise VtoonError(f"style {text} does not exist: ids go from 0 to {len(self) - 1} (see: {self.listed_by})")
        by_name = {s.name: s for s in self.styles}
        if text in by_name:
            return by_name[text]
        today = "-".join(RETIRED.get(part, part) for part in text.split("-"))
        if today in by_name:
            raise VtoonError(f"style {text!r} is no longer drawn: {today} comes nearest (see: {self.listed_by})")
        near = difflib.get_close_matches(text, by_name, n=3, cutoff=0.3) or list(by_name)[:3]
        raise VtoonError(
            f"style {text!r} does not exist: did you mean {', '.join(near)}? "
            f"Ids go from 0 to {len(self) - 1} (see: {self.listed_by})"
        )
