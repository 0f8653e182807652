"""What is private stays private, and what is over is gone."""

from __future__ import annotations

import os
import stat
import time

import pytest

from vtoon.errors import VtoonError
from vtoon.web import sessions as module
from vtoon.web.clips import open_clip, safe_name
from vtoon.web.sessions import Sessions
from vtoon.web.strings import CHINESE, ENGLISH, duration, preferred


@pytest.fixture
def sessions():
    made = Sessions(idle_seconds=100)
    yield made
    made.close()
    assert not made.root.exists()


def upload(sessions, name="me.mp4"):
    path = sessions.uploads / "hash" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"pictures")
    return str(path)


def test_an_upload_is_adopted_by_the_session_that_made_it_alone(sessions):
    ours, theirs, path = sessions.new(), sessions.new(), upload(sessions)
    ours.uploads.add(path)
    for other in (path, "/etc/passwd", f"{ours.folder}/../../x"):
        with pytest.raises(VtoonError, match="was not uploaded here"):
            theirs.adopt(other, theirs.room(), "me.mp4")
    room = ours.room()
    assert ours.adopt(path, room, "me.mp4").read_bytes() == b"pictures"
    assert ours.adopt(path, room, "me.mp4").name == "me-2.mp4"
    assert stat.S_IMODE(os.stat(sessions.root).st_mode) == 0o700


def test_names_cannot_be_guessed_or_used_by_others(sessions):
    ours, theirs = sessions.new(), sessions.new()
    token = ours.offer(ours.room() / "a.mp4").split("/")[0]
    assert token in ours.files and token not in theirs.files
    assert len({sessions.new().id for _ in range(50)}) == 50 and min(map(len, (token, ours.id))) >= 22
    assert sessions.find(ours.id) is ours and sessions.find("x") is None and sessions.find(None) is None


def test_old_results_and_idle_sessions_go(sessions, monkeypatch):
    session = sessions.new()
    rooms = [session.room() for _ in range(module.RESULTS + 1)]
    for room in rooms:
        (room / "a.mp4").write_bytes(b"x")
        session.offer(room / "a.mp4")
        session.finished(room)
    assert not rooms[0].exists() and rooms[-1].exists() and len(session.files) == module.RESULTS
    path, now = upload(sessions), time.monotonic()
    sessions.tidy()
    assert sessions.find(session.id) and os.path.exists(path)
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 1000)
    monkeypatch.setattr(module.time, "time", lambda: os.stat(path).st_mtime + 1000)
    sessions.tidy()
    assert sessions.find(session.id) is None and not session.folder.exists() and not os.path.exists(path)


def test_pictures_in_memory_are_bounded(sessions):
    session = sessions.new()
    tokens = [session.show(b"x") for _ in range(module.SHOWN + 5)]
    assert len(session.pictures) == module.SHOWN and tokens[0] not in session.pictures


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("frame%04d.png", "frame_04d.png"),
        ("-o evil.mp4", "o evil.mp4"),
        ("a*?.mov", "a__.mov"),
        (".part", "part"),
        ("我的 clip.mp4", "我的 clip.mp4"),
        ("x" * 300 + ".mp4", "x" * 80 + ".mp4"),
        ("..", "clip"),
    ],
)
def test_names_of_files_are_made_plain(given, safe):
    assert safe_name(given) == safe


@pytest.mark.parametrize(
    "text", ["#EXTM3U\nfile:///etc/passwd", "ffconcat version 1.0\nfile a.mp4", "\n<?xml ?><MPD/>"]
)
def test_a_file_that_only_names_others_is_refused(tmp_path, text):
    path = tmp_path / "list.mp4"
    path.write_text(text)
    with pytest.raises(VtoonError, match=r"^list.mp4: a list that names other files"):
        open_clip(path, "video")


def test_what_is_not_the_tab_s_kind_is_told_in_one_line(tmp_path, make_clip):
    text, clip = tmp_path / "a.mp4", make_clip(tmp_path / "b.mp4", 2)
    text.write_text("no film")
    with pytest.raises(VtoonError, match=r"^a.mp4: not a readable video"):
        open_clip(text, "video")
    with pytest.raises(VtoonError, match="belongs to the tab Video"):
        open_clip(clip, "image")
    assert open_clip(clip, "video").last == pytest.approx(0.04)


def test_both_languages_say_the_same_things():
    assert ENGLISH.keys() == CHINESE.keys()
    for key, text in ENGLISH.items():
        assert text.count("{") == CHINESE[key].count("{"), key


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("de,en;q=0.7,zh;q=0.3", "en"),
        ("en;q=0.1,zh-TW", "zh"),
        ("x;q=y", "en"),
    ],
)
def test_the_browser_chooses_the_language(accept, language):
    assert preferred(accept) == language


def test_durations():
    assert [duration(s) for s in (4.25, 65.2, 3700)] == ["4.2 s", "1:05", "1:01:40"]
