"""The commands of docs/latent.md parse."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tyro

from vtoon.cli.main import COMMANDS

TEXT = (Path(__file__).parents[2] / "docs" / "latent.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("vtoon ")]


@pytest.mark.parametrize("line", LINES)
def test_each_command_parses(line):
    _, name, *args = shlex.split(line, comments=True)
    assert tyro.cli(COMMANDS[name], args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,)) is not None


def test_every_command_of_the_studio_is_shown():
    shown = {line.split()[1] for line in LINES}
    assert shown == set(
        "align detect curate generate mix morph blend project toonify sefa edit styleclip nada one".split()
    )


def test_flags_that_the_page_names_are_there(command):
    helps = "".join(command(name, "--help").out for name in {line.split()[1] for line in LINES})
    for flag in set(re.findall(r"`(--[a-z][\w-]*)", TEXT)) - {"--no-align"}:
        assert flag.replace("-", "_").replace("__", "--", 1) in helps, flag
