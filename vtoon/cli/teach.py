"""`vtoon styleclip`, `vtoon nada`, `vtoon one`: moved by a text, taught by two texts, taught by one picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from vtoon.cli.common import Device, Flag, Talk, show_notices
from vtoon.cli.studio import Ckpt, Codes, Folder, OldCkpt, generator_of, ready, steps, writable
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from vtoon.latent.sampler import Sampler
    from vtoon.latent.text import Scorer


@dataclass(frozen=True)
class Clip:
    """Which CLIP model reads texts and pictures (extra [text])."""

    clip_model: Annotated[str, arg(metavar="NAME[,NAME]")] = "ViT-B-32"
    """OpenCLIP's name of the architecture; StyleGAN-NADA's own takes two: ViT-B-32,ViT-B-16."""
    clip_weights: Annotated[str, arg(metavar="NAME|FILE")] = "openai"
    """OpenCLIP's name of the weights, which are fetched once, or a file; for two models one or two, with a comma."""

    def scorer(self, device: object) -> Scorer:
        from vtoon.latent.text import Chorus, OpenClip

        models, weights = self.clip_model.split(","), self.clip_weights.split(",")
        weights = weights * len(models) if len(weights) == 1 else weights
        if len(weights) != len(models):
            raise VtoonError(f"clip_model names {len(models)} and clip_weights {len(weights)}; give one of each")
        found = [OpenClip(*pair, device) for pair in zip(models, weights, strict=True)]
        return found[0] if len(found) == 1 else Chorus(found)


@dataclass(frozen=True)
class Styleclip:
    """Move faces toward a text (StyleCLIP's latent optimisation): a sheet, and edited_w.npz."""

    text: Annotated[str, Positional, arg(metavar="TEXT")]
    """What the face shall look like: "a man with a beard"."""
    ckpt: Ckpt = None
    """The generator."""
    network: OldCkpt = None
    """Old name of CKPT."""
    seeds: Annotated[str, arg(metavar="1-8,42")] = "1-2"
    """The faces to move."""
    projected_w: Codes = None
    """Move the latents of this file instead."""
    trunc: Annotated[float, arg(metavar="PSI", aliases=["--truncation"])] = 0.7
    """How far from the mean face the seeds are."""
    steps: Annotated[int, arg(metavar="N", aliases=["--step"])] = 300
    """Of Adam."""
    lr: float = 0.1
    """Its learning rate at the peak."""
    l2_lambda: float = 0.008
    """Weight of staying near."""
    strength: Annotated[str, arg(metavar="0.5,1,1.5")] = "0.5,1,1.5"
    """How far along the way, a column of the sheet for each; edited_w.npz is at 1."""
    output: Folder = Path("output")
    """A folder: styleclip.png, edited_w.npz."""
    clip: Clip = field(default_factory=Clip)
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.image import save_image
        from vtoon.latent.sampler import load_codes, parse_numbers, parse_seeds, save_codes
        from vtoon.latent.sheets import table
        from vtoon.latent.text import move_latent, strengthened

        show_notices(self.messages)
        seeds, strengths = parse_seeds(self.seeds), parse_numbers(self.strength, "strength", -10, 10)
        check_training(self.steps, self.lr, self.text)
        sampler = generator_of(self.ckpt, self.network, self.device)
        codes = load_codes(self.projected_w, sampler) if self.projected_w else sampler.latents(seeds, self.trunc)
        scorer = self.clip.scorer(sampler.device)
        ready(self.output)
        with steps("styleclip", self.steps, self.messages.quiet) as watch:
            moved = move_latent(sampler, codes, self.text, scorer, self.steps, self.lr, self.l2_lambda, watch)
        columns = [sampler.pictures(strengthened(codes, moved, s)) for s in (0.0, *strengths)]
        sheet = table(list(zip(*columns, strict=True)), ["before", *(f"{s:g}" for s in strengths)])
        save_image(self.output / "styleclip.png", sheet)
        save_codes(self.output / "edited_w.npz", moved)
        if not self.messages.quiet:
            print(f"{self.output / 'styleclip.png'}: {len(codes)} faces moved toward {self.text!r}, edited_w.npz")


@dataclass(frozen=True)
class Nada:
    """Teach a generator a style by two texts (StyleGAN-NADA), without a single picture."""

    ckpt: Ckpt = None
    """The generator."""
    network: OldCkpt = None
    """Old name of CKPT."""
    source: Annotated[str, arg(aliases=["--source_text", "--source_class"], metavar="TEXT")] = "photo"
    """What it draws now."""
    target: Annotated[str, arg(aliases=["--target_text", "--target_class"], metavar="TEXT")] = "cartoon"
    """What it shall draw."""
    steps: Annotated[int, arg(metavar="N", aliases=["--iter"])] = 301
    """Of Adam."""
    batch: Annotated[int, arg(metavar="N")] = 2
    """Faces in a step."""
    lr: float = 0.002
    """Learning rate."""
    layers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: two thirds)")] = None
    """Layers trained at a time: those that the text moves most."""
    seed: int = 0
    """Of what is random."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT.pt")] = Path("output/nada.pt")
    """The generator to write; OUT.png shows faces before and after."""
    clip: Clip = field(default_factory=Clip)
    overwrite: Flag = False
    """Replace an output that exists."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.latent.text import NadaOptions, move_generator

        show_notices(self.messages)
        check_training(self.steps, self.lr, self.source, self.target)
        if self.batch < 1 or (self.layers is not None and self.layers < 1):
            raise VtoonError(f"batch is {self.batch} and layers {self.layers}; they must be 1 or more")
        writable(self.output, (".pt",), self.overwrite)
        sampler = generator_of(self.ckpt, self.network, self.device)
        options = NadaOptions(
            self.source, self.target, self.steps, self.batch, self.lr, self.layers, seed=self.seed
        )  # fmt: skip
        scorer = self.clip.scorer(sampler.device)
        with steps("nada", self.steps, self.messages.quiet) as watch:
            made = move_generator(sampler, scorer, options, watch)
        keep(sampler, made, self.output, f"{self.source!r} to {self.target!r}", self.messages)


@dataclass(frozen=True)
class One:
    """Teach a generator the style of ONE picture (JoJoGAN): a new generator, usable everywhere one is.

    The discriminator in CKPT compares; where there is none, the perceptual stand-in does.
    """

    texture: Annotated[Path, Positional, arg(metavar="TEXTURE")]
    """The picture whose style is wanted; its largest face is aligned."""
    ckpt: Ckpt = None
    """The generator of faces."""
    network: OldCkpt = None
    """Old name of CKPT."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT.pt")] = Path("output/one.pt")
    """The generator to write; OUT.png shows faces before and after."""
    projected_w: Codes = None
    """The picture's latent, where it was projected before."""
    encoder: Annotated[Path | None, arg(metavar="FILE", aliases=["--e_ckpt"], help_behavior_hint="")] = None
    """A pSp encoder: its code is the picture's latent."""
    project_steps: Annotated[int, arg(metavar="N")] = 300
    """Of the projection, where neither is given."""
    align: bool = True
    """Align the largest face first; --no-align takes the middle square as it is."""
    steps: Annotated[int, arg(metavar="N", aliases=["--num_iter", "--iter"])] = 300
    """Of Adam; 200 to 500."""
    batch: Annotated[int, arg(metavar="N")] = 1
    """Random neighbours in a step."""
    lr: float = 2e-3
    """Learning rate."""
    alpha: float = 1.0
    """How much of the swapped layers is random: less keeps nearer to the picture."""
    preserve_color: Flag = False
    """Faces keep their own colours."""
    seed: int = 0
    """Of what is random."""
    overwrite: Flag = False
    """Replace an output that exists."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.image import to_tensor
        from vtoon.latent.invert import aligned
        from vtoon.latent.one_shot import OneShotOptions, find_features, learn_style

        show_notices(self.messages)
        options = OneShotOptions(self.steps, self.batch, self.lr, self.alpha, self.preserve_color, self.seed)
        if self.project_steps < 1:
            raise VtoonError(f"project_steps is {self.project_steps}; it must be 1 or more")
        writable(self.output, (".pt",), self.overwrite)
        sampler = generator_of(self.ckpt, self.network, self.device)
        picture = aligned(self.texture, sampler.size, self.align)
        features, name = find_features(sampler)
        code = self._latent(sampler, picture)
        with steps("one", self.steps, self.messages.quiet) as watch:
            made = learn_style(sampler, to_tensor(picture, sampler.device), code, features, options, watch)
        keep(sampler, made, self.output, f"the style of {self.texture.name}, compared by {name}", self.messages)

    def _latent(self, sampler: Sampler, picture: object) -> object:
        from vtoon.latent.invert import encode, invert
        from vtoon.latent.project import ProjectOptions
        from vtoon.latent.sampler import load_codes

        if self.projected_w:
            return load_codes(self.projected_w, sampler)[:1]
        if self.encoder:
            return encode(self.encoder, [picture], sampler)
        with steps("project", self.project_steps, self.messages.quiet) as watch:
            options = ProjectOptions(steps=self.project_steps, seed=self.seed)
            return invert(sampler, [picture], options, watch=watch)[0].w_plus


def check_training(count: int, lr: float, *texts: str) -> None:
    """Raises VtoonError for what cannot be trained."""
    if not 1 <= count <= 10**6 or not 0 < lr < 10:
        raise VtoonError(f"steps is {count} and lr {lr}; they must be 1 to 1000000, and above 0 and under 10")
    if not all(text.strip() for text in texts):
        raise VtoonError("a text is empty; say in a few words what the faces shall look like")


def keep(before: Sampler, after: Sampler, path: Path, what: str, talk: Talk) -> None:
    """Write a taught generator, and a sheet of the same seeds before and after."""
    from vtoon.image import save_image
    from vtoon.latent.sheets import table
    from vtoon.weights.generators import save_generator

    save_generator(path, after.net, after.mean)
    codes = before.latents(range(1, 7), 0.7)
    save_image(path.with_suffix(".png"), table([before.pictures(codes), after.pictures(codes)], down=["", ""]))
    if not talk.quiet:
        print(f"{path}: generator of {after.size} px, {what}; {path.with_suffix('.png').name} shows it")
