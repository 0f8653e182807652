"""The commands of docs/dual.md parse, the flags that it names are there, and its table says what the terms are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tyro
from parity import DATA

from vtoon.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "dual.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("vtoon ")]
WORKS = {line.split()[2] for line in LINES if line.startswith("vtoon dual ")}


@pytest.mark.parametrize("line", LINES)
def test_each_command_parses(line):
    _, name, *args = shlex.split(line, comments=True)
    assert tyro.cli(COMMANDS[name], args=args, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,)) is not None


def test_every_command_is_shown_and_every_flag_is_there(command, monkeypatch):
    assert set("destylize pretrain finetune refine sampler generate transfer".split()) == WORKS
    helps = "".join(command("dual", name, "--help").out for name in sorted(WORKS))
    for flag in set(re.findall(r"`(--[a-zA-Z0-9_]+)", TEXT)):
        assert flag in helps, flag


def test_the_table_has_the_published_numbers():
    shown = [float(x) for x in re.findall(r"^\| [^|]+ \| ([\d.]+) \| \S+ \|$", TEXT, re.MULTILINE)]
    known = [float(x) for x in np.load(DATA / "train" / "dual_terms.npz").values()]
    assert sorted(shown) == pytest.approx(sorted(known), rel=1e-6)
