"""`vtoon train`: a model of the built-in kind, of your own photos or drawings."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import arg

from vtoon.cli.common import Talk, guard, show_notices
from vtoon.cli.distillation import Distillation
from vtoon.errors import VtoonError

All = Annotated[list[str], arg(metavar="NAME", help_behavior_hint="(default: all)")]


@dataclass(frozen=True)
class Train:
    """Train a model of the built-in kind on drawings of your photos, by the built-in looks or by hand.

    On several GPUs: torchrun --nproc_per_node N -m vtoon train ...
    """

    faces: list[Path] = field(default_factory=list)
    """Folders of portraits, any size; faces are found and aligned once."""
    name: str = "own"
    """The run's folder under --runs: state, previews, curves, model.safetensors."""
    looks: All = field(default_factory=list)
    """Which looks to learn, by name."""
    pairs: list[str] = field(default_factory=list)
    """Looks of your own: name=folder of photos,folder of drawings of them under the same file names."""
    palettes: All = field(default_factory=list)
    """Which palettes the model offers, by name; the first must be 'own'."""
    init: Path | None = None
    """Start from this model's weights (transfer); looks it does not know start from its first one."""
    learning: Distillation = field(default_factory=Distillation)
    runs: Path = Path("runs")
    """Where runs and the cache of drawings live."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        """Raises VtoonError for what cannot be trained."""
        from vtoon.train.distributed import leave_distributed

        show_notices(self.messages)
        try:
            train(self)
        finally:
            leave_distributed()


def train(args: Train) -> Path:
    """Prepare faces and drawings, then train or resume. Returns the model file."""
    import numpy as np
    import torch

    from vtoon.models.builtin import BuiltinVToonify
    from vtoon.painters.engine import pick_device
    from vtoon.train.distributed import init_distributed, is_main, main_first
    from vtoon.train.init import unit_variance_
    from vtoon.train.looks import LOOKS, PALETTES, RAMPS, finish
    from vtoon.train.paired import prepare_pairs
    from vtoon.train.pairs import draw, prepare_faces
    from vtoon.train.recipes.distill import Batch, Distill
    from vtoon.train.teacher import PairTeacher, look_teacher, looks_version
    from vtoon.train.trainer import fit
    from vtoon.weights.checkpoint import load_checkpoint
    from vtoon.weights.dlib_embedding import load_face_embedding

    if not args.faces:
        raise VtoonError("name folders of portraits to learn on: --faces FOLDER [FOLDER ...]")
    args = replace(args, looks=args.looks or list(LOOKS), palettes=args.palettes or list(PALETTES))
    for kind, names, known in (("look", args.looks, LOOKS), ("palette", args.palettes, PALETTES)):
        for name in names:
            if name not in known:
                raise VtoonError(f"{kind} {name!r} does not exist; choose from {', '.join(known)}")
    if args.palettes[:1] != ["own"]:
        raise VtoonError(f"--palettes {' '.join(args.palettes)}: the first must be own, the colours of the photo")
    how = args.learning
    how.check()
    pair_sets = _pair_sets(args.pairs, LOOKS)
    device = init_distributed(str(pick_device(how.device)))
    torch.manual_seed(how.seed)
    cache = args.runs / "cache"
    with main_first():
        pictured = {name: prepare_pairs(*folders, cache) for name, folders in pair_sets.items()}
        faces = prepare_faces(args.faces, cache)
        drawings = {name: draw(faces, name, look_teacher(name), looks_version()) for name in args.looks} | pictured
    teacher = PairTeacher(faces, drawings, how.size, finish)
    model = BuiltinVToonify(list(drawings), args.palettes)
    for name in args.palettes[1:]:
        own, table = RAMPS[name]
        model.palettes.put(name, torch.from_numpy(table) / 127.5 - 1, own)
    if not args.init:
        rng = np.random.default_rng(how.seed)
        pairs = [teacher.pair(rng) for _ in range(8)]
        b = Batch.of(pairs, [teacher.face_sample(rng)], torch.device("cpu"))
        unit_variance_(model.net, lambda: model.draw(*b.drawn))
    else:
        model.adopt(load_checkpoint(args.init).model)

    def provenance(step: int) -> dict:
        photos = {"count": faces.originals, "credit": how.photo_credit}
        photos |= {f"pairs of {name}": len(drawn.faces) for name, drawn in pictured.items()}
        return {"command": " ".join(sys.argv), "steps": step, "batch": how.batch, "photos": photos}

    perceptual = load_face_embedding() if how.perc_loss else None
    recipe = Distill(model, teacher, how.options(torch.device(device)), perceptual, device, provenance)
    folder = args.runs / args.name
    done = fit(recipe, how.run_in(folder))
    if is_main() and not args.messages.quiet:
        print(f"{done} of {how.iter} steps done: {folder / 'model.safetensors'}")
    return folder / "model.safetensors"


def _pair_sets(texts: list[str], looks: Collection[str]) -> dict[str, tuple[Path, Path]]:
    """Of each name=photos,drawings the two folders, by name."""
    sets: dict[str, tuple[Path, Path]] = {}
    for text in texts:
        name, _, folders = text.partition("=")
        photos, _, drawings = folders.partition(",")
        if not name or not drawings:
            raise VtoonError(f"--pairs {text}: write it name=folder of photos,folder of drawings")
        if name in sets or name in looks:
            raise VtoonError(f"--pairs {text}: there is a look {name} already; give yours another name")
        for folder in (photos, drawings):
            if not Path(folder).is_dir():
                raise VtoonError(f"--pairs {text}: {folder} is not a folder")
        sets[name] = Path(photos), Path(drawings)
    return sets


def main(args: list[str]) -> None:
    """`vtoon train` by its old name."""
    command = tyro.cli(Train, prog="vtoon train", args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
    sys.exit(guard(command.run, command.messages.verbose))
