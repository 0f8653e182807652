"""Logic on scripted faces (fast), behaviour on the real portrait."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_samples import clip, face_at, portrait, scenery, shifted

from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector, FaceTracker, RegionPlanner
from vtoon.faces.detect import QUICK, THOROUGH, WIDE
from vtoon.faces.landmarks import FacePose
from vtoon.types import Frame, Landmarks, TrackedFrame


class Script:
    """What is to be seen in each frame. A frame carries its number in its first pixel, so fakes know where they are."""

    def __init__(self, *shown: list[Landmarks]) -> None:
        self.shown, self.efforts = shown, []

    def frames(self, rate: int = 25):
        return clip((np.full((64, 64, 3), number, np.uint8) for number in range(len(self.shown))), rate)

    def find(self, image, effort):
        number = int(image.ravel()[0])
        self.efforts.append((number, effort))
        return [FacePose.of(face.points) for face in self.shown[number]]

    def landmarks(self, image, pose):
        number = int(image.ravel()[0])
        return next(f for f in self.shown[number] if FacePose.of(f.points).overlap(pose) > 0.9)

    def recognises(self, chip):
        return False

    def follower(self, gray, points):
        return Follower(self, points)

    def run(self, rate: int = 25, **options) -> list[TrackedFrame]:
        tracker = FaceTracker(self, follower=self.follower, **options)
        return list(tracker.track(self.frames(rate)))


class Follower:
    """Sees a shown face that is near; keeps still otherwise."""

    def __init__(self, script: Script, points: np.ndarray) -> None:
        self.script, self.points, self.chip = script, points, None

    def step(self, gray) -> bool:
        here = FacePose.of(self.points)
        near = [f for f in self.script.shown[int(gray[0, 0])] if FacePose.of(f.points).overlap(here) > 0.3]
        self.points = near[0].points if near else self.points
        return bool(near)


A, B = face_at(15, 20, 9), face_at(48, 20, 11)


def counts(tracked: list[TrackedFrame]) -> list[int]:
    return [len(item.faces) for item in tracked]


def test_every_frame_comes_out_once_and_in_order_whatever_is_seen():
    for shown in ([[]] * 12, [[A]] * 12, [[A], []] * 6):
        tracked = Script(*shown).run()
        assert [item.frame.pts for item in tracked] == list(range(12))
        assert [item.cut for item in tracked] == [True] + [False] * 11


def test_no_frames_no_faces_no_error():
    assert Script().run() == []


def test_a_face_is_there_from_the_first_frame():
    assert counts(Script(*[[A]] * 6).run()) == [1] * 6


def test_identities_stay_and_the_biggest_comes_first():
    tracked = Script(*[[A, B] if i % 2 else [B, A] for i in range(20)]).run()
    assert counts(tracked) == [2] * 20
    assert {tuple(face.track for face in item.faces) for item in tracked} == {tuple(f.track for f in tracked[0].faces)}
    assert all(item.faces[0].landmarks.eye_distance > item.faces[1].landmarks.eye_distance for item in tracked)


def test_a_gap_shorter_than_a_second_is_bridged_and_marked():
    tracked = Script(*[[A]] * 6, *[[]] * 20, *[[A]] * 6).run()
    assert counts(tracked) == [1] * 32
    assert {item.faces[0].track for item in tracked} == {0}
    assert all(item.faces[0].held for item in tracked[6:26])
    assert not any(item.faces[0].held for item in [*tracked[:6], *tracked[28:]])


@pytest.mark.parametrize("rate, last", [(25, 30), (10, 15)])
def test_a_face_that_is_gone_ends_after_a_second_of_time(rate, last):
    tracked = Script(*[[A]] * 6, *[[]] * 40).run(rate)
    assert counts(tracked) == [1] * (last + 1) + [0] * (46 - last - 1)


def test_a_face_that_enters_is_picked_up_within_a_few_frames_under_a_new_number():
    tracked = Script(*[[A]] * 7, *[[A, B]] * 15).run()
    start = counts(tracked).index(2)
    assert 7 <= start <= 7 + 6
    assert counts(tracked)[start:] == [2] * (22 - start)
    assert len({face.track for item in tracked for face in item.faces}) == 2


def test_a_false_alarm_of_one_frame_is_ignored():
    shown = [[A]] * 20
    shown[5] = shown[10] = [A, B]
    tracked = Script(*shown).run()
    assert counts(tracked) == [1] * 20


def test_the_largest_face_stays_the_chosen_one():
    grown = face_at(15, 20, 14)
    tracked = Script(*[[A, B]] * 8, *[[grown, B]] * 8).run(faces="largest")
    assert counts(tracked) == [1] * 16 and len({item.faces[0].track for item in tracked}) == 1


def test_a_faceless_video_is_searched_hard_only_now_and_then():
    script = Script(*[[]] * 250)
    script.run()
    efforts = [effort for _, effort in script.efforts]
    assert efforts.count(THOROUGH) == 2 and efforts.count(QUICK) > 40 and script.efforts[0] == (0, THOROUGH)


def test_a_small_face_that_only_a_wide_search_finds_is_picked_up():
    class Nearsighted(Script):
        def find(self, image, effort):
            return [pose for pose in super().find(image, effort) if pose.side > 24 or effort >= WIDE]

    script = Nearsighted(*[[B]] * 5, *[[A, B]] * 85)
    assert counts(script.run())[85:] == [2] * 5


def test_a_wrong_choice_of_faces_is_refused():
    with pytest.raises(VtoonError, match="'all' or 'largest'"):
        FaceTracker(faces="some")


def test_frames_are_handed_on_one_by_one():
    taken = []

    def frames():
        for frame in Script(*[[A]] * 9).frames():
            taken.append(frame.pts)
            yield frame

    script = Script(*[[A]] * 9)
    tracked = FaceTracker(script, follower=script.follower).track(frames())
    for number in range(3):
        assert next(tracked).frame.pts == number and len(taken) == number + 1
    tracked.close()


# The real portrait


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def points(tracked: list[TrackedFrame]) -> np.ndarray:
    return np.stack([item.faces[0].landmarks.points for item in tracked])


def test_a_still_head_gives_still_landmarks_and_one_box(detector):
    rng = np.random.default_rng(0)
    noisy = ((portrait() + rng.normal(0, 4, (512, 512, 3))).clip(0, 255).astype(np.uint8) for _ in range(24))
    tracked = list(FaceTracker(detector).track(clip(noisy)))
    assert points(tracked)[6:].std(0).mean() < 0.1
    planner = RegionPlanner()
    assert len({planner.plan(item)[0][1] for item in tracked}) == 1


def test_fast_motion_is_followed_without_lag(detector):
    places = [(60 * np.sin(t / 4), 25 * np.sin(t / 3)) for t in range(24)]  # up to 15 px a frame
    moving = (shifted(portrait(), dx, dy) for dx, dy in places)
    tracked = list(FaceTracker(detector).track(clip(moving)))
    steadied = points(tracked) - np.array(places)[:, None]
    assert np.abs(steadied[4:] - steadied[4:].mean(0)).mean() < 0.6


def test_a_cut_ends_all_tracks_and_finds_the_faces_behind_it_at_once(detector):
    images = [portrait()] * 4 + [scenery(3, (512, 512))] * 3 + [shifted(portrait()[:, ::-1], -40, 60)] * 3
    tracked = list(FaceTracker(detector).track(clip(images)))
    assert [item.cut for item in tracked] == [True, *[False] * 3, True, *[False] * 2, True, *[False] * 2]
    assert counts(tracked) == [1] * 4 + [0] * 3 + [1] * 3
    assert tracked[0].faces[0].track != tracked[-1].faces[0].track


def test_two_people_keep_their_numbers_while_they_move(detector):
    half = cv2.resize(portrait(), (384, 384), interpolation=cv2.INTER_AREA)
    pair = [np.hstack([shifted(half, 2 * t, t), shifted(half[:, ::-1], -2 * t, 0)]) for t in range(12)]
    tracked = list(FaceTracker(detector).track(clip(pair)))
    assert counts(tracked) == [2] * 12
    left = [min(item.faces, key=lambda face: face.landmarks.points[:, 0].mean()).track for item in tracked]
    assert len(set(left)) == 1


def test_a_face_that_is_covered_for_a_moment_is_held_in_place(detector):
    covered = portrait().copy()
    covered[20:230, 120:330] = 128
    tracked = list(FaceTracker(detector).track(clip([portrait()] * 5 + [covered] * 10 + [portrait()] * 5)))
    assert counts(tracked) == [1] * 20 and len({item.faces[0].track for item in tracked}) == 1
    assert all(item.faces[0].held for item in tracked[6:15]) and not tracked[-1].faces[0].held
    assert np.abs(points(tracked)[-1] - points(tracked)[0]).mean() < 1


def test_tiny_frames_pass(detector):
    frames = (Frame(np.zeros((5, 3, 3), np.uint8), pts) for pts in range(7))
    assert counts(list(FaceTracker(detector).track(frames))) == [0] * 7


def test_of_few_frames_a_second_each_one_is_searched():
    script = Script(*[[A]] * 4)
    slow = [Frame(frame.image, frame.pts * 100, frame.time_base) for frame in script.frames()]  # one in four seconds
    tracked = list(FaceTracker(script, follower=script.follower).track(iter(slow)))
    assert [[face.track for face in frame.faces] for frame in tracked] == [[0]] * 4
