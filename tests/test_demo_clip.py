"""The demo clip: six seconds with sound, a face well in view that moves smoothly, the same every time."""

from __future__ import annotations

import importlib.util
import os
from itertools import pairwise
from pathlib import Path

import av
import dlib
import numpy as np
import pytest

from vtoon.video import VideoReader

SCRIPT = Path(__file__).parents[1] / "scripts" / "make_demo_clip.py"


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("skimage")
    return load(SCRIPT, "make_demo_clip")


@pytest.fixture(scope="module")
def clip(script, tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "demo.mp4"
    script.make_demo_clip(path)
    with VideoReader(path) as reader:
        return path, reader.info, [frame.image for frame in reader]


def test_facts(clip):
    path, info, frames = clip
    assert (info.width, info.height, info.rate, len(frames)) == (512, 512, 25, 150)
    assert info.audio_codecs == ("aac",) and os.path.getsize(path) < 2_000_000


def test_it_is_heard_in_stereo_for_six_seconds(clip):
    with av.open(str(clip[0])) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1)
    assert sound.shape[0] == 2 and abs(sound.shape[1] / 44100 - 6) < 0.1
    assert 0.02 < np.sqrt(np.mean(sound**2)) < 0.3 and np.abs(sound).max() < 1


def test_it_moves_smoothly_without_borders(clip):
    frames = clip[2]
    changes = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]
    assert 0.3 < min(changes) and max(changes) < 3 * np.median(changes)
    for frame in frames[::15]:
        for edge in (frame[0], frame[:, 0], frame[:, -1]):
            assert edge.mean() > 60  # backdrop and orange suit, no black


def test_one_face_of_a_good_size(clip):
    folder = importlib.util.find_spec("face_recognition_models").submodule_search_locations[0]
    points_of = dlib.shape_predictor(os.path.join(folder, "models", "shape_predictor_68_face_landmarks.dat"))
    detect = dlib.get_frontal_face_detector()
    turns = []
    for frame in clip[2][::37]:
        (face,) = detect(frame, 0)
        points = np.array([(point.x, point.y) for point in points_of(frame, face).parts()])
        right, left, nose = points[36:42].mean(0), points[42:48].mean(0), points[30]
        assert 75 < np.hypot(*(left - right)) < 130
        assert points.min() > 10 and points.max() < 502
        turns.append((nose[0] - right[0]) / (left[0] - right[0]))
    assert max(turns) - min(turns) > 0.05  # the nose wanders between the eyes: the head turns


def test_it_is_the_same_every_time(script):
    first, second = next(script.pictures()), next(script.pictures())
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(script.music(), script.music())
