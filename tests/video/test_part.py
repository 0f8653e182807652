"""A part of a video: the frames between two times, to the frame, with the sound that belongs to them."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from video_clips import make_clip, picture

from vtoon.errors import VtoonError
from vtoon.video import VideoReader, VideoWriter
from vtoon.video.part import Part


def read(path, **part):
    with VideoReader(path, part=Part(**part)) as reader:
        return list(reader), reader


def number(image):
    """Which picture of `video_clips.picture` it is: the place of its bar."""
    return int(np.argmax(image[-4].astype(int).sum(1) > 600)) // 4


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.webm"])
def test_a_part_is_exact_to_the_frame_and_begins_at_zero(tmp_path, name):
    codec = {"a.webm": "libvpx-vp9"}.get(name, "libx264")
    path = make_clip(
        tmp_path / name, range(14), codec=codec, options={"g": "5"} | ({"bf": "0"} if name == "a.avi" else {})
    )
    whole, _ = read(path)
    frames, reader = read(path, start=0.28, end=0.44)  # 25 frames a second: 7 to 10
    assert [number(frame.image) for frame in frames] == [7, 8, 9, 10]
    assert all((a.image == b.image).all() for a, b in zip(frames, whole[7:11], strict=True))
    assert [round(float(f.pts * f.time_base), 3) for f in frames] == [0, 0.04, 0.08, 0.12]
    assert reader.info.expected_frames == 4 and reader.damaged is None and reader.finished is False


def test_the_sound_is_cut_with_the_pictures(tmp_path):
    path = make_clip(tmp_path / "a.mp4", range(50), audio="aac")
    target = tmp_path / "b.mp4"
    with VideoReader(path, part=Part(0.8, 1.6)) as reader, VideoWriter(target, like=reader) as writer:
        for frame in reader:
            writer.write(frame)
    with av.open(str(target)) as made:
        (sound,) = made.streams.audio
        times = [float(packet.pts * packet.time_base) for packet in made.demux(sound) if packet.size]
    assert 0 <= times[0] < 0.03 and 0.76 < times[-1] < 0.8 + 0.03
    assert writer.frames == 20


def test_sound_can_be_left_out(tmp_path):
    path = make_clip(tmp_path / "a.mp4", range(8), audio="aac")
    with VideoReader(path) as reader, VideoWriter(tmp_path / "b.mp4", like=reader, keep_sound=False) as writer:
        for frame in reader:
            writer.write(frame)
    with av.open(str(tmp_path / "b.mp4")) as made:
        assert not made.streams.audio and made.streams.video[0].frames == 8


def test_a_start_after_the_end_of_the_file_is_told(tmp_path):
    path = make_clip(tmp_path / "a.mp4", range(8))
    with pytest.raises(VtoonError, match=r"no picture from 3 s to the end; the video is shorter"):
        read(path, start=3)


@pytest.mark.parametrize("bounds", [(-1.0, None), (2.0, 1.0), (1.0, 1.0), (float("nan"), None), (0.0, float("inf"))])
def test_bounds_that_cannot_be_are_refused(bounds):
    with pytest.raises(VtoonError, match="number of seconds"):
        Part(*bounds)


def test_a_clip_that_begins_late_counts_from_its_first_picture(tmp_path):
    path = make_clip(tmp_path / "a.mkv", range(25, 35))
    frames, reader = read(path, start=0.2)
    assert [number(frame.image) for frame in frames] == [number(picture(n)) for n in range(5, 10)]
    assert reader.shift == Fraction(6, 5) and reader.finished
