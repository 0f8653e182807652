"""Interlaced video comes without combs, at its own rate or one frame for each field."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from video_clips import converted, make_clip

from vtoon.errors import VtoonError
from vtoon.video import VideoReader, probe

DV = (720, 576)


def field(n, width, height):
    """A dark bar that moves by 8 px from one field to the next."""
    image = np.full((height, width, 3), 200, np.uint8)
    image[:, 20 + 8 * n : 60 + 8 * n] = 30
    return image


def weaved(n, width, height):
    """The lower field, of the odd rows, is the first."""
    image = field(2 * n + 1, width, height)
    image[1::2] = field(2 * n, width, height)[1::2]
    return image


def interlaced(path, frames=8):
    """H.264 says so in each picture, DV always."""
    if path.suffix == ".dv":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("dvvideo", rate=25)
            stream.width, stream.height, stream.pix_fmt = *DV, "yuv420p"
            for n in range(frames):
                frame = av.VideoFrame.from_ndarray(weaved(n, *DV), "rgb24")
                frame.pts, frame.time_base = n, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path
    images = [weaved(n, 192, 128) for n in range(frames)]
    options = {"x264-params": "bff=1", "crf": "10"}
    return make_clip(path, range(frames), size=(192, 128), images=images, options=options, audio="aac")


def combs(image):
    """How far rows differ from the mean of their neighbours; 0 without combs."""
    rows = image[..., 1].astype(float)
    return np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean()


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts", "a.dv"])
def test_no_combs_at_the_same_rate(tmp_path, name, caplog):
    source = interlaced(tmp_path / name)
    with VideoReader(source, deinterlace="off") as reader:
        before = list(reader)
    with VideoReader(source) as reader:
        after = list(reader)
    assert [frame.pts for frame in after] == [frame.pts for frame in before] and len(after) == 8
    assert combs(before[4].image) > 4 * combs(after[4].image)
    assert [record.message.count("deinterlaced") for record in caplog.records if "interlaced" in record.message] == [1]
    converted(source, tmp_path / "b.mp4")
    assert not probe(tmp_path / "b.mp4").interlaced and probe(tmp_path / "b.mp4").rate == 25


def test_a_frame_of_each_field(tmp_path):
    source = interlaced(tmp_path / "a.mkv")
    with VideoReader(source, deinterlace="double") as reader:
        frames = list(reader)
        assert reader.info.rate == 50
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 50) for n in range(16)]
    left = [int(np.argmin(frame.image[64, :, 1].astype(int) > 100)) for frame in frames]
    assert np.diff(left[2:-2]).min() >= 5  # it moves in each of them


@pytest.mark.parametrize("mode", ["auto", "double"])
def test_what_is_not_interlaced_passes_untouched(tmp_path, mode, caplog):
    source = make_clip(tmp_path / "a.mkv", range(6), codec="ffv1")
    with VideoReader(source) as plain, VideoReader(source, deinterlace=mode) as reader:
        for a, b in zip(plain, reader, strict=True):
            assert a.pts * a.time_base == b.pts * b.time_base and np.array_equal(a.image, b.image)
    assert "interlaced" not in caplog.text


def test_a_mode_that_does_not_exist(tmp_path):
    with pytest.raises(VtoonError, match="auto, off or double"):
        VideoReader(make_clip(tmp_path / "a.mkv", range(2)), deinterlace="bob")
