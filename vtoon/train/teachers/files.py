"""Teachers from the files that people have. Whatever does not fit is said before anything starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vtoon.errors import VtoonError
from vtoon.models.directions import closed_form_factorization
from vtoon.models.stylegan2 import Generator
from vtoon.painters.companions import load_encoder, load_parser
from vtoon.painters.parsing import Parser
from vtoon.train.teachers.dual import DualOptions, DualTeacher
from vtoon.train.teachers.faces import POSE_ROWS, FaceCodes
from vtoon.train.teachers.toonify import ToonifyTeacher, blended, default_weight
from vtoon.weights.generators import load_dual, load_generator, mean_latent
from vtoon.weights.hub import find_published
from vtoon.weights.published import load_directions, load_style_codes

Say = Callable[[str], None]
NUM_DIRECTIONS = 16  # of the closed-form factorization, where there is no directions.npy


@dataclass(frozen=True)
class Files:
    """What both kinds of teacher are made of, where VToonify's documentation puts it."""

    directions: Path
    style_encoder: Path | None  # None: every face has the average face's colours
    parsing: Path | None  # None: the network sees the photo alone


def dual_teacher(
    stylegan: Path, exstyle: Path, files: Files, options: DualOptions, device: torch.device, say: Say
) -> DualTeacher:
    """Raises VtoonError where a file is missing or of another kind, or the style or degree does not exist."""
    degree = options.degree
    if degree is not None and not 0 <= degree <= 1:
        raise VtoonError(f"style_degree is {degree}; it must be 0 (the photo) to 1 (the artwork)")
    if not exstyle.is_file():
        raise VtoonError(
            f"{exstyle}: no such file; it is DualStyleGAN's file of a style's codes (refined_exstyle_code.npy), which "
            "lies beside its generator.pt; name another with --exstyle_path"
        )
    codes = load_style_codes(exstyle)
    if options.style_id is not None and not 0 <= options.style_id < len(codes):
        raise VtoonError(f"style_id is {options.style_id}; {exstyle} has styles 0 to {len(codes) - 1}")
    dual = load_dual(stylegan).to(device)
    _check_rows(next(iter(codes.values())), dual.generator, exstyle)
    faces = _face_codes(dual.generator, mean_latent(dual.generator), files, say)
    return DualTeacher(faces, dual, torch.cat(list(codes.values())).to(device), options)


def toonify_teacher(
    stylegan: str | Path, finetuned: str | Path, weight: tuple[float, ...], files: Files, device: torch.device, say: Say
) -> ToonifyTeacher:
    """`weight`: the fine-tuned model's share of each layer; empty: the published one's half. Raises VtoonError as
    `dual_teacher` does."""
    base, toon = load_generator(stylegan), load_generator(finetuned)
    shares = list(weight) or default_weight(base.generator.num_latents)
    if len(shares) != base.generator.num_latents or not all(0 <= share <= 1 for share in shares):
        raise VtoonError(
            f"--weight has {len(shares)} numbers; a generator of {base.size} px takes {base.generator.num_latents}, "
            "one for each layer, 0 (stylegan_path) to 1 (finetunegan_path)"
        )
    faces = _face_codes(base.generator.to(device), base.mean_latent.to(device), files, say)
    return ToonifyTeacher(faces, blended(toon.generator.to(device), base.generator, shares))


def parser_of(files: Files, device: torch.device) -> Parser | None:
    """Raises VtoonError where it is missing."""
    if files.parsing is None:
        return None
    path = _companion(files.parsing, "--no_parsing trains without")
    return load_parser(path).to(device)


def _face_codes(generator: Generator, average: Tensor, files: Files, say: Say) -> FaceCodes:
    encoder = _encoder(generator, files)
    return FaceCodes(generator, _directions(generator, files.directions, say), encoder, average)


def _directions(generator: Generator, path: Path, say: Say) -> Tensor:
    device = generator.input.input.device
    if not path.is_file():
        say(f"{path} is not there: faces are moved along the {NUM_DIRECTIONS} first directions of the closed-form "
            "factorization of the generator")  # fmt: skip
        rows = range(*POSE_ROWS.indices(generator.num_latents))
        return closed_form_factorization(generator, rows, NUM_DIRECTIONS).to(device)
    directions = load_directions(path)
    _check_rows(directions, generator, path)
    return directions[:, : generator.num_latents].to(device)  # a smaller generator has the first rows


def _encoder(generator: Generator, files: Files) -> nn.Module | None:
    if files.style_encoder is None:
        return None
    encoder = load_encoder(_companion(files.style_encoder, "--no_style_encoder trains for one face's colours"))
    found, wanted = encoder.average.shape[0], generator.num_latents
    if encoder.average.ndim == 2 and found not in (1, wanted):
        raise VtoonError(
            f"{files.style_encoder}: it tells {found} rows of a style code, a generator of {generator.size} px takes "
            f"{wanted}; --no_style_encoder trains without one"
        )
    return encoder.to(generator.input.input.device)


def _check_rows(codes: Tensor, generator: Generator, path: Path) -> None:
    rows, dim = codes.shape[-2:]
    if dim != generator.style_dim or rows < generator.num_latents:
        raise VtoonError(
            f"{path}: codes of {rows} rows of {dim}; a generator of {generator.size} px takes "
            f"{generator.num_latents} of {generator.style_dim}"
        )


def _companion(path: Path, otherwise: str) -> Path:
    """The file, or where the hub's files lie. Raises VtoonError that says how to get it and how to do without."""
    if path.is_file():
        return path
    try:
        return find_published(path.name, path.parent if os.path.dirname(path) else None)
    except VtoonError as error:
        raise VtoonError(f"{error}; {otherwise}") from None
