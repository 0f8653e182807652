"""From drawings in a folder to a clip: all stages once, nothing twice; the plan; bad input."""

import json

import pytest
from tiny import TINY

from vtoon.chain import pick, plan, settle
from vtoon.cli import main
from vtoon.train import students
from vtoon.weights.checkpoint import load_checkpoint

STAGES = "drawings finetune pick blend pretrain vtoonify special student clip sheet".split()
SHORT = "--kimg 0.008 --batch 4 --pretrain_iter 2 --iter 2 --student_iter 2".split()


@pytest.fixture
def asked(home, make_clip, tmp_path, monkeypatch, portrait):
    """The words of the command; results go to the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(students.PRESETS, "live", TINY)
    monkeypatch.setattr(pick, "COMPARED", range(4))
    for module in (plan, settle):  # wherever it was imported before
        monkeypatch.setattr(module, "STUDENT_BATCH", 2)
    monkeypatch.setattr(plan, "FEW", 2)
    clip = make_clip(tmp_path / "me.mp4", 2, portrait)
    words = ["style", "make", "mine", "--drawings", home / "drawings", "--faces", home / "faces"]
    words += ["--base", home / "base.pt", "--clip", clip, "--preset", "live", "--device", "cpu", *SHORT]
    return [str(word) for word in words]


def names_of(ended):
    """The stages of a printed plan."""
    return [line.split()[1] for line in ended.out.splitlines() if " GB  vtoon " in line]


def test_the_whole_chain_and_nothing_twice(command, asked, in_process, tmp_path):
    with pytest.raises(SystemExit) as end:
        main.main(asked)
    assert end.value.code == 0
    assert in_process.names == STAGES
    run = tmp_path / "runs/style/mine"
    for name in ("sheet.png", "clip.mp4", "picked.png", "picked.json", "toon.png", "mine-vtoonify.safetensors"):
        assert (run / name).is_file(), name
    assert load_checkpoint(run / "student/mine.safetensors").bank.styles[0].name == "mine"
    content = json.loads((run / "manifest.json").read_text())
    assert list(content["stages"]) == STAGES
    for record in content["stages"].values():
        assert record["status"] == "done" and record["command"].startswith("vtoon ") and record["seconds"] >= 0
        assert all(len(value) == 64 for value in (record["inputs"] | record["outputs"]).values())
    in_process.names.clear()
    ended = command(*asked)
    assert ended.code == 0 and in_process.names == [] and ended.out.count("done before") == len(STAGES)
    (run / "toon.pt").unlink()  # what is missing is made again
    assert command(*asked).code == 0 and in_process.names[0] == "blend"
    assert set(in_process.names) <= {"blend", "sheet"}


def test_a_dry_run_writes_nothing_and_tells_times(command, asked, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    ended = command(*asked, "--dry_run")
    assert ended.code == 0 and sorted(tmp_path.rglob("*")) == before
    assert names_of(ended) == STAGES
    assert "in all about" in ended.out.splitlines()[-1] and "memory" in ended.out.splitlines()[-1]


def test_few_drawings_are_a_style_of_single_pictures(command, asked, costs, home, tmp_path):
    (tmp_path / "two").mkdir()
    for name in ("0.png", "1.png"):
        (tmp_path / "two" / name).write_bytes((home / "drawings" / name).read_bytes())
    asked[4] = str(tmp_path / "two")
    ended = command(*asked, "--dry_run")
    names = names_of(ended)
    assert names[:3] == ["one0", "one1", "pick"] and "finetune" not in names


def test_without_a_base_one_is_taught_from_nothing(command, asked, costs):
    at = asked.index("--base")
    from_nothing = [*asked[:at], *asked[at + 2 :], "--dry_run"]
    ended = command(*from_nothing)
    assert names_of(ended)[:4] == ["faces", "base", "drawings", "finetune"]
    assert "teach a generator from nothing no faces yet" not in ended.out
    assert "0.1 kimg teach a generator from nothing no faces yet" in command(*from_nothing, "--base_kimg", "0.1").out


def test_a_budget_makes_trainings_as_long_as_fits(command, asked, costs):
    at = asked.index("--kimg")
    ended = command(*asked[:at], "--dry_run", "--budget", "10h")
    assert "in all about" in ended.out.splitlines()[-1]
    hours = float(ended.out.splitlines()[-1].split("about ")[1].split()[0])
    assert 8 < hours <= 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "2 fast"}, "a style's name begins with a letter"),
        ({"--drawings": "missing"}, "--drawings missing: not a folder"),
        ({"--drawings": "."}, "no picture in it"),
        ({"--drawings": None}, "name the drawings"),
        ({"--base": None}, "what draws faces is missing"),
        ({"--base": "missing.pt"}, "missing.pt: no such file"),
        ({"--size": "100"}, "--size 100"),
        ({"--size": "128"}, "draws 64 px; --size 128"),
        ({"--budget": "soon"}, "--budget 'soon'"),
        ({"--budget": "1s"}, "all that is not training takes"),
        ({"--clip": "missing.mp4"}, "--clip missing.mp4: no such file"),
        ({"--kimg": "0"}, "--kimg is 0"),
        ({"--faces": "missing"}, "--faces missing: not a folder"),
    ],
)
def test_bad_input_is_one_line(command, costs, home, tmp_path, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    words = {"name": "mine", "--drawings": home / "drawings", "--base": home / "base.pt"} | change
    flags = [part for pair in words.items() if pair[0] != "name" and pair[1] is not None for part in pair]
    ended = command("style", "make", words["name"], *flags)
    assert ended.code == 1 and said in ended.line
    assert not (tmp_path / "runs").exists()


def test_pick_can_be_overruled(command, home, tmp_path, monkeypatch):
    monkeypatch.setattr(pick, "COMPARED", range(2))
    for kimg in (4, 8):
        (tmp_path / f"network-snapshot-{kimg:06d}.pt").write_bytes((home / "base.pt").read_bytes())
    words = ["style", "pick", tmp_path, "--base", home / "base.pt", "-o", tmp_path / "out.pt", "--device", "cpu"]
    assert "snapshot 4: identity 0.000, score 0.000 <- taken" in command(*words).out
    assert command(*words, "--take", 8).code == 0
    assert json.loads((tmp_path / "out.json").read_text())["taken"] == 8
    assert "there is no snapshot 5; there are 4, 8" in command(*words, "--take", 5).line
    assert "no snapshot in it" in command(*words[:2], home, *words[3:]).line


def test_a_clip_of_still_faces_moves(command, home, tmp_path, monkeypatch):
    monkeypatch.setattr("vtoon.chain.show.FRAMES", 3)
    ended = command("style", "clip", home / "faces", "-o", tmp_path / "faces.mp4")
    assert ended.code == 0 and "6 frames" in ended.out
