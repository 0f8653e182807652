"""`vtoon dual`, `python -m vtoon.cli.dual`: DualStyleGAN's commands."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.conf import subcommand

from vtoon.cli.common import guard
from vtoon.cli.dual_destylize import Destylize
from vtoon.cli.dual_finetune import Finetune
from vtoon.cli.dual_generate import DualGenerate
from vtoon.cli.dual_pretrain import Pretrain
from vtoon.cli.dual_refine import Refine
from vtoon.cli.dual_sampler import TrainSampler
from vtoon.cli.dual_transfer import Transfer
from vtoon.cli.group import Group

Work = (
    Annotated[Destylize, subcommand("destylize", prefix_name=False)]
    | Annotated[Pretrain, subcommand("pretrain", prefix_name=False)]
    | Annotated[Finetune, subcommand("finetune", prefix_name=False)]
    | Annotated[Refine, subcommand("refine", prefix_name=False)]
    | Annotated[TrainSampler, subcommand("sampler", prefix_name=False)]
    | Annotated[DualGenerate, subcommand("generate", prefix_name=False)]
    | Annotated[Transfer, subcommand("transfer", prefix_name=False)]
)


@dataclass(frozen=True)
class Dual(Group):
    """DualStyleGAN: portraits in the style of one artwork, and its training.

    In this order: destylize, pretrain, finetune, refine, sampler; then transfer and generate draw. `vtoon dual WORK
    --help` tells more.
    """

    work: Work
    """What is done."""


def main(args: list[str] | None = None) -> None:
    """Entry of `python -m vtoon.cli.dual`."""
    args = sys.argv[1:] if args is None else args
    config = (tyro.conf.OmitArgPrefixes,)
    command = tyro.cli(Dual, prog="vtoon dual", args=args or ["--help"], use_underscores=True, config=config)
    sys.exit(guard(command.run, command.messages.verbose))


if __name__ == "__main__":
    main()
