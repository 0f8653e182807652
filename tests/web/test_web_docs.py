"""What docs/web.md says can be typed; without the extra one line says what to install."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import tyro

from vtoon.cli.main import COMMANDS

TEXT = (Path(__file__).parents[2] / "docs" / "web.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("vtoon ")]


@pytest.mark.parametrize("line", LINES)
def test_each_command_parses(line):
    _, name, *args = shlex.split(line)
    assert tyro.cli(COMMANDS[name], args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))


def test_defaults_that_are_named_are_the_defaults(command):
    shown = command("web", "--help").out
    for flag, value in re.findall(r"`(--max_mb|--max_minutes|--queue) (\d+)`", TEXT):
        assert re.search(rf"{flag} .*?default: {value}", shown, re.DOTALL), flag


def test_without_gradio_it_says_what_to_install(command, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("vtoon.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    ended = command("web", "--no_browser")
    assert ended.code == 1 and ended.line == 'error: gradio is not installed: pip install "vtoon[web]"'
