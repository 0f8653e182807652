"""`vtoon finetune`: a generator of your own pictures, from one that draws faces or from nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from vtoon.cli.common import Talk, show_notices
from vtoon.cli.finetune_flags import Augmentation, Count, Keeping, Machine, Number
from vtoon.cli.finetune_names import PublishedNames
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import torch

    from vtoon.models.discriminator import Discriminator
    from vtoon.models.stylegan2 import Generator
    from vtoon.train.dataset import Dataset
    from vtoon.train.lessons import FinetuneOptions
    from vtoon.train.recipes.finetune import StyleGANFinetune
    from vtoon.train.trainer import TrainOptions
    from vtoon.weights.snapshots import Start

LARGE = 512  # px from which models from nothing are as wide as published
ALONE = 4000  # pictures, at most, that a new discriminator sees before a generator that can draw learns from it


@dataclass(frozen=True)
class Finetune:
    """Teach a StyleGAN2 to draw as your pictures are drawn.

    The run is OUTDIR: network-snapshot-NNNNNN.pt (numbered by thousand pictures, taken by every command that takes a
    generator), previews, log.jsonl, curves, and the state from which the same command goes on as if it had never
    stopped. On several GPUs: torchrun --nproc_per_node N -m vtoon finetune ...
    """

    data: Annotated[Path | None, arg(aliases=["--path"], metavar="PATH", help_behavior_hint="")] = None
    """Square pictures of one size: a folder, .zip of StyleGAN2-ADA, LMDB, or packed .npy; see `vtoon dataset`."""
    resume: Annotated[str | None, arg(aliases=["--ckpt"], metavar="CKPT|NAME", help_behavior_hint="")] = None
    """The model to go on from: .pt or .pkl, or ffhq256, ffhq1024 ... in checkpoint/; none, or without it: from
    nothing."""
    outdir: Annotated[Path, arg(aliases=["-o"], metavar="PATH")] = Path("runs/finetune")
    """Folder of the run."""
    size: Count = None
    """Side of the pictures, px, of a model from nothing: 8 to 1024. A resumed model that draws smaller ones grows."""
    channel_multiplier: Annotated[int | None, arg(metavar="1|2", help_behavior_hint="")] = None
    """Width of a model from nothing: 2 as published (default from 512 px on), 1 is half of that."""
    most_channels: Number = 512
    """Of any layer of a model from nothing: fewer are faster."""
    warm_up: Annotated[float, arg(metavar="KIMG")] = 0.0
    """Of a model from nothing: for so many thousand pictures more it learns to draw the pictures themselves, without a
    discriminator. 20 to 40 spare the hundred that it would take to find out what a face is."""
    kimg: Annotated[float, arg(metavar="KIMG")] = 1000.0
    """Thousand pictures to show, those before included."""
    minutes: Annotated[float | None, arg(metavar="N", help_behavior_hint="(default: as long as it takes)")] = None
    """End by itself after N minutes; a snapshot is written, and the same command goes on."""
    nkimg: Annotated[float | None, arg(metavar="KIMG", help_behavior_hint="")] = None
    """Thousand pictures that the resumed model has seen: the count goes on from there."""
    batch: Number = 16
    """Pictures a step, for each process."""
    snap: Number = 5
    """Ticks between two snapshots."""
    tick: Annotated[float, arg(metavar="KIMG")] = 4.0
    """Thousand pictures in a tick; snapshots have the number of whole kimg."""
    gamma: Annotated[float | Literal["auto"], arg(aliases=["--r1"], metavar="auto|R1")] = "auto"
    """Of the R1 penalty; auto is 0.0002 size^2 / batch."""
    lr: float = 2e-3
    """Learning rate."""
    mixing: Annotated[float, arg(metavar="SHARE")] = 0.9
    """Chance that a face is of two latents."""
    path_regularize: Annotated[float | None, arg(metavar="WEIGHT", help_behavior_hint="")] = None
    """Of the path length penalty (default: 2 from nothing; off for a resumed model)."""
    ema_kimg: Annotated[float | None, arg(metavar="KIMG", help_behavior_hint="")] = None
    """The average forgets half after so many (default: batch 10 / 32)."""
    metrics: Annotated[str, arg(metavar="auto|none|kid,fid,pr")] = "auto"
    """With each snapshot, how near it is to the pictures: KID, FID, precision and recall, of at most 1000 pictures; by
    Inception where its weights are here, else by dlib's face network (from nothing by its embedding, which tells
    persons, of a resumed model by its first features, which tell styles), and that is said. auto is all three, and
    nothing where neither can be; StyleGAN2-ADA's names (fid50k_full) are taken."""
    preview: Count = None
    """Steps between two preview sheets (default: one each tick)."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    keeping: Keeping = field(default_factory=Keeping)
    machine: Machine = field(default_factory=Machine)
    names: PublishedNames = field(default_factory=PublishedNames)
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.train.distributed import init_distributed, leave_distributed

        show_notices(self.messages)
        meant = replace(self, **self.names.settings(self))
        meant._check()
        device = init_distributed(_device(self.machine.device))
        try:
            meant._fit(device)
        finally:
            leave_distributed()

    def _fit(self, device: str) -> None:
        from vtoon.train.distributed import is_main
        from vtoon.train.trainer import fit

        begun = time.monotonic()
        if self._new and self.warm_up and not self._warmed(device):
            return
        minutes = None if self.minutes is None else max(0.0, self.minutes - (time.monotonic() - begun) / 60)
        recipe, start = self._recipe(device)
        images = recipe.options.images
        tick = self._steps(self.tick, images)
        options = self._run_of(
            self.kimg,
            images,
            save_every=self.snap * tick,
            accumulate=self.machine.accumulate,
            previews="preview_{step:06d}.png",
            start=start,
            minutes=minutes,
        )
        done = fit(recipe, options)
        if is_main() and not self.messages.quiet:
            end = "" if done >= options.steps else "; the same command goes on"
            print(f"{self.outdir / recipe.name_of(done)}.pt: {done * images / 1000:.1f} of {self.kimg:g} kimg{end}")

    @staticmethod
    def _steps(kimg: float, images: int) -> int:
        return max(1, round(1000 * kimg / images))

    def _run_of(self, kimg: float, images: int, **more: object) -> TrainOptions:
        """A training of so many thousand pictures, `images` a step, in this command's folder."""
        from vtoon.train.trainer import TrainOptions

        tick = self._steps(self.tick, images)
        often = {"log_every": max(1, min(tick // 4, 50)), "preview_every": self.preview or tick}
        return TrainOptions(self.outdir, self._steps(kimg, images), images=images, **often, **more)

    def _warmed(self, device: str) -> bool:
        """Whether the warm-up is done, which it then is for good; else the same command goes on with it."""
        import torch

        from vtoon.train.dataset import Dataset
        from vtoon.train.distributed import any_rank, is_main
        from vtoon.train.recipes.warm_up import WarmUp
        from vtoon.train.trainer import fit, tune_device

        if self._warm.is_file():
            return True
        where = torch.device(device)
        tune_device(where)
        net = self._from_nothing().net
        options = self._options(where, net, None)
        steps, tick = (self._steps(kimg, options.images) for kimg in (self.warm_up, self.tick))
        run = self._run_of(
            self.warm_up,
            options.images,
            save_every=steps,
            save_begin=steps,
            state_every=self.snap * tick,
            previews="warm_up_{step:06d}.png",
            state="warm-up-state.pt",
            logs=self.outdir / "warm-up",
            minutes=self.minutes,
        )
        done = fit(WarmUp(net, Dataset(self.data, self.size, where), options, steps), run)
        any_rank(False)  # the file is there before the others look for it
        if is_main() and not self.messages.quiet:
            end = f"{self._warm}: warm" if done >= steps else f"{self.outdir}: not yet warm; the same command goes on"
            print(f"{end}, after {done * options.images / 1000:.1f} of {self.warm_up:g} kimg")
        return done >= steps

    @property
    def _warm(self) -> Path:
        return self.outdir / "warm-up.pt"

    @property
    def _new(self) -> bool:
        return self.resume in (None, "none")

    def _check(self) -> None:
        """Raises VtoonError for numbers that cannot be, before anything is read."""
        from vtoon.train.quality import read_metrics

        a, k = self.augmentation, self.keeping
        read_metrics(self.metrics)
        if self.data is None:
            raise VtoonError("name the pictures: --data PATH, a folder, .zip, LMDB or packed .npy")
        counts = min(self.batch, self.snap, self.most_channels)
        if counts < 1 or not 0 < self.kimg <= 10**6 or not self.tick > 0 or not 0 < self.lr < 1:
            numbers = f"batch is {self.batch}, snap {self.snap}, kimg {self.kimg:g}, tick {self.tick:g}, lr {self.lr:g}"
            raise VtoonError(
                f"{numbers}; batch and snap must be 1 or more, kimg and tick above 0, lr above 0 and under 1"
            )
        if not 0 <= self.warm_up <= 10**6:
            raise VtoonError(f"warm_up is {self.warm_up:g}; it must be 0 or more thousand pictures")
        if self.minutes is not None and self.minutes < 0:
            raise VtoonError(f"minutes is {self.minutes:g}; it must be 0 or more")
        if not 1 <= self.machine.accumulate <= self.batch or self.batch % self.machine.accumulate:
            raise VtoonError(f"accumulate is {self.machine.accumulate}; it must divide the batch, {self.batch}")
        path = self.path_regularize if self.path_regularize is not None else float(self._new)
        paying = max(1, self.batch // self.names.path_batch_shrink)
        if path and self.machine.accumulate > paying:
            most = f"it can be up to {paying}, or give --path_regularize 0"
            raise VtoonError(f"accumulate is {self.machine.accumulate}; path lengths are of part of a batch: {most}")
        for name, value in (("target", a.target), ("p", a.p), ("mixing", self.mixing)):
            if not 0 <= value <= 1:
                raise VtoonError(f"{name} is {value:g}; it must be 0 to 1")
        if k.triplet and not (k.positive and k.negative):
            raise VtoonError("--triplet needs two generators: --positive CKPT --negative CKPT")
        if (k.freeze_g and k.last_g >= 0) or (k.freeze_d and k.last_d >= 0):
            raise VtoonError(
                "--freezeG and --freezeD count what is taught, --freeze_g and --freeze_d what stays; give one"
            )
        kept = [k.freeze_g, k.freeze_d, k.freeze_style, k.structure_loss, k.last_g + 1, k.last_d + 1]
        if self._new and (any(n > 0 for n in kept) or k.freeze_fc):
            raise VtoonError("freezing and --structure_loss keep what a model can do: name it with --resume")

    def _recipe(self, device: str) -> tuple[StyleGANFinetune, int]:
        """The recipe, and the steps that were done before."""
        import torch

        from vtoon.train.dataset import Dataset
        from vtoon.train.recipes.finetune import StyleGANFinetune
        from vtoon.train.trainer import tune_device

        where = torch.device(device)
        tune_device(where)
        start = self._start()
        disc, known = start.disc, start.disc is not None
        if not known:
            from vtoon.models.discriminator import Discriminator

            disc = Discriminator(start.net.size, start.net.channels)
        options = self._options(where, start.net, disc, known)
        data = Dataset(self.data, start.net.size, where)
        recipe = StyleGANFinetune(start.net, disc, data, options, start.average, extra=self._extra(start.net, where))
        recipe.measure = self._measure(data, where)
        if self.names.style is not None:
            recipe.name_of = "finetune-{:06d}".format
        done = recipe.go_on(start)
        if self.nkimg is not None:
            done = round(1000 * self.nkimg / options.images)
            recipe.take_optimizers(start)
        if not self.messages.quiet:
            self._tell(start, data, recipe, done, known)
        return recipe, done

    def _start(self) -> Start:
        import torch

        from vtoon.weights.growth import grown
        from vtoon.weights.snapshots import load_start

        torch.manual_seed(self.machine.seed)  # of what is new
        if not self._new:
            return grown(load_start(self.resume), self.size)
        return load_start(self._warm) if self.warm_up else self._from_nothing()

    def _from_nothing(self) -> Start:
        from vtoon.weights.snapshots import New, new_start

        if self.size is None or self.size not in [2**k for k in range(3, 11)]:
            raise VtoonError(f"--size {self.size}: a model from nothing draws 8, 16, 32 ... 1024 px; or give --resume")
        multiplier = self.channel_multiplier or (2 if self.size >= LARGE else 1)
        return new_start(New(self.size, multiplier, self.most_channels), self.machine.seed)

    def _options(
        self, device: torch.device, net: Generator, disc: Discriminator | None, known: bool = True
    ) -> FinetuneOptions:
        """`known`: whether the discriminator has learned something already."""
        import torch

        from vtoon.painters.engine import pick_dtype
        from vtoon.train.freeze import blocks_left, layers_left
        from vtoon.train.lessons import FinetuneOptions

        a, k, m, new = self.augmentation, self.keeping, self.machine, self._new
        path = self.path_regularize if self.path_regularize is not None else 2.0 if new else 0.0
        if not 0 <= k.freeze_style <= net.num_latents or not 0 <= k.structure_loss <= len(net.to_rgbs):
            raise VtoonError(f"freeze_style is {k.freeze_style}, structure_loss {k.structure_loss}; of a generator of "
                             f"{net.size} px they can be up to {net.num_latents} and {len(net.to_rgbs)}")  # fmt: skip
        return FinetuneOptions(
            batch=self.batch,
            gamma=None if self.gamma == "auto" else self.gamma,
            lr=self.lr,
            mixing=self.mixing,
            path_weight=path,
            path_shrink=self.names.path_batch_shrink,
            d_alone=0 if known or (new and not self.warm_up) else self._alone(),
            d_every=self.names.d_reg_every,
            g_every=self.names.g_reg_every,
            ema_kimg=self.ema_kimg,
            ema_rampup=0.05 if new else None,
            ada_target=a.target if a.aug == "ada" else None,
            ada_p=0.0 if a.aug == "noaug" else a.p,
            ada_kimg=self._ada_kimg(new),
            augpipe="" if a.aug == "noaug" else a.augpipe,
            mirror=a.mirror,
            freeze_g=blocks_left(net, k.last_g) if k.last_g >= 0 else k.freeze_g,
            freeze_d=layers_left(disc, k.last_d) if k.last_d >= 0 else k.freeze_d,
            freeze_fc=k.freeze_fc,
            freeze_style=max(k.freeze_style, 0),
            structure_loss=max(k.structure_loss, 0),
            channels_last=m.channels_last and device.type == "cuda",
            compile=m.compile,
            seed=m.seed,
            device=device,
            dtype=pick_dtype(m.amp, device, half=torch.bfloat16),
        )

    def _alone(self) -> int:
        """Steps of a new discriminator: of a short run a tenth."""
        from vtoon.train.distributed import world_size

        return round(min(ALONE, 100 * self.kimg) / (self.batch * world_size()))

    def _ada_kimg(self, new: bool) -> float:
        if self.augmentation.ada_kimg is not None:
            return self.augmentation.ada_kimg
        return (500 if new else 100) if self.names.ada_length is None else self.names.ada_length / 1000

    def _extra(self, net: Generator, device: torch.device) -> dict:
        if not self.keeping.triplet:
            return {}
        from vtoon.train.faces import TripletTerm
        from vtoon.weights.generators import load_generator

        others = [load_generator(name).generator for name in (self.keeping.positive, self.keeping.negative)]
        return {"triplet": TripletTerm(*others, self.keeping.triplet, like=net, device=device)}

    def _measure(self, data: Dataset, device: torch.device) -> object:
        from vtoon.train.distributed import is_main
        from vtoon.train.quality import Quality, find_features, read_metrics

        metrics = read_metrics(self.metrics)
        if not metrics or not is_main():
            return None
        try:
            return Quality(data, device, metrics, find_features(device, style=not self._new))
        except VtoonError:
            if self.metrics != "auto":
                raise
            return None

    def _tell(self, start: Start, data: Dataset, recipe: StyleGANFinetune, done: int, known: bool) -> None:
        from vtoon.train.distributed import is_main

        if not is_main():
            return
        where = "in memory" if data.in_memory else "read as it goes"
        print(f"data: {self.data}, {len(data)} pictures {where}")
        images = recipe.options.images
        begun = f"goes on at {done * images / 1000:.1f} kimg" if done else "begins"
        begun = f"goes on from {self.outdir / 'state.pt'}" if (self.outdir / "state.pt").is_file() else begun
        alone = recipe.options.d_alone * images / 1000
        missing = "" if known else f", without a discriminator that fits: a new one learns alone for {alone:g} kimg"
        print(f"model: {start.path}, {recipe.net.size} px{missing}; {begun}; gamma {recipe.gamma:.3g}")
        if recipe.measure is not None:
            print(f"quality: {recipe.measure.name}")


def _device(name: str) -> str:
    from vtoon.painters.engine import pick_device

    return str(pick_device(name))
