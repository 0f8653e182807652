"""`vtoon style`: from drawings in a folder to a model for video."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from vtoon.cli.common import INTERRUPTED, TERMINATED, Device, Flag, Talk, Terminated, say_error, show_notices
from vtoon.cli.group import Group
from vtoon.cli.style_steps import Clip, Pick, Sheet
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from vtoon.chain.costs import Costs
    from vtoon.chain.manifest import Manifest
    from vtoon.chain.plan import Facts
    from vtoon.chain.stage import Stage
    from vtoon.chain.wish import Wish
    from vtoon.models.stylegan2 import Generator

MaybeFolder = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]
MaybeFile = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Steps = Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: by --budget, else as published)")]
Kimg = Annotated[float | None, arg(metavar="KIMG", help_behavior_hint="(default: by --budget, else as published)")]
PARSING, ENCODER = Path("checkpoint/faceparsing.pth"), Path("checkpoint/encoder.pt")
ENCODER_SIZE = 1024  # px of the generator whose codes the published encoder tells
LARGEST_NEW = 256  # px of a generator from nothing, where no size is asked for
SHOWN = ("special", "single", "student", "clip", "sheet")  # stages whose results a user wants
FEWEST_KIMG = 20.0  # of a generator from nothing that is worth looking at: blurred faces, at 32 px
CPU_CHANNELS = 128  # of a generator from nothing on a processor: a quarter of the published width


@dataclass(frozen=True)
class Lasting:
    """How long the trainings are, where the budget shall not say it."""

    base_kimg: Kimg = None
    """Thousand pictures, of faces from nothing; 5000 as published."""
    kimg: Kimg = None
    """Thousand pictures, of the fine-tuning; 100."""
    pretrain_iter: Steps = None
    """Steps of VToonify's first stage, of 4 pictures; 7500."""
    iter: Steps = None
    """Steps of its second; 2000."""
    student_iter: Steps = None
    """Steps of the quick student, of 8 pairs; 4000."""
    one_iter: Steps = None
    """Steps to find a single drawing, and to learn from it; 300."""
    code_iter: Steps = None
    """Steps of each drawing's code for DualStyleGAN, a third of it to refine it; 300."""
    dual_iter: Steps = None
    """Steps of DualStyleGAN's last stage, twice as many of the one before it; 1500."""
    batch: int = 16
    """Pictures a step of the generator's trainings."""
    most: Annotated[int, arg(metavar="N")] = 500
    """Pictures of faces that the student learns from, at most."""
    most_channels: Steps = None
    """Of any layer of a generator from nothing; on a processor 128."""


@dataclass(frozen=True)
class Make:
    """Make a style: drawings in a folder become a VToonify, a quick student of it, a sheet and a clip.

    Align, teach or take a generator of faces, fine-tune it on the drawings, pick the snapshot, blend, distil into a
    VToonify, specialise, teach a quick student. Each stage is a command that can be run alone, printed as it starts.
    All lies in OUTDIR/NAME; what is done is not done again, a run that was stopped goes on, what has changed is done
    anew.
    """

    name: Annotated[str, Positional, arg(metavar="NAME")]
    """Of the style."""
    drawings: MaybeFolder = None
    """Pictures of faces in one style: drawn by hand, by a painter, by an image generator. 1 to 5: a style of single
    pictures."""
    faces: MaybeFolder = None
    """Photos of faces: what the student learns on, and without --base what a generator is taught from nothing."""
    base: Annotated[str | None, arg(metavar="CKPT|NAME", help_behavior_hint="")] = None
    """A generator of faces: .pt, .pkl, or ffhq256 and so on in checkpoint/."""
    budget: Annotated[str | None, arg(metavar="2h|90m", help_behavior_hint="(default: as long as it takes)")] = None
    """Time for all of it; trainings are made as long as fits."""
    pick: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: by KID and identity)")] = None
    """Take snapshot N of the fine-tuning; picked.png shows them."""
    blend: Literal["strokes", "structure", "all"] = "strokes"
    """strokes: pose and outline stay the photo's. structure: shapes are drawn, the surface is the photo's (Toonify).
    all: the fine-tuned generator as it is."""
    road: Literal["auto", "toonify"] = "auto"
    """auto: from 30 drawings on DualStyleGAN, in which each drawing is a style. toonify: one style of all of them."""
    pick_style: Annotated[int, arg(metavar="N")] = 0
    """Of DualStyleGAN: the drawing that the specialised file and the student draw like."""
    preset: Literal["small", "live"] = "small"
    """Of the quick student: see vtoon distill."""
    clip: MaybeFile = None
    """A video to draw at the end (default: one made of the faces)."""
    size: Annotated[
        int | None, arg(metavar="PX", help_behavior_hint="(default: the base's; from nothing up to 256)")
    ] = None
    """Of the generator, 64 to 1024."""
    lasting: Lasting = field(default_factory=Lasting)
    outdir: Annotated[Path, arg(aliases=["-o"], metavar="PATH")] = Path("runs/style")
    """Where the style's folder is made."""
    dry_run: Flag = False
    """Print the plan with times for this machine, measured by a few steps, and memory; nothing is written."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    seed: int = 0
    """Of all that is random."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> int:
        """Returns the exit code. Raises VtoonError where a stage failed."""
        from vtoon.chain.manifest import Manifest
        from vtoon.chain.process import run
        from vtoon.chain.work import work

        show_notices(self.messages)
        say = (lambda line: None) if self.messages.quiet else lambda line: print(line, flush=True)
        wish = self._wish()
        manifest = Manifest(self._folder)
        stages, lines = self._planned(wish, manifest, say)
        for line in lines if self.dry_run else lines[-1:]:
            say(line)
        if self.dry_run:
            return 0
        manifest.ask(wish)
        manifest.save()
        try:
            work(stages, manifest, run, say)
        except KeyboardInterrupt as stop:
            say_error("the same command goes on where it stands", "stopped")
            return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
        made = [path for stage in stages for path in stage.outputs if stage.name in SHOWN]
        say(f"{self._folder}: {', '.join(str(path.relative_to(self._folder)) for path in made)}")
        return 0

    @property
    def _folder(self) -> Path:
        return self.outdir / self.name

    def _wish(self) -> Wish:
        from vtoon.chain.wish import Wish, check, seconds_of
        from vtoon.weights.generators import base_file

        if self.drawings is None:
            raise VtoonError("name the drawings: --drawings FOLDER")
        shared = {k: v for k, v in vars(self).items() if k in Wish.__dataclass_fields__ and k != "budget"}
        budget = None if self.budget is None else seconds_of(self.budget)
        wish = Wish(**shared | vars(self.lasting), budget=budget)
        check(wish)
        return wish if wish.base is None else replace(wish, base=str(base_file(wish.base)))

    def _planned(self, wish: Wish, manifest: Manifest, say: object) -> tuple[list[Stage], list[str]]:
        """The stages, and the plan in words, as far as times are known."""
        from vtoon.chain.plan import Lengths, Planner
        from vtoon.chain.settle import asked, table, within

        net, size = self._network(wish)
        wish = self._narrow(wish)
        facts = self._facts(wish, size)
        key = json.dumps([asdict(facts), asdict(replace(wish, pick=None, clip=None, pick_style=0))], default=str)
        known = manifest.settled(key)
        if known and not self.dry_run:
            return Planner(wish, facts, Lengths(**known), self._folder).plan(), []
        lengths, costs = asked(wish), None
        if self.dry_run or wish.budget:
            costs = self._costs(wish, net, facts, say)
        if wish.budget:
            stages = Planner(wish, facts, lengths, self._folder).plan()
            lengths = within(wish.budget, wish, facts, stages, costs)
        if known:
            lengths = Lengths(**known)
        manifest.settle(key, asdict(lengths), costs.content() if costs else {})
        say(self._road(facts))
        if wish.base is None and lengths.base_kimg < FEWEST_KIMG:
            say(
                f"note: {lengths.base_kimg:g} kimg teach a generator from nothing no faces yet: all that follows will "
                f"run, but blurred; give --base a trained one, or a longer --budget (tens of kimg at 64 px)"
            )
        stages = Planner(wish, facts, lengths, self._folder).plan()
        return stages, table(stages, costs) if costs else []

    def _network(self, wish: Wish) -> tuple[Generator, int]:
        """The generator, or one of the shape that is taught from nothing, and its size."""
        from vtoon.chain.wish import SIZES
        from vtoon.weights.generators import load_generator
        from vtoon.weights.snapshots import New, new_start

        if wish.base is None:
            size = wish.size or self._likely_size(wish)
            multiplier = 2 if size >= 512 else 1
            narrow = self._narrow(wish).most_channels or 512
            return new_start(New(size, multiplier, narrow), wish.seed).net, size
        loaded = load_generator(wish.base)
        if loaded.size not in SIZES or wish.size not in (None, loaded.size):
            wanted = f"--size {wish.size}" if wish.size else f"64 to {SIZES[-1]} px are needed"
            raise VtoonError(f"{wish.base}: draws {loaded.size} px; {wanted}")
        return loaded.generator, loaded.size

    def _narrow(self, wish: Wish) -> Wish:
        """On a processor, a generator from nothing is narrower."""
        from vtoon.painters.engine import pick_device

        on_cpu = pick_device(self.device).type == "cpu"
        if wish.base or wish.most_channels or not on_cpu:
            return wish
        return replace(wish, most_channels=CPU_CHANNELS)

    def _likely_size(self, wish: Wish) -> int:
        """As large as the photos allow, up to 256 px; on a processor 64, which is slow enough."""
        from vtoon.chain.wish import SIZES, pictures_in
        from vtoon.image import load_image
        from vtoon.painters.engine import pick_device

        if pick_device(self.device).type == "cpu":
            return SIZES[0]
        side = min(load_image(pictures_in(wish.faces)[0])[0].shape[:2])
        return max(s for s in SIZES if s <= max(SIZES[0], min(side, LARGEST_NEW)))

    def _facts(self, wish: Wish, size: int) -> Facts:
        from vtoon.chain.plan import Facts
        from vtoon.chain.wish import pictures_in
        from vtoon.cli.main import COMMANDS

        faces = len(pictures_in(wish.faces)) if wish.faces else 0
        encoder = ENCODER.is_file() and size == ENCODER_SIZE
        dual = "dual" in COMMANDS and self.road != "toonify"
        return Facts(size, tuple(pictures_in(wish.drawings)), faces, dual, PARSING.is_file(), encoder)

    def _costs(self, wish: Wish, net: Generator, facts: Facts, say: object) -> Costs:
        from vtoon.chain.costs import measure
        from vtoon.painters.engine import pick_device

        say("measuring a few steps of each training ...")
        where, pictures = pick_device(self.device), list(facts.drawings)
        return measure(net, wish.preset, wish.batch, where, pictures, wish.base is None, facts.road)

    def _road(self, facts: Facts) -> str:
        from vtoon.chain.wish import FEW, MANY

        count = len(facts.drawings)
        if facts.road == "one":
            return f"{count} drawings (up to {FEW}): a generator of each single picture, one of them is taken"
        if count < MANY:
            return f"{count} drawings (under {MANY}): Toonify, a fine-tuned generator blended with that of the faces"
        if facts.dual:
            return f"{count} drawings: DualStyleGAN, in which each is a style of its own"
        why = "as asked for" if self.road == "toonify" else "for DualStyleGAN's commands (vtoon dual) are not here"
        return f"{count} drawings: Toonify, {why}"


Work = (
    Annotated[Make, subcommand("make", prefix_name=False)]
    | Annotated[Pick, subcommand("pick", prefix_name=False)]
    | Annotated[Clip, subcommand("clip", prefix_name=False)]
    | Annotated[Sheet, subcommand("sheet", prefix_name=False)]
)


@dataclass(frozen=True)
class Style(Group):
    """A style of your own: `vtoon style make NAME --drawings FOLDER` does all; pick, clip and sheet are steps of it."""

    work: Work
    """What is done."""
