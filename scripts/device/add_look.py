"""Teach a trained built-in model one more look, in minutes on a CPU: see `vtoon/train/recipes/add_look.py`.

    python scripts/device/add_look.py --data data.npz --init checkpoints/default.safetensors --look caricature --out out

--data is packed by `pack_default.py`. Stopped, the same command goes on from its state. --out has `model.safetensors`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from train_default import embedding

from vtoon.train.batches import Batches
from vtoon.train.looks import LOOKS, SHAPES, finish
from vtoon.train.packed import load_pack, unpack
from vtoon.train.recipes.add_look import AddLook
from vtoon.train.recipes.distill import DistillOptions
from vtoon.train.teacher import PairTeacher
from vtoon.train.trainer import TrainOptions, fit
from vtoon.weights.checkpoint import load_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", type=Path, required=True, help="the model")
    parser.add_argument("--look", choices=list(LOOKS), required=True)
    parser.add_argument("--like", nargs="+", default=["toon3d=1"], metavar="LOOK=SHARE", help="what it starts from")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=4, help="views")
    parser.add_argument("--size", type=int, default=128, help="side of a view, px")
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--few", type=int, default=130, help="sheets that the look draws")
    parser.add_argument("--share", type=float, default=1.0, help="of the way from the mixture to what was learned")
    parser.add_argument("--hold", nargs="*", default=[], metavar="LOOK", help="looks that hold the skin's own tone")
    parser.add_argument("--eyes", nargs="*", default=[], metavar="LOOK", help="looks whose eyes are painted anew")
    parser.add_argument("--perc_loss", type=float, default=0.3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/default"), help="sheets and drawings")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    like = {name: float(share) for name, _, share in (text.partition("=") for text in args.like)}
    faces = {"faces": load_pack(args.data)["faces"]}
    drawings = unpack(faces, args.work / "sheets", {args.look: args.few}, args.workers)
    teacher = PairTeacher(drawings[args.look].faces, drawings, args.size, finish)
    batches = Batches(teacher, args.batch, "cpu", faces=1)
    start = load_checkpoint(args.init)
    options = DistillOptions(args.steps, args.batch, args.lr, perc_loss=args.perc_loss, tmp_loss=0.0,
                             dtype=torch.bfloat16)  # fmt: skip
    about = start.provenance | {f"look {args.look}": " ".join(["scripts/device/add_look.py", *sys.argv[1:]])}
    recipe = AddLook(start.model, args.look, like, batches, options,
                     embedding(args.data) if args.perc_loss else None, lambda step: about, args.share)  # fmt: skip
    for model in (recipe.model, recipe.ema.module):
        model.traits[-1] = SHAPES[args.look].traits
        for flags, names in ((model.holds, args.hold), (model.eyes, args.eyes)):
            for name in names:
                flags[model.codes.names.index(name)] = 1.0
    fit(recipe, TrainOptions(args.out, args.steps, preview_every=50, save_every=25))


if __name__ == "__main__":
    main()
