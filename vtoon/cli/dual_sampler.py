"""`vtoon dual sampler`: new styles like those of the artworks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from vtoon.cli.common import Device, Talk, progress_bar, show_notices
from vtoon.cli.dual_common import (
    CHECKPOINTS,
    DESTYLIZE,
    CodesName,
    FileName,
    PathFlag,
    Style,
    check_style,
    named,
    style_file,
)
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    import torch

    from vtoon.models.stylegan2 import Generator


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
    exstyle_name: CodesName = None
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
