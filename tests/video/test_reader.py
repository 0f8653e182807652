"""Frames come upright, in order, with their times and the right colours, up to the end or the break."""

from __future__ import annotations

import logging
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from video_clips import make_clip, picture, spoil, turn

from vtoon.errors import VtoonError
from vtoon.video import VideoReader
from vtoon.video.hdr import gamut_matrix, pq_to_light

X264 = {"crf": "10"}


def times(path, **options):
    with VideoReader(path, **options) as reader:
        return [frame.pts * frame.time_base for frame in reader]


def close(image, expected, tolerance=6):
    """Away from edges, where chroma is subsampled, colours agree."""
    return np.median(np.abs(image.astype(int) - expected.astype(int)), axis=(0, 1)).max() <= tolerance


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts"])
def test_order_and_times_with_b_frames(tmp_path, name):
    path = make_clip(tmp_path / name, range(20), options={"bf": "3"} | X264)
    with VideoReader(path) as reader:
        frames = list(reader)
    start = frames[0].pts * frames[0].time_base
    assert [frame.pts * frame.time_base - start for frame in frames] == [Fraction(n, 25) for n in range(20)]
    for n, frame in enumerate(frames):
        assert close(frame.image, picture(n)), n
    assert reader.damaged is None and reader.finished


def test_variable_rate_and_start_are_kept(tmp_path):
    pts = [500, 520, 580, 581, 700, 990]
    path = make_clip(tmp_path / "a.mkv", pts, time_base=Fraction(1, 1000))
    assert times(path) == [Fraction(time, 1000) for time in pts]


def test_a_second_loop_starts_again(tmp_path):
    with VideoReader(make_clip(tmp_path / "a.mp4")) as reader:
        assert len(list(reader)) == len(list(reader)) == 12
    with pytest.raises(ValueError, match="closed"):
        next(iter(reader))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("tags", "matrix"), [((1, 1, 1), 1), ((6, 6, 6), 5), ((9, 14, 9), 9), (None, 5)])
def test_colours_follow_matrix_and_range(tmp_path, tags, matrix, full):
    path = make_clip(tmp_path / "a.mkv", [0], tags=tags, matrix=matrix, full=full and bool(tags), options=X264)
    with VideoReader(path) as reader:
        image = next(iter(reader)).image
    patch = image[2:10, 2:14].reshape(-1, 3).mean(0)  # red, where a wrong matrix shows most
    np.testing.assert_allclose(patch, (200, 30, 30), atol=4)


def test_ten_bits_are_rounded_and_said_once(tmp_path, caplog):
    path = make_clip(tmp_path / "a.mkv", range(3), pix_fmt="yuv420p10le", options=X264)
    with caplog.at_level(logging.INFO, "vtoon"), VideoReader(path) as reader:
        frames = list(reader)
    assert reader.info.bit_depth == 10
    assert close(frames[2].image, picture(2))
    assert [record.message.count("10-bit") for record in caplog.records] == [1]


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58), (18, 0.75)])
def test_hdr_is_tone_mapped(tmp_path, caplog, transfer, white):
    """Reference white, 203 cd/m2 by ITU-R BT.2408, is the same bright grey from PQ and HLG; black stays black."""
    ramp = np.zeros((48, 64, 3), np.uint8)
    ramp[:, 32:] = round(255 * white)
    path = make_clip(
        tmp_path / "a.mkv", [0], tags=(9, transfer, 9), matrix=9, pix_fmt="yuv420p10le", images=[ramp], options=X264
    )
    with VideoReader(path) as reader:
        image = next(iter(reader)).image
    assert reader.info.hdr and "tone-mapped" in caplog.text
    assert image[:, :24].max() <= 8
    np.testing.assert_allclose(image[:, 40:], 228, atol=4)


def test_hdr_keeps_the_colour_of_skin(tmp_path):
    """A colour below the knee, on an HDR master at 203 cd/m2 for white, comes back as the same SDR colour."""
    skin = np.array([150, 100, 60])
    light = np.linalg.inv(gamut_matrix(9)) @ (skin / 255) ** 2.4 * 203  # BT.2020, cd/m2
    signal = np.linspace(0, 1, 100_001)
    code = np.interp(light, pq_to_light(signal), signal)
    image = np.full((48, 64, 3), np.rint(255 * code), np.uint8)
    path = make_clip(
        tmp_path / "a.mkv", [0], tags=(9, 16, 9), matrix=9, pix_fmt="yuv420p10le", images=[image], options=X264
    )
    with VideoReader(path) as reader:
        np.testing.assert_allclose(next(iter(reader)).image.reshape(-1, 3).mean(0), skin, atol=5)


def test_bt2020_to_bt709_is_the_matrix_of_bt2087():
    expected = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    np.testing.assert_allclose(gamut_matrix(9), expected, atol=2e-4)


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotated_clips_come_upright(tmp_path, matrix, turns):
    path = make_clip(tmp_path / "a.mp4", range(2), options=X264)
    turn(path, matrix)
    with VideoReader(path) as reader:
        image = next(iter(reader)).image
    assert image.shape[:2] == (reader.info.height, reader.info.width)
    assert close(image, np.rot90(picture(0), turns))


@pytest.mark.parametrize("size", [(255, 127), (33, 17)])
def test_odd_sizes(tmp_path, size):
    path = make_clip(tmp_path / "a.mkv", range(2), size=size, codec="ffv1")
    with VideoReader(path) as reader:
        frames = list(reader)
    assert frames[0].image.shape == (size[1], size[0], 3)
    assert close(frames[1].image, picture(1, *size))


def test_gif(tmp_path):
    images = [Image.fromarray(picture(n)) for n in range(4)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[100, 200, 100, 100])
    assert times(tmp_path / "a.gif") == [0, Fraction(1, 10), Fraction(3, 10), Fraction(4, 10)]


def test_image_sequence(tmp_path):
    for n in range(7, 12):
        Image.fromarray(picture(n)).save(tmp_path / f"f_{n:04d}.png")
    with VideoReader(tmp_path / "f_%04d.png", rate=Fraction(10)) as reader:
        frames = list(reader)
    assert reader.info.frames == 5 and reader.info.rate == 10
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 10) for n in range(5)]
    np.testing.assert_array_equal(frames[0].image, picture(7))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_file_cut_short_gives_the_frames_before(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), dtype=np.uint8)  # every frame weighs the same
    path = make_clip(tmp_path / name, range(60), images=noise, audio="aac", index_first=name == "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with VideoReader(path) as reader:
        frames = list(reader)
    assert 20 < len(frames) < 45
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 25) for n in range(len(frames))]
    assert reader.damaged and f"after frame {len(frames)}" in reader.damaged and "\n" not in reader.damaged


def test_junk_in_the_middle_costs_the_pictures_there(tmp_path):
    path = make_clip(tmp_path / "a.mp4", range(60), options={"g": "10"})
    spoil(path)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert 40 < len(frames) < 60 and "the rest is there" in reader.damaged
    assert frames[-1].pts * frames[-1].time_base == Fraction(59, 25)


def test_an_image_is_no_video(tmp_path):
    Image.fromarray(picture(0)).save(tmp_path / "a.mp4", format="png")
    with pytest.raises(VtoonError, match="one picture"):
        VideoReader(tmp_path / "a.mp4")
