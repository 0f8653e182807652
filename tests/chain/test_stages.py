"""Stages in turn: done once, gone on with, done anew where something has changed; failure leaves the rest."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small_base import base_in

from vtoon.chain.manifest import Manifest
from vtoon.chain.process import Ended
from vtoon.chain.stage import Stage
from vtoon.chain.work import work
from vtoon.errors import VtoonError
from vtoon.image import save_image


class Machine:
    """Writes each stage's outputs, and keeps which were run; `ends`: what becomes of one of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ran, self.ends, self.said = folder, [], {}, []

    def __call__(self, stage, log):
        self.ran.append(stage.name)
        end = self.ends.get(stage.name, Ended(0))
        if isinstance(end, BaseException):
            raise end
        if end.code == 0:
            for path in stage.outputs:
                path.write_text("".join(p.read_text() for p in stage.inputs) + " ".join(stage.command))
        return end

    def go(self, stages):
        self.ran.clear()
        self.said.clear()
        work(stages, Manifest(self.folder), self, self.said.append)
        return self.ran


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "source").write_text("drawings")
    (tmp_path / "run").mkdir()
    return Machine(tmp_path / "run")


def stages_in(folder: Path, word: str = "b") -> list[Stage]:
    """a reads the source, b reads a, c reads the source alone."""
    source, (a, b, c) = folder.parent / "source", (folder / name for name in "abc")
    return [
        Stage("a", ("make", "a"), (source,), (a,)),
        Stage("b", ("make", word), (a,), (b,), clears=(folder / "b.state",)),
        Stage("c", ("make", "c"), (source,), (c,)),
    ]


def test_what_is_done_is_not_done_again(machine):
    stages = stages_in(machine.folder)
    assert machine.go(stages) == ["a", "b", "c"]
    assert machine.go(stages) == []
    assert all("done before" in line for line in machine.said)


def test_a_changed_input_redoes_what_depends_on_it(machine):
    stages = stages_in(machine.folder)
    machine.go(stages)
    (machine.folder / "a").write_text("by hand")
    assert machine.go(stages) == ["a"]  # and a is again what b has read
    (machine.folder.parent / "source").write_text("other drawings")
    assert machine.go(stages) == ["a", "b", "c"]
    assert machine.go(stages_in(machine.folder, "otherwise")) == ["b"]


def test_a_touched_file_is_not_a_changed_one(machine):
    stages = stages_in(machine.folder)
    machine.go(stages)
    os.utime(machine.folder.parent / "source", (1, 1))
    assert machine.go(stages) == []


def test_a_failed_stage_leaves_the_others_and_says_how_to_go_on(machine):
    stages = stages_in(machine.folder)
    machine.ends["a"] = Ended(1, None, "error: no paint")
    with pytest.raises(
        VtoonError, match=r"stage a failed: no paint; its log is .*a\.log.*the same command goes on"
    ) as e:
        machine.go(stages)
    assert "\n" not in str(e.value) and machine.ran == ["a", "c"] and "b: left out, it needs a" in machine.said[1]
    del machine.ends["a"]
    assert machine.go(stages) == ["a", "b"]


def test_what_is_not_written_is_not_done(machine):
    machine.ends["b"] = Ended(0)
    stages = stages_in(machine.folder)
    wrong = Stage("b", stages[1].command, stages[1].inputs, (machine.folder / "b" / "deeper",))
    run = machine.__call__
    with pytest.raises(VtoonError, match="deeper was not written"):
        work([wrong], Manifest(machine.folder), lambda stage, log: Ended(0), machine.said.append)
    assert run


def test_a_stopped_stage_keeps_its_state_and_a_changed_one_does_not(machine):
    stages = stages_in(machine.folder)
    state = machine.folder / "b.state"
    machine.ends["b"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        machine.go(stages)
    assert Manifest(machine.folder).content["stages"]["b"]["status"] == "stopped"
    state.write_text("half done")
    del machine.ends["b"]
    assert machine.go(stages) == ["b", "c"] and "b, goes on" in machine.said[1] and state.exists()
    assert machine.go(stages_in(machine.folder, "otherwise")) == ["b"] and not state.exists()


def test_a_damaged_manifest_is_one_line(machine):
    (machine.folder / "manifest.json").write_text("{")
    with pytest.raises(VtoonError, match="move it away"):
        Manifest(machine.folder)


GO = """
import sys
from pathlib import Path
from vtoon.chain.manifest import Manifest
from vtoon.chain.process import run
from vtoon.chain.stage import Stage
from vtoon.chain.work import work
from vtoon.cli.common import guard
words = "finetune --data drawings --resume base.pt -o run/out --kimg 0.048 --batch 4 --preview 2 --metrics none"
final = Path("run/out/network-snapshot-000000.pt")
stage = Stage("finetune", (*words.split(), "--device", "cpu"), (Path("drawings"),), (final,), (Path("run/out"),))
sys.exit(guard(lambda: work([stage], Manifest(Path("run")), run, lambda line: print(line, flush=True))))
"""


def test_ctrl_c_reaches_the_training_which_saves_and_goes_on(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for i in range(4):
        save_image(tmp_path / "drawings" / f"{i}.png", rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    base_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(
        [sys.executable, "-c", GO], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    while first.poll() is None and not (tmp_path / "run/out/preview_000002.png").exists():
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate()
    assert first.returncode == 130, said.decode()
    assert Manifest(tmp_path / "run").content["stages"]["finetune"]["status"] == "stopped"
    assert 2 <= torch.load(tmp_path / "run/out/state.pt", weights_only=True)["step"] < 12
    again = subprocess.run([sys.executable, "-c", GO], capture_output=True, text=True, env=environment)
    assert again.returncode == 0, again.stderr
    assert "finetune, goes on" in again.stdout and "goes on from run/out/state.pt" in again.stdout
    record = Manifest(tmp_path / "run").content["stages"]["finetune"]
    assert record["status"] == "done"
    if Path("/proc/self/status").exists():
        assert record["memory_mb"] > 50
    assert "goes on from" in (tmp_path / "run/logs/finetune.log").read_text()
