"""Flags of `vtoon finetune` in groups: what D sees, what is kept of the model, how it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from vtoon.cli.common import Flag

Number = Annotated[int, arg(metavar="N")]
Count = Annotated[int | None, arg(metavar="N", help_behavior_hint="")]


@dataclass(frozen=True)
class Augmentation:
    """What the discriminator sees is changed at random, so that few pictures are enough."""

    aug: Literal["ada", "fixed", "noaug"] = "ada"
    """The chance p of changes follows how sure the discriminator is; is fixed; is zero."""
    target: Annotated[float, arg(aliases=["--ada_target"], metavar="SHARE")] = 0.6
    """How sure, of ada."""
    p: Annotated[float, arg(aliases=["--augment_p", "--initstrength"], metavar="SHARE")] = 0.0
    """The chance at the start, or for good with --aug fixed."""
    ada_kimg: Annotated[float | None, arg(metavar="KIMG", help_behavior_hint="(default: 100, from nothing 500)")] = None
    """Thousand pictures in which p can go from 0 to 1."""
    augpipe: Annotated[str, arg(metavar="bgc|scale,xflip,...")] = "bgc"
    """Which changes: blit, geom, color, filter, noise, cutout, bg, bgc, bgcf, bgcfn, bgcfnc, or a list of single
    ones such as scale,xflip,noise."""
    mirror: Flag = False
    """Half of the pictures are mirrored, which is not seen as a change."""


@dataclass(frozen=True)
class Keeping:
    """What is kept of the model that is resumed."""

    freeze_d: Annotated[int, arg(aliases=["--freezed"], metavar="N")] = 0
    """The discriminator's first N layers stay (StyleGAN2-ADA's count: the first, then three of each size)."""
    freeze_g: Number = 0
    """The generator's N lowest resolutions and its mapping network stay (FreezeG)."""
    freeze_style: Annotated[int, arg(aliases=["--freezeStyle"], metavar="N")] = 0
    """The first N rows of each latent are the resumed model's (FreezeSG, together with --freeze_g)."""
    freeze_fc: Annotated[Flag, arg(aliases=["--freezeFC"])] = False
    """The mapping network stays."""
    structure_loss: Number = 0
    """At the N resolutions from 8 px on, pictures stay as the resumed model draws them."""
    triplet: Annotated[float, arg(metavar="WEIGHT")] = 0.0
    """Faces are pulled toward those of --positive, away from those of --negative (Fine-Tooning)."""
    positive: Annotated[str | None, arg(metavar="CKPT", help_behavior_hint="")] = None
    """A generator whose persons are kept, for example of photos."""
    negative: Annotated[str | None, arg(metavar="CKPT", help_behavior_hint="")] = None
    """A generator that draws them too strange."""
    last_g: Annotated[int, arg(name="freezeG", aliases=["--finetune_loc"], metavar="N", help_behavior_hint="")] = -1
    """As Cartoon-StyleGAN counts: only the generator's last N blocks are taught."""
    last_d: Annotated[int, arg(name="freezeD", metavar="N", help_behavior_hint="")] = -1
    """As Cartoon-StyleGAN counts: only the discriminator's last N blocks and its end are taught."""


@dataclass(frozen=True)
class Machine:
    """How it is computed."""

    amp: Annotated[Literal["auto", "fp32", "bf16", "fp16"], arg(aliases=["--dtype"])] = "auto"
    """Arithmetic of the networks: auto is bf16 where the device multiplies it natively."""
    accumulate: Number = 1
    """Go through each batch in N parts: less memory, the same gradient."""
    channels_last: bool = True
    """On a graphics card, lay features out as its convolutions like them."""
    compile: Flag = False
    """Compile the networks first (minutes; needs a C++ compiler)."""
    seed: int = 0
    """Of what is random."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda|mps")] = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""
