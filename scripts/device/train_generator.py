"""Teach StyleGAN2 for some minutes on one graphics card, on a packed set of pictures: a bare machine is enough (torch,
torchvision, numpy, OpenCV, SciPy, safetensors, TensorBoard).

    python scripts/device/train_generator.py --data faces.npy --size 128 --batch 64 --amp bf16 --minutes 9 --out run
    python scripts/device/train_generator.py --data faces.npy --size 128 --batch 64 --amp bf16 --minutes 9 --out run
    python scripts/device/train_generator.py --data comics.npy --resume run/network-snapshot-000400.pt --out comic \\
        --batch 32 --amp bf16 --minutes 6 --freeze_style 4 --structure_loss 3 --mirror

The second command goes on where the first has stopped, to the bit. It ends by itself, a minute before `--minutes`.
`--carry FOLDER` keeps there what is small enough to take home: the averaged generator and the discriminator in half
precision, in pieces (`cat model.pt.* > model.pt` joins them to a file that `--resume` and every command takes), the
log, the last preview.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from vtoon.errors import VtoonError
from vtoon.models.discriminator import Discriminator
from vtoon.train.dataset import Dataset
from vtoon.train.lessons import FinetuneOptions
from vtoon.train.recipes.finetune import StyleGANFinetune
from vtoon.train.trainer import TrainOptions, fit, tune_device
from vtoon.weights.generators import mean_latent
from vtoon.weights.growth import grown
from vtoon.weights.snapshots import New, Start, load_start, new_start

STARTED = time.monotonic()
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PIECE = 15 * 2**20  # bytes
SPARE = 1.0  # minutes before the limit at which the run saves and ends


def parse(args: list[str] | None = None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True, help="packed .npy (uint8 [N, H, W, 3]), folder, zip or LMDB")
    p.add_argument("--out", type=Path, required=True, help="folder of the run; a run that is there goes on")
    p.add_argument("--resume", help="a snapshot or published model to go on from")
    p.add_argument("--size", type=int, help="px, of a model from nothing (128); one that is resumed grows to it")
    p.add_argument("--channels", type=int, default=1, help="multiplier, of a model from nothing: 2 is as published")
    p.add_argument("--most_channels", type=int, default=512, help="of any layer: small for a dry run")
    p.add_argument("--style_dim", type=int, default=512)
    p.add_argument("--mapping_layers", type=int, default=8)
    p.add_argument("--minutes", type=float, default=10.0, help="limit of the whole process")
    p.add_argument("--spare", type=float, default=SPARE, help="minutes before the limit at which it ends")
    p.add_argument("--kimg", type=float, default=25_000.0, help="end after so many thousand pictures")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--accumulate", type=int, default=1)
    p.add_argument("--amp", choices=DTYPES, default="bf16")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--nchw", action="store_true", help="lay features out as on a CPU, not channels last")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--gamma", type=float, help="of R1; default 0.0002 size^2 / batch")
    p.add_argument("--path", type=float, help="weight of path lengths; default 2 from nothing, else 0")
    p.add_argument("--augpipe", default="bgc")
    p.add_argument("--ada_target", type=float, default=0.6)
    p.add_argument("--ada_p", type=float, default=0.0)
    p.add_argument("--ada_kimg", type=float, help="default 500 from nothing, else 100")
    p.add_argument("--fixed_p", action="store_true", help="p stays at --ada_p")
    p.add_argument("--ema_kimg", type=float)
    p.add_argument("--mirror", action="store_true")
    p.add_argument("--freeze_d", type=int, default=0)
    p.add_argument("--freeze_g", type=int, default=0)
    p.add_argument("--freeze_fc", action="store_true")
    p.add_argument("--freeze_style", type=int, default=0)
    p.add_argument("--structure_loss", type=int, default=0)
    p.add_argument("--structure_weight", type=float, default=1.0)
    p.add_argument("--carry", type=Path, help="folder for small copies of what there is at each save")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--preview_minutes", type=float, default=1.0)
    p.add_argument("--save_minutes", type=float, default=2.0)
    p.add_argument("--log_every", type=int, default=50)
    return p.parse_args(args)


def start_of(args: argparse.Namespace) -> Start:
    """What is taught: a model that is there, or a new one."""
    shape = New(args.size or 128, args.channels, args.most_channels, args.style_dim, args.mapping_layers)
    if not args.resume:
        return new_start(shape, args.seed)
    torch.manual_seed(args.seed)  # of what is new
    return grown(load_start(args.resume), args.size, shape.channels)


def options_of(args: argparse.Namespace) -> FinetuneOptions:
    new = not args.resume
    return FinetuneOptions(
        batch=args.batch,
        gamma=args.gamma,
        lr=args.lr,
        path_weight=(2.0 if new else 0.0) if args.path is None else args.path,
        ema_kimg=args.ema_kimg,
        ema_rampup=0.05 if new else None,
        ada_target=None if args.fixed_p else args.ada_target,
        ada_p=args.ada_p,
        ada_kimg=(500 if new else 100) if args.ada_kimg is None else args.ada_kimg,
        augpipe=args.augpipe if args.augpipe != "none" else "",
        mirror=args.mirror,
        freeze_g=args.freeze_g,
        freeze_d=args.freeze_d,
        freeze_fc=args.freeze_fc,
        freeze_style=args.freeze_style,
        structure_loss=args.structure_loss,
        structure_weight=args.structure_weight,
        channels_last=not args.nchw and args.device.startswith("cuda"),
        compile=args.compile,
        seed=args.seed,
        device=torch.device(args.device),
        dtype=DTYPES[args.amp],
    )


class Recipe(StyleGANFinetune):
    """Keeps the newest snapshot alone, and small copies."""

    carry: Path | None = None

    def export(self, folder: Path, step: int) -> None:
        before = list(folder.glob("network-snapshot-*.pt"))
        super().export(folder, step)
        newest = folder / f"network-snapshot-{self.kimg(step):06d}.pt"
        for path in before:
            if path != newest:
                path.unlink()
        if self.carry:
            self._pack(folder, step)

    def _pack(self, folder: Path, step: int) -> None:
        self.carry.mkdir(parents=True, exist_ok=True)
        halves = {name: {k: v.half().cpu() for k, v in net.state_dict().items()}
                  for name, net in (("g_ema", self.ema.module), ("d", self.disc))}  # fmt: skip
        mean = mean_latent(self.ema.module).cpu()
        file = io.BytesIO()
        torch.save(halves | {"latent_avg": mean, "ada_aug_p": self.ada.p, "kimg": self.kimg(step)}, file)
        data = file.getvalue()
        for old in self.carry.glob("model.pt.*"):
            old.unlink()
        for i in range(0, len(data), PIECE):
            (self.carry / f"model.pt.{i // PIECE:02d}").write_bytes(data[i : i + PIECE])
        for name in ["log.jsonl", *sorted(p.name for p in folder.glob("preview_*.png"))[-1:]]:
            if (folder / name).exists():
                target = "preview.png" if name.endswith(".png") else name
                (self.carry / target).write_bytes((folder / name).read_bytes())


def train(args: argparse.Namespace) -> int:
    """Returns the steps done."""
    tune_device(torch.device(args.device))
    start, options = start_of(args), options_of(args)
    net = start.net
    data = Dataset(args.data, net.size, options.device)
    where = "on the device" if data.in_memory else "read as it goes"
    weights = sum(p.numel() for p in net.parameters()) / 1e6
    print(f"{len(data)} pictures {where}, {net.size} px, {weights:.1f} M weights")
    disc = start.disc or Discriminator(net.size, net.channels)
    recipe = Recipe(net, disc, data, options, start.average)
    recipe.carry = args.carry
    goes_on = recipe.go_on(start)
    state = args.out / "state.pt"
    begun = f"goes on from {state if state.exists() else start.path}" if goes_on or state.exists() else "begins"
    print(f"{begun}; model: {start.path}; gamma {recipe.gamma:.3g}", flush=True)
    left = args.minutes - args.spare - (time.monotonic() - STARTED) / 60
    run = TrainOptions(
        args.out,
        steps=round(1000 * args.kimg / options.images),
        log_every=args.log_every,
        preview_every=10**9,
        save_every=10**9,
        accumulate=args.accumulate,
        previews="preview_{step:06d}.png",
        start=goes_on,
        minutes=max(left, 0.0),
        preview_minutes=args.preview_minutes,
        save_minutes=args.save_minutes,
        images=options.images,
    )
    before = time.monotonic()
    done = fit(recipe, run)
    print(f"{done} steps, {done * options.images / 1000:.1f} kimg, {time.monotonic() - before:.0f} s: {args.out}")
    return done


if __name__ == "__main__":
    try:
        train(parse())
    except VtoonError as error:
        raise SystemExit(f"error: {error}") from None
