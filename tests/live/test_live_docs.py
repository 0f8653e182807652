"""What docs/live.md says can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tyro

from vtoon.cli.live import KEYS
from vtoon.cli.main import COMMANDS

TEXT = (Path(__file__).parents[2] / "docs" / "live.md").read_text()
(BLOCK,) = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("line", BLOCK.splitlines())
def test_each_command_parses(line):
    _, name, *args = shlex.split(line)
    assert tyro.cli(COMMANDS[name], args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,)).output


def test_every_word_that_is_obeyed_is_named():
    for words in KEYS.split(" | "):
        assert f"`{words}`" in TEXT, words
