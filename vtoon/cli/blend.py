"""`vtoon blend`: the layers of two generators in one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from vtoon.cli.common import Flag, Talk, show_notices
from vtoon.cli.studio import writable
from vtoon.errors import VtoonError

if TYPE_CHECKING:
    from vtoon.latent.sampler import Sampler

File = Annotated[Path | None, Positional, arg(metavar="FILE", help_behavior_hint="")]
Old = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]


@dataclass(frozen=True)
class Blend:
    """Swap layers: low resolutions (pose, shapes) from LOW, high ones (skin, strokes, colours) from HIGH.

    One of the two must be fine-tuned from the other. LOW a cartoon and HIGH faces: cartoon shapes with real skin. The
    other way round: a real head in cartoon strokes. --reverse exchanges the two.
    """

    low: File = None
    """LOW: a .pt of StyleGAN2 in PyTorch, or a .pkl of StyleGAN2-ADA."""
    high: File = None
    """HIGH: the same."""
    output: Annotated[Path, arg(aliases=["-o", "--output_path"], metavar="OUT.pt")] = Path("output/blended.pt")
    """The generator to write, in the published layout."""
    res: Annotated[int, arg(metavar="PX", aliases=["--split_res"])] = 32
    """Blocks up to this resolution are LOW's."""
    smooth: Annotated[float, arg(metavar="OCTAVES")] = 0.0
    """Change over gradually, this wide; 0 swaps whole blocks."""
    layers: Annotated[str | None, arg(metavar="0:1,8:0.5", help_behavior_hint="")] = None
    """LOW's share from each layer on, instead of --res: VToonify's rule, with mapping network and constant of HIGH."""
    rule: Literal[1, 2, 3] = 1
    """1: blocks up to --res and the mapping network from LOW (stylegan2-toonification). 2: as 1, but blocks below
    --res (Fine-Tooning). 3: as 1, but HIGH's mapping network (toonify-game-character)."""
    reverse: Flag = False
    """Exchange LOW and HIGH."""
    grid: Flag = False
    """Also OUT.png: both parents and the swap at every resolution, on the same seeds."""
    seeds: Annotated[str, arg(metavar="1-8,42")] = "1-4"
    """Of the sheet."""
    trunc: Annotated[float, arg(metavar="PSI")] = 0.7
    """Of the sheet: how far from the mean face."""
    lower_res_pkl: Old = None
    """Old name of LOW."""
    higher_res_pkl: Old = None
    """Old name of HIGH."""
    model_res: Annotated[int | None, arg(metavar="PX", help_behavior_hint="")] = None
    """Old flag: checked against the files, which tell their size."""
    overwrite: Flag = False
    """Replace an output that exists."""
    messages: Talk = field(default_factory=Talk)

    def run(self) -> None:
        from vtoon.latent.blend import blended, block_shares, layer_shares, parse_layers
        from vtoon.latent.sampler import parse_seeds
        from vtoon.weights.blend import RULES
        from vtoon.weights.generators import save_generator

        show_notices(self.messages)
        seeds = parse_seeds(self.seeds)
        writable(self.output, (".pt",), self.overwrite)
        if not 0 <= self.smooth <= 10:
            raise VtoonError(f"smooth is {self.smooth}; it must be 0 to 10 octaves")
        low, high = self._parents()
        rule = RULES[self.rule]
        if self.layers:
            shares, low_maps = layer_shares(low, parse_layers(self.layers, low.rows)), False
        else:
            shares, low_maps = block_shares(low, self.res, rule, self.smooth), rule.low_maps
        made = blended(low, high, shares, self.output, low_maps)
        save_generator(self.output, made.net, made.mean)
        if not self.messages.quiet:
            title = f"layers {self.layers}" if self.layers else f"{self.res} px, rule {self.rule}: {rule.title}"
            print(f"{self.output}: generator of {made.size} px, {title}")
        if self.grid:
            self._sheet(low, high, seeds)

    def _parents(self) -> tuple[Sampler, Sampler]:
        from vtoon.latent.sampler import load_sampler
        from vtoon.weights.blend import check_relatives

        low, high = self.low or self.lower_res_pkl, self.high or self.higher_res_pkl
        if low is None or high is None:
            raise VtoonError("two generators are needed: vtoon blend LOW HIGH -o OUT.pt")
        parents = [load_sampler(path, "cpu") for path in (low, high)]
        if self.model_res and self.model_res != parents[0].size:
            raise VtoonError(f"{low}: draws {parents[0].size} px, not the {self.model_res} of --model_res")
        parents = parents[::-1] if self.reverse else parents
        check_relatives(*(parent.net.state_dict() for parent in parents))
        return parents[0], parents[1]

    def _sheet(self, low: Sampler, high: Sampler, seeds: list[int]) -> None:
        from vtoon.image import save_image
        from vtoon.latent.blend import blend_sheet
        from vtoon.weights.blend import RULES

        path = self.output.with_suffix(".png")
        save_image(path, blend_sheet(low, high, seeds, self.trunc, RULES[self.rule], self.smooth))
        if not self.messages.quiet:
            print(f"{path}: the swap at every resolution, {len(seeds)} seeds")
