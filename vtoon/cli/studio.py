"""What the commands with a generator share: which one, where results go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from vtoon.cli.common import progress_bar
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from vtoon.latent.sampler import Sampler

Ckpt = Annotated[Path | None, Positional, arg(metavar="CKPT", help_behavior_hint="")]
OldCkpt = Annotated[Path | None, arg(metavar="FILE", aliases=["--ckpt"], help_behavior_hint="")]
Folder = Annotated[Path, arg(aliases=["-o", "--outdir"], metavar="PATH")]
Codes = Annotated[Path | None, arg(metavar="FILE.npz", help_behavior_hint="")]


def generator_of(given: Path | None, old: Path | None, device: str) -> Sampler:
    """The generator that a command was given, by its place or as --network. VtoonError where it was not, or twice."""
    from vtoon.latent.sampler import load_sampler

    if (given is None) == (old is None):
        raise VtoonError("name one generator: CKPT, a .pt or .pkl of StyleGAN2 (or --network FILE, as before)")
    return load_sampler(given or old, device)


def writable(path: Path, suffixes: tuple[str, ...], overwrite: bool = True) -> Path:
    """Check the name of a file to write early. Raises VtoonError."""
    from vtoon.system.target import Target

    if path.suffix.lower() not in suffixes:
        raise VtoonError(f"{path}: the output is a {' or '.join(suffixes)} file; give it a name that ends so")
    Target(path, overwrite=overwrite)
    return path


def ready(folder: Path) -> None:
    """Make the folder for results, before the work. Raises VtoonError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VtoonError(f"{folder}: cannot be a folder for results ({error.strerror})") from None


def check_frames(frames: int, rate: int = 25) -> None:
    """Raises VtoonError for a video without frames or rate."""
    if not 1 <= frames <= 100_000 or not 1 <= rate <= 240:
        raise VtoonError(f"frames is {frames} and fps {rate}; they must be 1 to 100000 and 1 to 240")


@contextmanager
def steps(title: str, total: int, quiet: bool) -> Iterator[Callable[..., None]]:
    """A bar for an optimisation; gives its `watch(step, ...)`."""
    with progress_bar(title, quiet, " steps") as update:
        yield lambda step, *_: update(step + 1, total)
