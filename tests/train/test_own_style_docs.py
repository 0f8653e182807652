"""The commands of docs/own-style.md parse, and the flags that it names are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tyro

from vtoon.cli.main import COMMANDS

TEXT = (Path(__file__).parents[2] / "docs" / "own-style.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
LINES = [line[line.index("vtoon ") :] for block in BLOCKS for line in block.splitlines() if "vtoon " in line]


@pytest.mark.parametrize("line", LINES)
def test_each_command_parses(line):
    _, name, *args = shlex.split(line, comments=True)
    assert tyro.cli(COMMANDS[name], args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,)) is not None


NAMED = [("finetune",), ("dataset",), ("align",), ("distill",), ("train",), ("stylize",), ("convert",)]
NAMED += [("blend",), ("style", "make"), ("style", "pick")]


def test_flags_that_the_page_names_are_there(command):
    helps = "".join(command(*name, "--help").out for name in NAMED)
    for flag in set(re.findall(r"`(--[a-zA-Z_]+)", TEXT)):
        assert flag in helps, flag
