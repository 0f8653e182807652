"""Every road's stages: what one reads another has left before it, or it is the user's; commands are those of vtoon."""

from pathlib import Path

import pytest
import tyro

from vtoon.chain.plan import Facts, Lengths, Planner, layers_text, shares, snapshot
from vtoon.chain.wish import Wish, seconds_of, shown
from vtoon.cli.main import COMMANDS
from vtoon.errors import VtoonError

RUN = Path("run")


def planned(count: int, faces: bool = True, base: bool = True, dual: bool = True):
    wish = Wish("mine", Path("drawings"), Path("faces") if faces else None, "base.pt" if base else None)
    facts = Facts(64, tuple(Path(f"drawings/{i}.png") for i in range(count)), 9 * faces, dual)
    return Planner(wish, facts, Lengths(), RUN).plan()


@pytest.mark.parametrize(("faces", "base"), [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize(("count", "dual"), [(1, True), (6, True), (30, True), (30, False)])
def test_each_stage_reads_what_is_there(count, dual, faces, base):
    made = set()
    stages = planned(count, faces, base, dual)
    for stage in stages:
        for path in stage.inputs:
            assert path in made or RUN not in path.parents, f"{stage.name} reads {path}"
        assert all(RUN in path.parents for path in (*stage.outputs, *stage.clears))
        made |= set(stage.outputs)
        if stage.command[0] in COMMANDS:
            config = (tyro.conf.OmitArgPrefixes,)
            tyro.extras.subcommand_cli_from_dict(
                COMMANDS, args=list(stage.command), use_underscores=True, config=config
            )
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names) and names[-2:] == ["clip", "sheet"]
    assert ("destylize" in names) == (count >= 30 and dual)
    assert RUN / "mine-vtoonify.safetensors" in made


def test_shares_of_the_layers():
    assert layers_text(shares("strokes", 10)) == "0:0,3:1"
    assert layers_text(shares("structure", 10)) == "0:1,5:0"
    assert layers_text(shares("all", 10)) == "0:1"


def test_names_of_snapshots_are_those_of_the_training():
    assert snapshot(0.008, 4) == "network-snapshot-000000.pt" and snapshot(100, 16) == "network-snapshot-000100.pt"


def test_lengths_of_time():
    assert [seconds_of(text) for text in ("2h", "90m", "1h30m", "45s", "1.5H")] == [7200, 5400, 5400, 45, 5400]
    for text in ("", "2", "soon", "-1h"):
        with pytest.raises(VtoonError, match="--budget"):
            seconds_of(text)
    assert [shown(s) for s in (5, 600, 7200, 864000)] == ["5 s", "10 min", "2.0 h", "10 days"]
