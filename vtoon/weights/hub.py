"""The published VToonify files: found where they lie already, or fetched from the Hugging Face hub."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vtoon.errors import VtoonError, describe
from vtoon.system.tree import tree_only
from vtoon.weights.lockfile import Lock, sha256

REPO = "PKUWilliamYang/VToonify"
REPO_FOLDER = "models/"  # of the repository: what is below it is VToonify's own folder layout
SUFFIXES = (".pt", ".pth", ".npy", ".pkl", ".dat")
FOLDER = Path("checkpoint")  # where VToonify's documentation puts everything
LAYOUTS = (FOLDER, Path("checkpoints"), Path("models"))
# What one VToonify-D needs: the model for all cartoon styles, their codes, the style encoder, the face parser.
ESSENTIAL = (
    "vtoonify_d_cartoon/vtoonify_s_d.pt",
    "vtoonify_d_cartoon/exstyle_code.npy",
    "encoder.pt",
    "faceparsing.pth",
)
LICENCE = "S-Lab License 1.0"
NOTICE = (
    f"VToonify's files are under the {LICENCE}: non-commercial use only. They are not part of vtoon. "
    "The text: https://github.com/williamyang1991/VToonify"
)
SCRIPT = "scripts/download_checkpoints.py"


@dataclass(frozen=True)
class HubFile:
    """One file of the hub."""

    name: str  # in VToonify's layout: vtoonify_d_cartoon/vtoonify_s_d.pt
    path: str  # in the repository
    size: int  # bytes
    sha256: str | None  # None for small files, of which the hub tells none

    def is_at(self, path: Path, digest: str) -> bool:
        """Whether the file at `path`, of SHA-256 `digest`, is this one, as far as the hub tells."""
        return path.stat().st_size == self.size and self.sha256 in (None, digest)


def layout_of(path: Path) -> Path:
    """The root of the layout that a model's file lies in: the folder above its own."""
    folder = path.parent
    return folder.parent if folder.name not in ("", "..") else folder / ".."


def find_published(name: str, folder: Path | None = None, cache: Path | None = None) -> Path:
    """A file that is here already. `name`: in VToonify's layout, for example encoder.pt.

    Looked for in `folder` (a layout's root), checkpoint/, checkpoints/, models/ and the cache of huggingface_hub.
    Raises VtoonError that says where it goes and which command gets it.
    """
    from huggingface_hub import try_to_load_from_cache

    for root in (*([folder] if folder else []), *LAYOUTS):
        if (root / name).is_file():
            return root / name
    cached = try_to_load_from_cache(REPO, REPO_FOLDER + name, cache_dir=cache)
    if isinstance(cached, str):
        return Path(cached)
    where = f" --folder {folder}" if folder else ""
    command = f"python {SCRIPT} {name}{where}{tree_only(SCRIPT)}"
    raise VtoonError(f"{name} is missing: it goes to {(folder or FOLDER) / name}; get it with: {command}")


def find_missing(path: Path) -> Path:
    """The published file that should be at `path`: as `find_published` of its folder and name."""
    return find_published(f"{folder_name(path)}/{path.name}", layout_of(path))


def folder_name(path: Path) -> str:
    """Of the folder that a file lies in; links stay as they are, for the hub's cache is made of them."""
    return Path(os.path.abspath(path)).parent.name


def list_published(endpoint: str | None = None) -> list[HubFile]:
    """The files that the hub has. `endpoint`: a mirror's address."""
    from huggingface_hub import HfApi

    with _one_line("the list of files cannot be had"):
        entries = list(HfApi(endpoint=endpoint).list_repo_tree(REPO, recursive=True))
    found = [e for e in entries if e.path.startswith(REPO_FOLDER) and e.path.endswith(SUFFIXES) and _inside(e.path)]
    return [HubFile(e.path[len(REPO_FOLDER) :], e.path, e.size, e.lfs and e.lfs.sha256) for e in found]


def _inside(path: str) -> bool:
    """Whether what is left of a path in the repository stays in the folder it is put into, whatever a mirror says."""
    rest = PurePosixPath(path[len(REPO_FOLDER) :])
    return not rest.is_absolute() and ".." not in rest.parts


def choose(files: Sequence[HubFile], names: Sequence[str]) -> list[HubFile]:
    """The files that `names` stand for: a file, a whole folder (vtoonify_d_cartoon), or `all`.

    Raises VtoonError with the nearest names.
    """
    chosen: dict[str, HubFile] = {}
    for name in names:
        plain = name.strip("/")
        fitting = [f for f in files if plain == "all" or f.name == plain or f.name.startswith(f"{plain}/")]
        if not fitting:
            known = [f.name for f in files]
            near = difflib.get_close_matches(plain, known, n=3, cutoff=0.4) or known[:3]
            raise VtoonError(f"{REPO} has no {name!r}: did you mean {', '.join(near)}? (all of them: --list)")
        chosen |= {f.name: f for f in fitting}
    return list(chosen.values())


def fetch(file: HubFile, lock: Lock, endpoint: str | None = None) -> Path:
    """The file in the lock's folder, checked: fetched where it is not there yet, resumed where a part of it is.

    Raises VtoonError where the hub cannot be reached, or where the file is not what the hub or the lock says.
    """
    target = lock.path.parent / file.name
    if target.is_file():
        digest = sha256(target)
        if file.name not in lock.files and not file.is_at(target, digest):
            raise VtoonError(f"{target}: not the file that {REPO} has (SHA-256 differs); move it away to get that one")
    else:
        part = _download(file, target, endpoint)
        digest = sha256(part)
        if not file.is_at(part, digest):
            part.unlink()
            raise VtoonError(f"{file.name}: what arrived is not what {REPO} has (SHA-256 differs); run the same again")
        os.replace(part, target)
    lock.check(file.name, digest)
    return target


def _download(file: HubFile, target: Path, endpoint: str | None) -> Path:
    """The complete file, beside `target`. It is named after the content, so that no part of another one is resumed."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    part = target.with_name(f".{target.name}.{(file.sha256 or str(file.size))[:8]}.part")
    with _one_line(f"{file.name} could not be fetched; what has arrived is kept, so run the same again"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as out:
            # hf_hub_download would start from nothing again: it keeps no part of an ordinary download.
            http_get(
                hf_hub_url(REPO, file.path, endpoint=endpoint),
                out,
                resume_size=out.tell(),
                headers=build_hf_headers(),
                expected_size=file.size,
                displayed_filename=file.name,
            )
    return part


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # requests', httpx's or the hub's own, by its version; they share no base class
        raise VtoonError(f"{what} ({describe(error)[:200]})") from None
