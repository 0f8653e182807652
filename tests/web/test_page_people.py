"""Faces are switched off one by one; followed once, they are followed for every other style."""

from __future__ import annotations

import filecmp

import numpy as np
import pytest

import vtoon
from vtoon.faces import FaceTracker
from vtoon.image import save_image
from vtoon.pipeline.people import Place
from vtoon.types import Frame, TrackedFrame
from vtoon.video import VideoReader
from vtoon.video.part import Part
from vtoon.web.clips import open_clip
from vtoon.web.dropped import PICTURE, VIDEO, Dropped
from vtoon.web.jobs import Job
from vtoon.web.models import OWN, Menu
from vtoon.web.people import left_out, persons, switched
from vtoon.web.settings import Settings
from vtoon.web.tracks import KEPT_FACES, Tracks
from vtoon.web.work import Hands, draw_video

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def stylizer(tiny_model):
    return vtoon.load(tiny_model, "cpu")


def settings_of(stylizer, look="comic", **chosen):
    style, transfer = Menu.of(stylizer).find(look, OWN)
    kind = {"format": "MOV (ProRes)", "detail": 64, "steady": False, "color_transfer": transfer, **chosen}
    return Settings(str(stylizer.checkpoint.path), style, **kind)


def drawn(hands, pair_clip, folder):
    folder.mkdir()
    (made,) = draw_video(Job("a", lambda job: []), hands, pair_clip, folder)
    return made


def test_the_command_line_leaves_the_same_people(command, stylizer, pair_clip, tmp_path, monkeypatch):
    settings = settings_of(stylizer, skipped=(Place(80, 60, 0.08),), start=0.04)
    made = drawn(Hands(stylizer, settings), pair_clip, tmp_path / "page")
    monkeypatch.chdir(tmp_path)
    (tmp_path / pair_clip.name).symlink_to(pair_clip)
    words = settings.command([pair_clip.name], made.name)
    assert words[words.index("--skip_faces") + 1] == "80,60@0.08"
    ended = command(*words[1:], "--device", "cpu")
    assert ended.code == 0, ended.err
    assert filecmp.cmp(made, made.name, shallow=False)


def test_another_style_follows_no_face_again_and_is_the_same(stylizer, pair_clip, tmp_path, monkeypatch):
    tracks, chosen = Tracks(), {"skipped": (Place(240, 60),)}
    drawn(Hands(stylizer, settings_of(stylizer), tracks), pair_clip, tmp_path / "first")
    fresh = drawn(Hands(stylizer, settings_of(stylizer, "cartoon", **chosen)), pair_clip, tmp_path / "fresh")

    def never(*_):
        raise AssertionError("followed again")
        yield

    monkeypatch.setattr(FaceTracker, "track", never)
    again = drawn(Hands(stylizer, settings_of(stylizer, "cartoon", **chosen), tracks), pair_clip, tmp_path / "again")
    assert filecmp.cmp(fresh, again, shallow=False)


def test_what_is_kept_is_of_the_same_part_and_bounded(pair_clip):
    tracks, whole = Tracks(), VideoReader(pair_clip, part=Part(0, 0.2))
    tracks.keep(whole, [((), True)] * 5)
    assert tracks.find(VideoReader(pair_clip, part=Part(0, 0.1))) is tracks.find(whole) is not None
    assert (
        tracks.find(VideoReader(pair_clip)) is None
        and tracks.find(VideoReader(pair_clip, part=Part(0.04, 0.1))) is None
    )
    tracks.keep(VideoReader(pair_clip, part=Part(0.08)), [((), False)] * KEPT_FACES)
    assert tracks.find(whole) is None
    frames = [Frame(np.zeros((8, 8, 3), np.uint8), i) for i in range(3)]
    stopped = tracks.through(whole, iter(frames), (TrackedFrame(frame) for frame in frames))
    next(stopped), stopped.close()
    assert tracks.find(whole) is None  # what was cancelled is not the whole


def test_switches_go_off_and_on(pair_clip, pair, tmp_path, portrait):
    dropped = Dropped(VIDEO, (open_clip(pair_clip, "video"),), tmp_path)
    people = persons(dropped.at(0.1), left_out(dropped, 0.1, ()))
    assert [person.drawn for person in people] == [True, True] and people[0].x < 0.5 < people[1].x
    off = switched(dropped, 0.1, (), people[1].face, False)
    assert off[0].seconds == 0.1 and off[0].x > 160 and off[0].file is None
    assert [person.drawn for person in persons(dropped.at(0.1), left_out(dropped, 0.1, off))] == [True, False]
    assert switched(dropped, 0.1, off, people[1].face, True) == () and switched(dropped, 0.1, off, 9, False) == off
    save_image(tmp_path / "a.png", pair), save_image(tmp_path / "b.png", portrait[:, ::-1])
    clips = tuple(open_clip(tmp_path / name, "image") for name in ("a.png", "b.png"))
    dropped = Dropped(PICTURE, clips, tmp_path)
    off = switched(dropped, 2, (), 0, False)
    assert off[0].file == tmp_path / "b.png"
    assert all(left_out(dropped, 1, off))  # the same person in another picture
    assert switched(dropped, 1, off, 0, True) == ()
