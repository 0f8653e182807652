"""`vtoon dual destylize`, `refine`, `sampler`: the style codes of artworks, with the published flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from vtoon.cli.common import Device, Talk, progress_bar, say_error, show_notices
from vtoon.cli.dual_common import DESTYLIZE, art_folder, check_style
from vtoon.cli.dual_train import BASE, CHECKPOINTS, DATA, LOGS, N, PathFlag, Perceptual, Style
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from vtoon.models.stylegan2 import Generator
    from vtoon.train.dataset import Dataset

SHOWN = 8  # pictures on a sheet
FINETUNED = "finetune-000600.pt"
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
FileName = Annotated[str, arg(metavar="FILE")]
Likeness = Literal["auto", "lpips", "face"]


@dataclass(frozen=True)
class Codes:
    """A file of codes that grows picture by picture."""

    path: Path
    known: dict[str, Tensor]

    def save(self, names: list[str]) -> None:
        """In the order of the pictures, which is what style ids count."""
        from vtoon.weights.duals import save_style_codes

        save_style_codes(self.path, {name: self.known[name] for name in names if name in self.known})


def codes_so_far(path: Path, names: list[str], net: Generator, resume: bool) -> Codes:
    """Raises VtoonError where the file has codes of other pictures, which would be lost."""
    from vtoon.weights.duals import load_codes_of

    if not resume or not path.is_file():
        return Codes(path, {})
    known = load_codes_of(path, net, "")
    if others := [name for name in known if name not in names]:
        raise VtoonError(f"{path}: has codes of other pictures ({others[0]}); move it away, or --no_resume replaces it")
    return Codes(path, known)


def gone_through(
    data: Dataset, todo: list[str], batch: int, steps: int, talk: Talk, title: str,
    work: Callable[[list[str], Tensor, Callable[[int], None]], None],
) -> None:  # fmt: skip
    """`work(names, pictures [N, 3, S, S], watch)` for one batch after the other, under one bar."""
    import torch

    place = {name: i for i, name in enumerate(data.names)}
    with progress_bar(title, talk.quiet, " steps") as update:
        for first in range(0, len(todo), batch):
            names = todo[first : first + batch]
            pictures = data.batch(torch.tensor([place[name] for name in names]), first).permute(0, 3, 1, 2)
            before = first // batch * steps
            total = -(-len(todo) // batch) * steps
            work(names, pictures.float() / 127.5 - 1, lambda step, before=before, total=total: update(
                before + step % steps + 1, total))  # fmt: skip


@dataclass(frozen=True)
class Destylize:
    """Find, for each artwork, its extrinsic code and the intrinsic one of the face that it may be of.

    Writes exstyle_code.npy and instyle_code.npy to MODEL_PATH/STYLE, as far as they are, after every picture; the same
    command goes on with those that are missing. A sheet in log/STYLE shows what was found.
    """

    style: Style = "cartoon"
    """The folder of the style, below --data_path and --model_path."""
    truncation: Annotated[float, arg(metavar="PSI")] = 0.7
    """Of the face: less is more of an average, and less drawn."""
    iter: N = 300
    """Steps for each batch."""
    batch: N = 1
    """Pictures at once."""
    model_name: FileName = FINETUNED
    """The StyleGAN2 that was fine-tuned on the artworks (`vtoon finetune`), in MODEL_PATH/STYLE, or a path."""
    model_path: PathFlag = CHECKPOINTS
    """The folder of checkpoints."""
    data_path: PathFlag = DATA
    """The pictures are in DATA_PATH/STYLE/images/train."""
    base: File = None
    """The StyleGAN2 of photos that it was fine-tuned from (default: in MODEL_PATH, by its published name)."""
    encoder: File = None
    """The style encoder, Z+ (default: encoder.pt in MODEL_PATH). Without one, codes are searched by its generator."""
    perceptual: Likeness = "auto"
    """LPIPS as published, its stand-in of face features; auto: LPIPS where VGG16's weights are there already."""
    exstyle_name: FileName = "exstyle_code.npy"
    """Of the extrinsic codes."""
    instyle_name: FileName = "instyle_code.npy"
    """Of the intrinsic codes."""
    resume: bool = True
    """Leave out pictures that have codes; --no_resume does all anew."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.latent.sampler import load_sampler
        from vtoon.latent.toonify import check_pair
        from vtoon.latent.z_plus import CodeSearch, Reader
        from vtoon.train.dataset import Dataset
        from vtoon.weights.perceptual import load_perceptual

        show_notices(self.messages)
        check_style(self.style)
        check_batch(self.batch)
        options = CodeSearch(steps=self.iter, truncation=self.truncation)
        folder = self.model_path / self.style
        pictures = art_folder(self.data_path, self.style)
        faces = load_sampler(self.base or self.model_path / BASE, self.device)
        artist = load_sampler(named(self.model_name, folder), self.device)
        check_pair(faces, artist)
        data = Dataset(pictures, faces.size, faces.device, most=0)
        files = [codes_so_far(folder / name, data.names, faces.net, self.resume) for name in
                 (self.exstyle_name, self.instyle_name)]  # fmt: skip
        likeness = load_perceptual(self.perceptual, faces.device)
        read = Reader(faces, self._encoder(faces.device), likeness, options)
        todo = [name for name in data.names if not all(name in file.known for file in files)]
        rows: list[list[np.ndarray]] = []

        def work(names: list[str], drawings: Tensor, watch: Callable[[int], None]) -> None:
            from vtoon.image import to_uint8
            from vtoon.latent.z_plus import destylize

            found = destylize(faces, artist, read, drawings, options, likeness, watch)
            for file, codes in zip(files, (found.extrinsic, found.intrinsic), strict=True):
                file.known.update(zip(names, codes.cpu().split(1), strict=True))
                file.save(data.names)
            if len(rows) < SHOWN:
                columns = (to_uint8(x) for x in (drawings, found.drawn, found.face, found.again))
                rows.extend(map(list, zip(*columns, strict=True)))

        try:
            gone_through(data, todo, self.batch, self.iter, self.messages, "destylize", work)
        finally:
            data.close()
        self._end(files, rows, len(todo), data, likeness.name)

    def _encoder(self, device: torch.device) -> object | None:
        from vtoon.painters.companions import load_encoder

        path = self.encoder or self.model_path / "encoder.pt"
        if self.encoder is None and not path.is_file():
            if not self.messages.quiet:
                say_error(f"{path} is not there: codes are searched by the generator of faces, {self.iter} steps each",
                          "note")  # fmt: skip
            return None
        return load_encoder(path).to(device)

    def _end(self, files: list[Codes], rows: list, done: int, data: Dataset, name: str) -> None:
        from vtoon.image import save_image
        from vtoon.latent.sheets import table

        if rows:
            words = ["artwork", "fine-tuned", "face", "its code"]
            save_image(LOGS / self.style / "destylize.png", table(rows[:SHOWN], words))
        if not self.messages.quiet:
            had = f", {len(data) - done} had theirs" if len(data) > done else ""
            for file in files:
                print(f"{file.path}: codes of {len(data)} artworks{had} (compared by {name})")


@dataclass(frozen=True)
class Refine:
    """Bring each artwork's extrinsic code nearer to the artwork: refined_exstyle_code.npy.

    It is written after every picture; the same command goes on with those that are missing.
    """

    style: Style = "cartoon"
    """The folder of the style, below --data_path and --model_path."""
    iter: N = 100
    """Steps for each batch."""
    batch: N = 1
    """Pictures at once."""
    lr_color: float = 0.01
    """Of Adam, for the rows that colour."""
    lr_structure: float = 0.005
    """Of Adam, for the rows that shape."""
    model_name: FileName = "generator.pt"
    """The DualStyleGAN, in MODEL_PATH/STYLE, or a path."""
    model_path: PathFlag = CHECKPOINTS
    """The folder of checkpoints."""
    data_path: PathFlag = DATA
    """The pictures are in DATA_PATH/STYLE/images/train."""
    exstyle_name: FileName = "exstyle_code.npy"
    """The extrinsic codes."""
    instyle_name: FileName = "instyle_code.npy"
    """The intrinsic codes."""
    refined_name: FileName = "refined_exstyle_code.npy"
    """Of the result."""
    perceptual: Likeness = "auto"
    """LPIPS as published, its stand-in of face features; auto: LPIPS where VGG16's weights are there already."""
    contextual: Perceptual = "auto"
    """The contextual loss' features: VGG19's as published, their stand-in; auto: VGG19's where they are already."""
    resume: bool = True
    """Leave out pictures that have a refined code; --no_resume does all anew."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        import torch

        from vtoon.image import save_image, to_uint8
        from vtoon.latent.dual import Refinement, load_artist, refine
        from vtoon.latent.sheets import table
        from vtoon.train.dataset import Dataset
        from vtoon.train.recipes.dual_finetune import artworks_of
        from vtoon.weights.duals import load_codes_of
        from vtoon.weights.perceptual import load_perceptual
        from vtoon.weights.vgg19 import load_vgg19

        show_notices(self.messages)
        check_style(self.style)
        check_batch(self.batch)
        options = Refinement(self.iter, self.lr_color, self.lr_structure)
        folder, pictures = self.model_path / self.style, art_folder(self.data_path, self.style)
        artist = load_artist(named(self.model_name, folder), self.device)
        net, device = artist.net.generator, artist.faces.device
        codes = [load_codes_of(folder / name, net, DESTYLIZE) for name in (self.exstyle_name, self.instyle_name)]
        data = Dataset(pictures, net.size, device, most=0)
        artworks_of(data, *codes)  # every picture has its codes
        file = codes_so_far(folder / self.refined_name, data.names, net, self.resume)
        likeness, sight = load_perceptual(self.perceptual, device), load_vgg19(self.contextual, device)
        todo = [name for name in data.names if name not in file.known]
        rows: list[list[np.ndarray]] = []

        def work(names: list[str], art: Tensor, watch: Callable[[int], None]) -> None:
            extrinsic, intrinsic = (torch.cat([found[name] for name in names]).to(device) for found in codes)
            refined = refine(artist, art, extrinsic, intrinsic, options, likeness, sight, watch)
            file.known.update(zip(names, refined.cpu().split(1), strict=True))
            file.save(data.names)
            if len(rows) < SHOWN:
                ones, face = artist.weights(structure=1.0), artist.w_of(intrinsic)
                drawn = (artist.draw(face, artist.w_of(code), ones) for code in (extrinsic, refined))
                rows.extend(map(list, zip(*(to_uint8(x) for x in (art, *drawn)), strict=True)))

        try:
            gone_through(data, todo, self.batch, self.iter, self.messages, "refine", work)
        finally:
            data.close()
        if rows:
            save_image(LOGS / self.style / "refine.png", table(rows[:SHOWN], ["artwork", "before", "refined"]))
        if not self.messages.quiet:
            print(f"{file.path}: codes of {len(data)} artworks (compared by {likeness.name}; {sight.name})")


@dataclass(frozen=True)
class TrainSampler:
    """Teach a sampler new styles like those of the artworks: sampler.pt, for `vtoon dual generate`.

    The file holds what the same command goes on from.
    """

    style: Style = "cartoon"
    """The folder of the style, below --model_path."""
    iter: Annotated[int, arg(metavar="N")] = 5000
    """Steps. The published command takes the flag (500000) and ignores it."""
    model_name: FileName = "generator.pt"
    """The DualStyleGAN, in MODEL_PATH/STYLE, or a path."""
    model_path: PathFlag = CHECKPOINTS
    """The folder of checkpoints."""
    exstyle_name: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: refined, if there)")] = None
    """The extrinsic codes."""
    sampler_name: FileName = "sampler.pt"
    """Of the result."""
    resume: bool = True
    """Go on from the file, where it was made of the same codes; --no_resume starts anew."""
    seed: int = 0
    """Of all that is random."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        import hashlib

        import torch

        from vtoon.painters.engine import pick_device
        from vtoon.train.imle import jittered, teach
        from vtoon.weights.duals import load_codes_of, save_sampler
        from vtoon.weights.generators import load_dual

        show_notices(self.messages)
        check_style(self.style)
        if not 1 <= self.iter <= 10**7:
            raise VtoonError(f"iter is {self.iter}; it must be 1 to 10000000")
        folder = self.model_path / self.style
        net = load_dual(named(self.model_name, folder)).generator
        path = style_file(folder, self.exstyle_name)
        codes = jittered(torch.cat(list(load_codes_of(path, net, DESTYLIZE).values())), self.seed)
        about = f"{hashlib.sha256(codes.numpy().tobytes()).hexdigest()[:16]}, seed {self.seed}"
        target = folder / self.sampler_name
        taught = self._taught(target, net, about, torch.device(pick_device(self.device)))
        with progress_bar("sampler", self.messages.quiet, " steps") as update:
            seen: list[float] = []

            def watch(step: int, loss: float) -> None:
                seen.append(loss)
                update(step + 1, self.iter)

            def keep(state: object) -> None:
                if state.step and state.step % 1000 == 0:
                    save_sampler(target, state.net, state.content() | {"about": about})

            taught = teach(taught, codes, self.iter, self.seed, watch, keep)
        save_sampler(target, taught.net, taught.content() | {"about": about})
        if not self.messages.quiet:
            end = f", squared error {sum(seen[-100:]) / len(seen[-100:]):.4g}" if seen else ""
            print(f"{target}: styles like those of {path.name}, {taught.step} steps{end}")

    def _taught(self, path: Path, net: Generator, about: str, device: torch.device) -> object:
        import torch

        from vtoon.train.imle import LR, Taught, begun
        from vtoon.weights.duals import load_style_sampler

        if not self.resume or not path.is_file():
            return begun(net.num_latents, net.style_dim, self.seed, device)
        sampler, rest = load_style_sampler(path, net)
        if rest.get("about") != about:
            raise VtoonError(f"{path}: made of other codes or with another --seed; --no_resume replaces it")
        sampler = sampler.to(device).train().requires_grad_(True)
        optimizer = torch.optim.Adam(sampler.parameters(), LR)
        optimizer.load_state_dict(rest["optim"])
        return Taught(sampler, optimizer, {k: v.to(device) for k, v in rest["pools"].items()}, int(rest["step"]))


def named(name: str, folder: Path) -> Path:
    """A file of the style's folder, or one given by its path."""
    return Path(name) if Path(name).name != name else folder / name


def style_file(folder: Path, name: str | None) -> Path:
    """The style codes: the refined ones where nothing else is asked for and they are there."""
    if name is not None:
        return named(name, folder)
    refined = folder / "refined_exstyle_code.npy"
    return refined if refined.is_file() else folder / "exstyle_code.npy"


def check_batch(batch: int) -> None:
    """Raises VtoonError."""
    if not 1 <= batch <= 1000:
        raise VtoonError(f"batch is {batch}; it must be 1 to 1000")
