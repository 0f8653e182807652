"""Which snapshot of a fine-tuning: near enough to the drawings, not too far from the faces."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from vtoon.errors import VtoonError
from vtoon.image import save_image
from vtoon.latent.sampler import Sampler, load_sampler
from vtoon.latent.sheets import table
from vtoon.train.dataset import Dataset
from vtoon.train.faces import AlignedFaces
from vtoon.train.quality import Quality, find_features
from vtoon.weights.generators import save_generator

SEEDS = range(1, 7)  # of the sheet
COMPARED = range(1000, 1064)  # of the faces whose persons are compared
PSI = 0.7
PERSONS = 0.5  # what their distance counts beside the share of KID: by eye, on two hands of comics


@dataclass(frozen=True)
class Candidate:
    """A snapshot and what was measured."""

    number: int  # kimg, or the number of the single picture
    path: str
    kid: float | None  # to the drawings; None: there are too few
    identity: float  # mean distance of the embeddings of the same seeds before and after
    score: float  # less is better


def candidates_in(folder: Path) -> list[tuple[int, Path]]:
    """Snapshots by kimg, or N.pt by N. Raises VtoonError where there are none."""
    found = []
    for path in sorted(folder.glob("*.pt")):
        if match := re.fullmatch(r"(?:network-snapshot-)?(\d+)", path.stem):
            found.append((int(match[1]), path))
    if not found:
        raise VtoonError(f"{folder}: no snapshot in it (network-snapshot-000100.pt, or 0.pt, 1.pt, ...)")
    return sorted(found)


def measured(folder: Path, base: Sampler, data: Path | None) -> list[Candidate]:
    """Every snapshot: KID to the drawings, as a share of the base generator's own, plus half of how far persons move.

    At the start that is 1 + 0; drawings that are learned lower the first, persons that are lost raise the second.
    """
    quality = None if data is None else _quality(data, base)
    embed, rows = AlignedFaces(base.device), base.latents(COMPARED, PSI)
    start = None if quality is None else _kid(quality, base)
    before = _persons(base, rows, embed)
    return [_candidate(number, path, base, quality, start, before, embed) for number, path in candidates_in(folder)]


def _candidate(
    number: int,
    path: Path,
    base: Sampler,
    quality: Quality | None,
    start: float | None,
    before: torch.Tensor,
    embed: AlignedFaces,
) -> Candidate:
    sampler = load_sampler(path, str(base.device))
    if (sampler.size, sampler.dim) != (base.size, base.dim):
        raise VtoonError(f"{path}: draws {sampler.size} px; the base generator {base.path} draws {base.size} px")
    after = _persons(sampler, sampler.latents(COMPARED, PSI), embed)
    identity = float((after - before).norm(dim=1).mean())
    found = None if quality is None else _kid(quality, sampler)
    share = 0.0 if found is None else max(found, 0.0) / max(start, 1e-6)
    return Candidate(number, str(path), found, identity, share + PERSONS * identity)


def _quality(data: Path, base: Sampler) -> Quality:
    features = find_features(base.device, style=True)
    return Quality(Dataset(data, base.size, base.device), base.device, ("kid",), features)


def _kid(quality: Quality, sampler: Sampler) -> float:
    (value,) = quality(sampler.net).values()
    return value


@torch.no_grad()
def _persons(sampler: Sampler, rows: torch.Tensor, embed: AlignedFaces) -> torch.Tensor:
    return torch.cat([embed(sampler.net(part)) for part in rows.split(4)])


def chosen(found: Sequence[Candidate], take: int | None) -> Candidate:
    """The best, or the one that is asked for. Raises VtoonError where that is not there."""
    if take is None:
        return min(found, key=lambda each: each.score)
    for each in found:
        if each.number == take:
            return each
    raise VtoonError(f"there is no snapshot {take}; there are {', '.join(str(each.number) for each in found)}")


def write(found: Sequence[Candidate], best: Candidate, base: Sampler, out: Path) -> None:
    """OUT.pt, the generator alone; OUT.png, the same seeds along the run; OUT.json, the numbers."""
    taken = load_sampler(best.path, str(base.device))
    save_generator(out, taken.net, taken.mean)
    rows, names = [base.pictures(base.latents(SEEDS, PSI))], ["base"]
    for each in found:
        sampler = load_sampler(each.path, str(base.device))
        rows.append(sampler.pictures(sampler.latents(SEEDS, PSI)))
        kid = "" if each.kid is None else f" KID {each.kid:.3g}"
        names.append(f"{'> ' if each is best else ''}{each.number}{kid} id {each.identity:.2f}")
    save_image(out.with_suffix(".png"), table(rows, down=names))
    content = {"taken": best.number, "candidates": [asdict(each) for each in found]}
    out.with_suffix(".json").write_text(json.dumps(content, indent=1))
