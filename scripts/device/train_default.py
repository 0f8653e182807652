"""Train the built-in model on a packed set (`pack_default.py`), on a machine with a GPU and many cores, in minutes.

    python scripts/device/train_default.py --data data.npz --init checkpoints/default.safetensors --minutes 9 --out out

Sheets and drawings are made first, by all cores, and kept under --work; the same command then goes on from the last
state as if it had not stopped. The step rate is measured, and the learning rate's schedule laid so that it ends with
the time. --out has, every minute, `model.safetensors`, `preview.png` and `log.jsonl`. Needs torch, torchvision, numpy,
OpenCV, scipy, safetensors, Pillow, tqdm and psutil; neither dlib nor PyAV.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from vtoon.image import save_image, to_tensor, to_uint8
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.face_embedding import FaceEmbedding
from vtoon.train.batches import Batches
from vtoon.train.looks import LOOKS, PALETTES, RAMPS, finish, warp
from vtoon.train.packed import load_pack, unpack
from vtoon.train.pairs import SHEET
from vtoon.train.recipes.distill import MODEL_FILE, Distill, DistillOptions
from vtoon.train.teacher import PairTeacher
from vtoon.train.trainer import TrainOptions, fit, run_phase
from vtoon.weights.checkpoint import load_checkpoint

SPARE = 30.0  # seconds at the end for the last preview and files
KEPT = 0.6  # of the photo's fine detail, in a new look's first drawings
TRIED = (64, 112)  # batches among which --batch 0 chooses
ENOUGH = 0.8  # of the best rate of samples: a smaller batch that has it makes more steps
SHOWN = 6  # faces on a preview


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="model to start from")
    parser.add_argument("--looks", nargs="+", help="default: toon3d, then those of --init")
    parser.add_argument("--minutes", type=float, default=9.0, help="of the whole command")
    parser.add_argument("--steps", type=int, help="as many, whatever time they take, instead of a measured number")
    parser.add_argument("--batch", type=int, default=0, help="0: measured")
    parser.add_argument("--size", type=int, default=160, help="side of a view, px")
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--favoured", type=float, default=0.5, help="share of the first look")
    parser.add_argument("--many", type=int, help="sheets that the first look draws; default: all")
    parser.add_argument("--few", type=int, default=200, help="sheets that the other looks draw")
    parser.add_argument("--faces", type=int, help="take this many only, for a trial")
    parser.add_argument("--amp", choices=("bf16", "none"), default="bf16")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--perc_loss", type=float, default=0.3)
    parser.add_argument("--tmp_loss", type=float, default=1.0)
    parser.add_argument("--adv_loss", type=float, default=0.1)
    parser.add_argument("--adv_from", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/default"), help="sheets, drawings, state")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--credit", default="SFHQ (MIT), faker-js portraits (CC0), face2comics samples (MIT); all synthetic"
    )
    return parser.parse_args()


def main() -> None:
    begin, args = time.monotonic(), arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sets = load_pack(args.data)
    if args.faces:
        sets = {name: replace(s, files=s.files[: args.faces], points=s.points[: args.faces],
                              drawings=s.drawings[: args.faces]) for name, s in sets.items()}  # fmt: skip
    start = load_checkpoint(args.init).model if args.init else None
    names = args.looks or ["toon3d", *(n for n in (start.codes.names if start else LOOKS) if n != "toon3d")]
    drawn = [name for name in names if name in LOOKS]
    wanted = {k: s for k, s in sets.items() if k == "faces" or k in names}
    counts = {name: args.few if i else args.many for i, name in enumerate(drawn)}
    drawings = unpack(wanted, args.work / "sheets", counts, args.workers)
    say(begin, f"{len(drawings[drawn[0]].faces)} sheets, looks {' '.join(names)}")
    teacher = PairTeacher(drawings[drawn[0]].faces, {n: drawings[n] for n in names}, args.size, finish)
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    model, perceptual = new_model(names, start), embedding(args.data) if args.perc_loss else None
    options = DistillOptions(
        steps=args.steps or 1, lr=args.lr, perc_loss=args.perc_loss, tmp_loss=args.tmp_loss, adv_loss=args.adv_loss,
        adv_from=args.adv_from, seed=args.seed, dtype=torch.bfloat16 if args.amp == "bf16" else torch.float32,
    )  # fmt: skip
    build = lambda model, batches, options: Distill(  # noqa: E731
        model, teacher, options, perceptual, device, provenance(args, sets, batches), batches.make
    )
    batches = Batches(teacher, args.batch or TRIED[0], device, args.seed, args.favoured)
    say(begin, "sheets on the device")
    plan = args.work / "plan.json"
    if not plan.exists():
        measured = {
            b: rates(build, copy.deepcopy(model), batches, options, b) for b in ([args.batch] if args.batch else TRIED)
        }
        say(begin, "seconds a step, early and late, by batch: " + json.dumps(measured))
        batch = chosen(measured)
        early, late = measured[batch]
        left = args.minutes * 60 - (time.monotonic() - begin) - SPARE
        share = 0.5 * (1 + args.adv_from)  # of the steps that cost less
        steps = args.steps or max(1, int(0.97 * left / (share * early + (1 - share) * late)))
        plan.write_text(json.dumps({"batch": batch, "steps": steps, "seconds": late}))
    planned = json.loads(plan.read_text())
    batches.batch = planned["batch"]
    recipe = build(model, batches, replace(options, steps=planned["steps"], batch=planned["batch"]))
    say(begin, f"{planned['steps']} steps of {planned['batch']}")
    limit = args.minutes * 60 - (time.monotonic() - begin) - SPARE
    if not args.steps:  # where the rate was misjudged
        guard = threading.Timer(max(1.0, limit), os.kill, (os.getpid(), signal.SIGTERM))
        guard.daemon = True
        guard.start()
    done = fit(followed(recipe, teacher, args, begin), run_options(args, planned))
    deliver(args)
    say(begin, f"{done} steps done: {args.out / MODEL_FILE}")


def say(begin: float, text: str) -> None:
    print(f"{time.monotonic() - begin:6.1f} s  {text}", flush=True)


def new_model(names: list[str], start: BuiltinVToonify | None) -> BuiltinVToonify:
    model = BuiltinVToonify(names, list(PALETTES))
    for name in model.palettes.names[1:]:
        own, table = RAMPS[name]
        model.palettes.put(name, torch.from_numpy(table) / 127.5 - 1, own)
    if start:
        model.adopt(start)
    with torch.no_grad():
        for i, name in enumerate(names):
            if start is None or name not in start.codes.names:
                model.details[i] = KEPT
    return model


def embedding(data: Path) -> FaceEmbedding:
    """Its first layers, as `pack_default.py` has written them."""
    net = FaceEmbedding()
    with np.load(data.with_suffix(".embedding.npz")) as file:
        net.load_state_dict({key: torch.from_numpy(file[key]).float() for key in file}, strict=False)
    return net


def rates(build, model: BuiltinVToonify, batches: Batches, options: DistillOptions, batch: int) -> tuple[float, float]:
    """Seconds a step before the discriminator has come and at the end, on a copy that is thrown away."""
    batches.batch = batch
    trial = replace(options, steps=8, batch=batch)
    recipe = build(model, batches, trial)
    seconds = []
    for steps in ((0, 1), (8, 9)):  # these come after the last, with every term
        for counted in (False, True):
            if counted:
                synchronise()
                begin = time.perf_counter()
            for step in steps * (3 if counted and torch.cuda.is_available() else 1):
                run = recipe.next_batch(step)
                for phase in recipe.phases:
                    if phase.due(step):
                        run_phase(phase, run)
                recipe.end_step(step)
            synchronise()
        seconds.append((time.perf_counter() - begin) / len(steps * (3 if torch.cuda.is_available() else 1)))
    return seconds[0], seconds[1]


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def chosen(measured: dict[int, tuple[float, float]]) -> int:
    """The smallest batch that makes nearly as many samples a second as the best."""
    samples = {batch: batch / late for batch, (_, late) in measured.items()}
    return min(batch for batch, rate in samples.items() if rate >= ENOUGH * max(samples.values()))


def provenance(args: argparse.Namespace, sets: dict, batches: Batches):
    """What the model file says of its making."""
    photos = {"count": len(sets["faces"]), "credit": args.credit}
    photos |= {f"pairs of {name}": len(s) for name, s in sets.items() if name in batches.teacher.looks}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    command = " ".join([f"scripts/device/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    about = {"command": command, "photos": photos, "device": device}
    return lambda step: about | {"steps": step, "batch": batches.batch}


def run_options(args: argparse.Namespace, planned: dict) -> TrainOptions:
    """A preview and a save about every minute."""
    minute = max(1, int(60 / planned["seconds"]))
    return TrainOptions(
        args.work / "run", planned["steps"], log_every=max(1, minute // 6), preview_every=minute, save_every=minute
    )


def followed(recipe: Distill, teacher: PairTeacher, args: argparse.Namespace, begin: float) -> Distill:
    """The recipe, whose previews are whole faces, and whose files are delivered as they come."""
    export = recipe.export

    def preview() -> np.ndarray:
        try:
            picture = whole_faces(recipe, teacher)
        except RuntimeError as error:  # a run that cannot be shown goes on
            say(begin, f"no preview: {error}")
            picture = np.zeros((8, 8, 3), np.uint8)
        args.out.mkdir(parents=True, exist_ok=True)
        save_image(args.out / "preview.png", picture)
        say(begin, f"step {recipe.step}")
        return picture

    def delivered(folder: Path, step: int) -> None:
        export(folder, step)
        deliver(args)

    recipe.preview, recipe.export = preview, delivered
    return recipe


def deliver(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    for name in (MODEL_FILE, "log.jsonl"):
        if (args.work / "run" / name).exists():
            shutil.copyfile(args.work / "run" / name, args.out / name)


@torch.no_grad()
def whole_faces(recipe: Distill, teacher: PairTeacher) -> np.ndarray:
    """Rows of photo, first look's drawing, the model's; below, the other looks of one face."""
    model, device, rows = recipe.ema.module, recipe.device, []
    drawn = teacher.drawings[teacher.looks[0]]
    size = model.codes.looks.new_tensor([[128.0]])
    one = torch.ones(1, 1, device=device)

    def result(photo: np.ndarray, look: int) -> np.ndarray:
        index = torch.tensor([look], device=device)
        return to_uint8(model(to_tensor(photo, device), index, None, one, size, recipe.options.dtype))[0]

    for face in np.linspace(0, len(drawn.sheets) - 1, SHOWN).astype(int):
        photo = np.array(drawn.faces.photos[face])
        offsets = cv2.resize(drawn.offsets[face].astype(np.float32), (SHEET, SHEET))
        rows.append([photo, warp(np.array(drawn.sheets[face]), offsets), result(photo, 0)])
    looks = [result(photo, i) for i in range(1, len(teacher.looks))]
    shrink = lambda image: cv2.resize(image, (320, 320), interpolation=cv2.INTER_AREA)  # noqa: E731
    flat = [shrink(image) for row in rows for image in row] + [shrink(image) for image in looks]
    flat += [np.zeros_like(flat[0])] * (-len(flat) % 6)
    return np.concatenate([np.concatenate(flat[i : i + 6], 1) for i in range(0, len(flat), 6)])


if __name__ == "__main__":
    main()
