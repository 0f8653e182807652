"""Bring the built-in model into a layout that costs less (`vtoon/train/recipes/fold.py`), on photos alone.

    python scripts/device/fold_default.py --faces photos --init checkpoints/default.safetensors --steps 9000 --out out

Stopped, the same command goes on from its state. --out has `model.safetensors` and previews.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from vtoon.train.batches import Batches
from vtoon.train.pairs import prepare_faces
from vtoon.train.recipes.distill import DistillOptions
from vtoon.train.recipes.fold import Fold, shapes_of
from vtoon.train.students import PRESETS
from vtoon.train.teacher import PairTeacher
from vtoon.train.trainer import TrainOptions, fit
from vtoon.weights.checkpoint import load_checkpoint
from vtoon.weights.dlib_embedding import load_face_embedding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, nargs="+", required=True, help="folders of portraits")
    parser.add_argument("--init", type=Path, required=True, help="the model")
    parser.add_argument("--preset", choices=list(PRESETS), default="small", help="the layout")
    parser.add_argument("--looks", nargs="+", help="of the model; default: all")
    parser.add_argument("--student", type=Path, help="what another run has made of it, to begin from")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=8, help="views")
    parser.add_argument("--size", type=int, default=128, help="side of a view, px")
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--often", nargs="*", default=["toon3d=3"], metavar="LOOK=TIMES", help="views of it, beside 1")
    parser.add_argument("--perc_loss", type=float, default=0.3)
    parser.add_argument("--tmp_loss", type=float, default=0.0)
    parser.add_argument("--adv_loss", type=float, default=0.1)
    parser.add_argument("--adv_from", type=float, default=0.6)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    start = load_checkpoint(args.init)
    model = start.model.of_looks(args.looks or start.model.codes.names).eval().requires_grad_(False)
    faces = prepare_faces(args.faces, args.cache)
    teacher = PairTeacher(faces, shapes_of(model, faces), args.size)
    paint = lambda *drawn: model.draw(*drawn, dtype=torch.bfloat16)  # noqa: E731
    often = {name: float(times) for name, _, times in (word.partition("=") for word in args.often)}
    shares = [often.get(look, 1.0) for look in teacher.looks]
    batches = Batches(teacher, args.batch, "cpu", faces=1, paint=paint, shares=shares)
    options = DistillOptions(
        args.steps, args.batch, args.lr, perc_loss=args.perc_loss, tmp_loss=args.tmp_loss, adv_loss=args.adv_loss,
        adv_from=args.adv_from, dtype=torch.bfloat16,
    )  # fmt: skip
    command = " ".join(["scripts/device/fold_default.py", *sys.argv[1:]])
    student = load_checkpoint(args.student) if args.student else None
    about = (student or start).provenance
    runs = [*about.get("folded", []), command]
    recipe = Fold(model, PRESETS[args.preset], batches, options, load_face_embedding() if args.perc_loss else None,
                  lambda step: about | {"folded": runs}, student and student.model)  # fmt: skip
    fit(recipe, TrainOptions(args.out, args.steps, log_every=20, preview_every=250, save_every=250))


if __name__ == "__main__":
    main()
