"""What docs/serve.md says can be typed and asked for."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tyro

from vtoon.cli.main import COMMANDS
from vtoon.web.service.service import CONTAINERS, Wanted

TEXT = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("vtoon ")])
def test_each_command_parses(line):
    _, name, *args = shlex.split(line)
    assert tyro.cli(COMMANDS[name], args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))


def test_settings_and_flags_that_the_page_names_are_there(command):
    (row,) = [line for line in TEXT.splitlines() if line.startswith("| `POST /v1/jobs`")]
    for name in vars(Wanted()):
        assert f"`{name}`" in row, name
    assert f"({', '.join(CONTAINERS)})" in row
    shown = command("serve", "--help").out
    for flag in set(re.findall(r"`(--\w+)", TEXT)):
        assert flag in shown, flag


def test_containers_are_run_with_flags_that_are_there():
    (line,) = [line for line in LINES if line.startswith("docker run")]
    words = shlex.split(line)
    args = words[words.index("vtoon", words.index("-e") + 2) + 1 :]
    assert tyro.cli(COMMANDS["serve"], args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
