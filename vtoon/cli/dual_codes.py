"""Files of style codes that grow artwork by artwork: what `vtoon dual destylize` and `refine` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vtoon.cli.common import Talk, progress_bar
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from torch import Tensor

    from vtoon.models.stylegan2 import Generator
    from vtoon.train.dataset import Dataset

SHOWN = 8  # pictures on a sheet


@dataclass(frozen=True)
class Codes:
    """A file of codes that grows picture by picture."""

    path: Path
    known: dict[str, Tensor]

    def save(self, names: list[str]) -> None:
        """In the order of the pictures, which is what style ids count."""
        from vtoon.weights.duals import save_style_codes

        save_style_codes(self.path, {name: self.known[name] for name in names if name in self.known})


def codes_so_far(path: Path, names: list[str], net: Generator, resume: bool) -> Codes:
    """Raises VtoonError where the file has codes of other pictures, which would be lost."""
    from vtoon.weights.duals import load_codes_of

    if not resume or not path.is_file():
        return Codes(path, {})
    known = load_codes_of(path, net, "")
    if others := [name for name in known if name not in names]:
        raise VtoonError(f"{path}: has codes of other pictures ({others[0]}); move it away, or --no_resume replaces it")
    return Codes(path, known)


def gone_through(
    data: Dataset, todo: list[str], batch: int, steps: int, talk: Talk, title: str,
    work: Callable[[list[str], Tensor, Callable[[int], None]], None],
) -> None:  # fmt: skip
    """`work(names, pictures [N, 3, S, S], watch)` for one batch after the other, under one bar."""
    import numpy as np

    from vtoon.image import to_tensor

    place = {name: i for i, name in enumerate(data.names)}
    with progress_bar(title, talk.quiet, " steps") as update:
        for first in range(0, len(todo), batch):
            names = todo[first : first + batch]
            pictures = to_tensor(np.stack([data.picture(place[name]) for name in names]), data.device)
            before = first // batch * steps
            total = -(-len(todo) // batch) * steps
            work(names, pictures, lambda step, before=before, total=total: update(
                before + step % steps + 1, total))  # fmt: skip
