"""What a file is: the content decides, and what cannot be read says why in one line."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from video_clips import make_clip, picture, turn

from vtoon.errors import VtoonError
from vtoon.video import probe, sniff_kind
from vtoon.video.info import Orientation


def test_facts_of_a_clip(tmp_path):
    info = probe(make_clip(tmp_path / "a.mp4", aspect=Fraction(4, 3), audio="aac", full=True))
    assert (info.kind, info.codec, info.pix_fmt, info.bit_depth) == ("video", "h264", "yuvj420p", 8)
    assert (info.width, info.height, info.rotation) == (64, 48, 0)
    assert info.sample_aspect_ratio == Fraction(4, 3)
    assert (info.rate, info.frames, info.expected_frames) == (25, 12, 12)
    assert info.duration == pytest.approx(12 / 25)
    assert info.audio_codecs == ("aac",) and info.subtitle_codecs == ()
    assert str(info.colours) == "pc, bt709/bt709/bt709" and not info.hdr


def test_matroska_does_not_count_its_frames(tmp_path):
    info = probe(make_clip(tmp_path / "a.mkv"))
    assert info.frames is None and info.expected_frames == 12


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "picture.mp4"])
def test_an_image_is_an_image_whatever_its_name(tmp_path, name):
    format_name = {"jpg": "jpeg", "mp4": "png"}.get(name[-3:], name.split(".")[1])
    Image.fromarray(picture(0)).save(tmp_path / name, format=format_name)
    assert sniff_kind(tmp_path / name) == "image"
    info = probe(tmp_path / name)
    assert (info.kind, info.width, info.height, info.frames) == ("image", 64, 48, 1)


def test_exif_rotation_swaps_the_size(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(picture(0)).save(tmp_path / "a.jpg", exif=exif)
    assert (probe(tmp_path / "a.jpg").width, probe(tmp_path / "a.jpg").height) == (48, 64)


def test_a_video_is_a_video_whatever_its_name(tmp_path):
    make_clip(tmp_path / "a.mp4").rename(tmp_path / "a.png")
    assert sniff_kind(tmp_path / "a.png") == "video"
    assert probe(tmp_path / "a.png").frames == 12


def test_gif_counts_as_video_when_it_moves(tmp_path):
    images = [Image.fromarray(picture(n)) for n in range(3)]
    images[0].save(tmp_path / "moves.gif", save_all=True, append_images=images[1:], duration=100)
    images[0].save(tmp_path / "still.gif")
    assert sniff_kind(tmp_path / "moves.gif") == "video"
    assert sniff_kind(tmp_path / "still.gif") == "image"


def _audio_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


BAD = {
    "missing.mp4": (lambda path: None, "no such file"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "empty"),
    "text.mp4": (lambda path: path.write_text("not a video\n" * 50), "not a readable video"),
    "zeros.mp4": (lambda path: path.write_bytes(bytes(4096)), "not a readable video"),
    "sound.mp4": (_audio_only, "sound but no picture"),
    "folder.mp4": (lambda path: path.mkdir(), "is a folder"),
    "frames-%03d.png": (lambda path: None, "no file fits this pattern"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line(tmp_path, name):
    make, words = BAD[name]
    make(tmp_path / name)
    for look in (probe, sniff_kind):
        with pytest.raises(VtoonError, match=words) as caught:
            look(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)


def test_damaged_header_is_one_clear_line(tmp_path):
    data = make_clip(tmp_path / "a.mp4").read_bytes()  # the index lies at the end
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(VtoonError, match="damaged"):
        probe(tmp_path / "cut.mp4")


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_all_eight_orientations(rotation, mirrored):
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    shown = np.rot90(stored, -rotation // 90)
    shown = shown[:, ::-1] if mirrored else shown
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[rotation]
    flip = -1 if mirrored else 1
    matrix = np.array([flip * cos, sin, 0, flip * -sin, cos, 0, 0, 0, 1], np.int32) << 16
    orientation = Orientation.from_matrix(matrix.tobytes())
    assert (orientation.rotation, orientation.mirrored) == (rotation, mirrored)
    np.testing.assert_array_equal(orientation.upright(stored), shown)


def test_rotation_swaps_size_and_aspect(tmp_path):
    path = make_clip(tmp_path / "a.mp4", aspect=Fraction(4, 3))
    turn(path, (0, 1, -1, 0))
    info = probe(path)
    assert (info.rotation, info.width, info.height, info.sample_aspect_ratio) == (90, 48, 64, Fraction(3, 4))
