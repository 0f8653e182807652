"""The `vtoon` command: which subcommands there are."""

from __future__ import annotations

import sys

import tyro

import vtoon
from vtoon.cli.align import Align, Detect
from vtoon.cli.bench import Bench
from vtoon.cli.blend import Blend
from vtoon.cli.common import Talk, guard
from vtoon.cli.convert import Convert
from vtoon.cli.curate import Curate
from vtoon.cli.dataset import Dataset
from vtoon.cli.distill import DistillCommand
from vtoon.cli.dual import Dual
from vtoon.cli.edit import Edit
from vtoon.cli.export import Export
from vtoon.cli.finetune import Finetune
from vtoon.cli.finetune_names import as_flags
from vtoon.cli.generate import Generate, Mix, Morph
from vtoon.cli.inspect import Inspect
from vtoon.cli.live import Live
from vtoon.cli.parse import Parse
from vtoon.cli.project import Project, Toonify
from vtoon.cli.sefa import Sefa
from vtoon.cli.serve import Serve
from vtoon.cli.style import Style
from vtoon.cli.styles import Styles
from vtoon.cli.stylize import Stylize
from vtoon.cli.teach import Nada, One, Styleclip
from vtoon.cli.train import Train
from vtoon.cli.train_vtoonify import TrainD, TrainT
from vtoon.cli.web import Web

COMMANDS = {
    "stylize": Stylize,
    "web": Web,
    "serve": Serve,
    "live": Live,
    "styles": Styles,
    "inspect": Inspect,
    "bench": Bench,
    "parse": Parse,
    "convert": Convert,
    "export": Export,
    "align": Align,
    "detect": Detect,
    "curate": Curate,
    "generate": Generate,
    "blend": Blend,
    "project": Project,
    "toonify": Toonify,
    "mix": Mix,
    "morph": Morph,
    "sefa": Sefa,
    "edit": Edit,
    "styleclip": Styleclip,
    "nada": Nada,
    "one": One,
    "dataset": Dataset,
    "train": Train,
    "train_vtoonify_d": TrainD,
    "train_vtoonify_t": TrainT,
    "distill": DistillCommand,
    "finetune": Finetune,
    "dual": Dual,
    "style": Style,
}
ABOUT = "Face video stylization. `vtoon COMMAND --help` tells more; `vtoon --version` prints the version."


def main(args: list[str] | None = None) -> None:
    """Entry of the console script."""
    args = sys.argv[1:] if args is None else args
    if args == ["--version"]:
        print(f"vtoon {vtoon.__version__}")
        return
    args = as_flags(args) if args[:1] == ["finetune"] else args
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="vtoon",
        description=ABOUT,
        args=args or ["--help"],
        use_underscores=True,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    talk = getattr(command, "messages", Talk())
    told = {"when_stopped": command.when_stopped} if hasattr(command, "when_stopped") else {}
    sys.exit(guard(command.run, talk.verbose, **told))
