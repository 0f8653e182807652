"""A style of one's own: the command is started, watched and stopped; one at a time, for whoever started it."""

from __future__ import annotations

import sys
import time

import pytest

from vtoon.cli import web as command_web
from vtoon.cli.main import COMMANDS
from vtoon.errors import VtoonError
from vtoon.web import making as module
from vtoon.web import page
from vtoon.web.context import Context, Limits
from vtoon.web.jobs import Queue
from vtoon.web.making import Maker, Wanted, keep_drawings
from vtoon.web.models import Models
from vtoon.web.server import Serving
from vtoon.web.sessions import Sessions

PATIENT = """
import sys, time
print("making", *sys.argv[1:])
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("saved")
"""


@pytest.fixture
def maker(monkeypatch):
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", PATIENT))
    made = Maker()
    yield made
    made.stop()


def until(condition):
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def test_it_is_watched_and_stopped_by_who_started_it(maker, tmp_path):
    made = maker.start("a", Wanted("mine", tmp_path, "1h"))
    until(lambda: made.lines)
    assert made.lines[0] == f"making mine --drawings {tmp_path} --budget 1h" and not made.over
    with pytest.raises(VtoonError, match="already"):
        maker.start("b", Wanted("theirs", tmp_path))
    maker.stop("b")
    assert maker.of("b") is None and maker.of("a") is made and not made.over
    maker.stop("a")
    assert made.over and made.stopped and made.lines[-1] == "saved" and made.code == 0


def test_what_does_not_end_is_ended_and_what_fails_says_why(maker, tmp_path, monkeypatch):
    stubborn = "import signal, time; signal.signal(2, signal.SIG_IGN); print(1); time.sleep(60)"
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", stubborn))
    made = maker.start("a", Wanted("mine", tmp_path))
    until(lambda: made.lines)
    made.stop(patience=0.2)
    until(lambda: made.over)
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", "raise SystemExit('error: too few')"))
    failed = maker.start("b", Wanted("mine", tmp_path))
    until(lambda: failed.over)
    assert failed.code == 1 and list(failed.lines) == ["error: too few"]


@pytest.mark.parametrize("name", ["", "-x", "../up", "a b", "x" * 41])
def test_names_are_plain(name, tmp_path):
    with pytest.raises(VtoonError, match="letters, digits"):
        Wanted(name, tmp_path)


def test_generators_that_were_trained_here_are_offered(tmp_path):
    names = ["checkpoint/ffhq256.pkl", "checkpoint/other.pt", "runs/faces/network-snapshot-000009.pt"]
    names += ["runs/faces/network-snapshot-000010.pt", "runs/style/mine/base/network-snapshot-000004.pt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    offered = [names[0], *names[3:]]  # of each run the newest
    assert Models("cpu", tmp_path).generators() == [str(tmp_path / name) for name in offered]


def test_a_folder_must_be_there(tmp_path):
    assert Wanted("mine", tmp_path, "1h", tmp_path, "checkpoint/ffhq256.pkl").words[-4:] == [
        "--faces",
        str(tmp_path),
        "--base",
        "checkpoint/ffhq256.pkl",
    ]
    with pytest.raises(VtoonError, match="base is"):
        Wanted("mine", tmp_path, base="--x")
    with pytest.raises(VtoonError, match="no such folder"):
        Wanted("mine", tmp_path / "none")


def test_drawings_that_were_sent_outlast_the_session_and_lie_where_they_lay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    first = keep_drawings("mine", [tmp_path / "a.png"])
    again = keep_drawings("mine", [tmp_path / "b.png"])
    assert first == again and [path.name for path in (tmp_path / again).iterdir()] == ["b.png"]
    with pytest.raises(VtoonError, match="letters, digits"):
        keep_drawings("../mine", [])
    (tmp_path / "runs" / "drawings" / "file").write_text("")
    with pytest.raises(VtoonError, match="cannot be kept"):
        keep_drawings("file", [])


def test_the_tab_is_there_where_the_command_is(monkeypatch, tiny_model):
    import vtoon.pipeline.stylize

    monkeypatch.setattr(vtoon.pipeline.stylize, "DEFAULT_CHECKPOINT", tiny_model)
    sessions = Sessions()
    for maker in (None, Maker()):
        blocks = page.build(Context(sessions, Models("cpu"), Queue(), Limits(), maker=maker), "en")
        names = {part["props"].get("elem_id") for part in blocks.get_config_file()["components"]}
        assert ("own_style-start" in names) == (maker is not None) and "live-stage" in names
    sessions.close()
    monkeypatch.setitem(COMMANDS, "style", object)
    monkeypatch.setattr(command_web, "TRAINING", ("json",))
    assert command_web.can_make_styles()
    monkeypatch.setattr(command_web, "TRAINING", ("nothing_of_this_name",))
    assert not command_web.can_make_styles()


def test_a_folder_of_this_machine_is_named_by_who_sits_at_it_alone():
    assert Serving().local and not Serving(host="0.0.0.0").local and not Serving(root_path="/vtoon").local
