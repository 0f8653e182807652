"""Who is pointed at is left as he is: in the frame itself by place, in all others by look."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

import vtoon
from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector
from vtoon.image import load_image, save_image
from vtoon.pipeline import people as module
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.people import People, Place, Seen, frame_of
from vtoon.types import Frame, Landmarks, TrackedFace, TrackedFrame
from vtoon.video import VideoReader
from vtoon.video.part import Part

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def stylizer(tiny_model):
    return vtoon.load(tiny_model, "cpu")


def change(before, after):
    """Of the left and the right half."""
    gap = np.abs(before.astype(int) - after)
    return gap[:, :160].mean(), gap[:, 160:].mean()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("320,140", Place(320, 140)),
        ("320.5,140@2.5", Place(320.5, 140, 2.5)),
        ("a:b,c.png:1,2", Place(1, 2, 0, module.Path("a:b,c.png"))),
    ],
)
def test_a_place_is_read_as_it_is_written(text, place):
    assert Place.parse(text) == place and str(place) == text


def test_what_is_no_place_is_one_line():
    for wrong in ("2", "1,2@", "x,y", "-1,2"):
        with pytest.raises(VtoonError, match=r"as 320,140@2.5"):
            StylizeOptions(skip_faces=(wrong,))
    with pytest.raises(VtoonError, match="paste or crop"):
        StylizeOptions(skip_faces=("1,2",), placement="full")


def test_one_of_two_in_a_photo_is_left(stylizer, pair):
    left, right = change(pair, stylizer.stylize_image(pair, skip_faces=("80,60",)))
    assert left == 0 < right
    both = stylizer.stylize_picture(pair, skip_faces=("80,60", "240,60"))
    assert both[1] == 0 and (both[0] == pair).all()
    with pytest.raises(VtoonError, match=r"no face at 5,5; in this frame faces are at \d+,\d+ and \d+,\d+"):
        stylizer.stylize_image(pair, skip_faces=("5,5",))


def test_a_crop_is_of_the_face_that_is_drawn(stylizer, pair):
    options = {"placement": "crop", "padding": (60, 60, 60, 60), "style_degree": 0.0, "detail": 64}
    shown = [stylizer.stylize_image(pair, skip_faces=(place,), **options) for place in ("80,60", "240,60")]
    assert shown[0].shape == shown[1].shape and np.abs(shown[0].astype(int) - shown[1]).mean() > 0


@pytest.mark.parametrize(("place", "start"), [("240,60", 0.0), ("240,60@0.12", 0.08)])
def test_one_of_two_is_left_through_a_clip(stylizer, pair_clip, pair, tmp_path, place, start):
    options = {"skip_faces": (place,), "detail": 64, "start": start, "codec": "prores", "steady": False}
    done = stylizer.stylize_video(pair_clip, tmp_path / "toon.mov", **options)
    assert done.faces == 1 or start  # before the frame that was pointed at, twins look alike
    with VideoReader(pair_clip, part=Part(start)) as before, VideoReader(tmp_path / "toon.mov") as after:
        for number, (source, drawn) in enumerate(zip(before, after, strict=True)):
            if number or not start:
                left, right = change(source.image, drawn.image)
                assert right < 0.5 * left, number


def test_frames_are_known_by_the_file_s_own_time(pair_clip):
    with VideoReader(pair_clip) as reader:
        times = [frame.pts * frame.time_base for frame in reader]
    assert _near(frame_of(pair_clip, 0.12), times[3]) and _near(frame_of(pair_clip), times[0])
    with pytest.raises(VtoonError, match="shorter"):
        frame_of(pair_clip, 9)


def _near(frame, time):
    return abs(frame.pts * frame.time_base - time) < Fraction(1, 1000)


@pytest.fixture
def colours(monkeypatch):
    """People are told apart by the colour of their picture."""

    class Net:
        def embed(self, image, landmarks):
            x, y = landmarks.points.mean(0).astype(int)
            return image[y, x].astype(np.float32) / 255

    monkeypatch.setattr(module, "_net", Net)


def face(x):
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return Landmarks(np.column_stack([x + 10 * np.cos(angles), 30 + 10 * np.sin(angles)]))


def painted(*levels):
    """A frame with a face of each colour, uint8 [60, 60 n, 3]."""
    return np.hstack([np.full((60, 60, 3), level, np.uint8) for level in levels])


def seen(*levels, time=Fraction(0)):
    return Seen(painted(*levels), tuple(face(30 + 60 * i) for i in range(len(levels))), time)


def tracked(pts, *levels, first=0, held=False):
    faces = tuple(TrackedFace(first + i, face(30 + 60 * i), held) for i in range(len(levels)))
    return TrackedFrame(Frame(painted(*levels), pts), faces, not pts)


def test_after_a_cut_a_person_is_known_by_look(colours):
    people = People([(seen(200, 40), [Place(30, 30)])])
    frames = [tracked(0, 200, 40), tracked(1, 200, 40), tracked(2, 45, 190, 255, first=2)]
    kept = [[face.track for face in frame.faces] for frame in people.leave(iter(frames))]
    assert kept == [[1], [1], [2]]  # 190 is the one, and so is 255: nobody is more like it
    stranger = People([(seen(0, 255, time=None), [Place(30, 30)])])
    assert [len(frame.faces) for frame in stranger.leave(iter([tracked(0, 120)]))] == [1]  # alike enough to nobody


def test_looks_are_averaged_and_few(colours, monkeypatch):
    people, looks = People([(seen(200, 40, time=None), [Place(30, 30)])]), []
    plain = people._by_look
    monkeypatch.setattr(people, "_by_look", lambda look: looks.append(look) or plain(look))
    list(people.leave(tracked(i, 130 if i else 60, held=i == 5) for i in range(40)))
    assert [round(255 * float(look[0])) for look in looks] == [60, 95, 107]  # a held face is not looked at


def test_the_same_face_is_known_in_another_file(stylizer, pair, tmp_path, portrait):
    save_image(tmp_path / "who.png", portrait)
    small = cv2.flip(cv2.resize(portrait, (200, 200), interpolation=cv2.INTER_AREA), 1)
    drawn = stylizer.stylize_picture(small, skip_faces=(Place(150, 90, 0.0, tmp_path / "who.png"),))
    assert drawn[1] == 0 and (drawn[0] == small).all()
    assert load_image(tmp_path / "who.png")[0].shape == portrait.shape and FaceDetector().detect(small)
