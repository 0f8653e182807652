"""What was read is written with its times, colours, sound and text; or nothing is left and one line says why."""

from __future__ import annotations

import os
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video_clips import make_clip, packets, picture, spoil, turn

from vtoon.errors import VtoonError
from vtoon.system.stream import prefetch
from vtoon.types import Frame
from vtoon.video import VideoReader, VideoWriter, probe
from vtoon.video.writer import decoding_time


def convert(source, target, **options):
    """The source's frames, read and written once; returns how many."""
    with VideoReader(source) as reader, VideoWriter(target, like=reader, **options) as writer:
        for frame in prefetch(reader):
            writer.write(frame)
    return writer.frames


def times(path):
    with VideoReader(path) as reader:
        return [frame.pts * frame.time_base for frame in reader]


def only(folder, *names):
    """Nothing but `names` lies in the folder: no partial file."""
    return sorted(os.listdir(folder)) == sorted(names)


@pytest.mark.parametrize("target", ["b.mp4", "b.mov", "b.mkv", "b.avi"])
@pytest.mark.parametrize("source", ["a.mp4", "a.mkv"])
def test_frames_and_times_survive(tmp_path, source, target):
    make_clip(tmp_path / source, range(15), audio="aac", options={"bf": "3"})
    assert convert(tmp_path / source, tmp_path / target) == 15
    shift = min(times(tmp_path / target)) if target == "b.avi" else 0  # AVI names no times
    assert [time - shift for time in times(tmp_path / target)] == times(tmp_path / source)
    assert only(tmp_path, source, target)


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    start=st.integers(0, 5000),
    suffix=st.sampled_from(["mp4", "mkv"]),
)
def test_variable_rate_and_start_survive(tmp_path, steps, start, suffix):
    pts = [start + sum(steps[:n]) for n in range(len(steps) + 1)]
    target = tmp_path / f"b.{suffix}"
    with VideoWriter(target, overwrite=True, preset="ultrafast") as writer:
        for n, time in enumerate(pts):
            writer.write(Frame(picture(n), time, Fraction(1, 1000)))
    assert times(target) == [Fraction(time, 1000) for time in pts]


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_sound_is_copied_and_stays_in_place(tmp_path, target):
    source = make_clip(tmp_path / "a.mkv", range(50, 90), audio="aac", audio_start=1.5)
    convert(source, tmp_path / target)
    old, new = packets(source, "audio"), packets(tmp_path / target, "audio")
    assert [data for _, data in old] == [data for _, data in new] and len(old) > 50
    assert max(abs(a[0] - b[0]) for a, b in zip(old, new, strict=True)) <= Fraction(1, 1000)
    assert times(tmp_path / target)[0] == 2


@pytest.mark.parametrize(
    ("audio", "source", "target"), [("libopus", "a.mkv", "b.webm"), ("pcm_s16le", "a.mkv", "b.mkv")]
)
def test_other_sound_is_copied_where_it_fits(tmp_path, audio, source, target):
    make_clip(tmp_path / source, audio=audio)
    convert(tmp_path / source, tmp_path / target)
    old, new = packets(tmp_path / source, "audio"), packets(tmp_path / target, "audio")
    assert [data for _, data in old] == [data for _, data in new] and old


def test_sound_is_encoded_again_where_it_must_and_this_is_said(tmp_path, caplog):
    source = make_clip(tmp_path / "a.mp4", range(25), audio="aac")
    convert(source, tmp_path / "b.webm", preset="8")
    info = probe(tmp_path / "b.webm")
    assert (info.codec, info.audio_codecs) == ("vp9", ("opus",))
    assert "aac" in caplog.text and "opus" in caplog.text
    seconds = [float(time) for time, _ in packets(tmp_path / "b.webm", "audio")]
    assert abs(seconds[0]) < 0.05 and abs(seconds[-1] - 1.0) < 0.1


@pytest.mark.parametrize(
    ("source", "kind", "target", "expected"),
    [
        ("a.mkv", "subrip", "b.mkv", "subrip"),
        ("a.mp4", "mov_text", "b.mp4", "mov_text"),
        ("a.mkv", "subrip", "b.mp4", "mov_text"),
        ("a.mp4", "mov_text", "b.mkv", "subrip"),
        ("a.mkv", "subrip", "b.webm", "webvtt"),
    ],
)
def test_subtitles_come_along(tmp_path, source, kind, target, expected):
    make_clip(tmp_path / source, subtitle=kind)
    convert(tmp_path / source, tmp_path / target)
    assert probe(tmp_path / target).subtitle_codecs == (expected,)
    spoken = [(time, data) for time, data in packets(tmp_path / target, "subtitle") if len(data) > 2]
    assert [time for time, _ in spoken] == [Fraction(50, 1000), Fraction(250, 1000)]
    assert b"Bonjour" in spoken[0][1] and b"Au revoir" in spoken[1][1]
    with av.open(str(tmp_path / target)) as container:
        assert container.streams.subtitles[0].language == "fra"


def test_what_a_container_cannot_hold_is_left_out_and_said(tmp_path, caplog):
    convert(make_clip(tmp_path / "a.mkv", subtitle="subrip"), tmp_path / "b.avi")
    assert probe(tmp_path / "b.avi").subtitle_codecs == ()
    assert "left out" in caplog.text


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("tags", "matrix"), [((1, 1, 1), 1), ((6, 6, 6), 5), ((9, 14, 9), 9), (None, 5)])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_colours_and_tags_survive(tmp_path, target, tags, matrix, full):
    full = full and tags is not None
    source = make_clip(tmp_path / "a.mkv", [0], tags=tags, matrix=matrix, full=full, aspect=Fraction(4, 3))
    convert(source, tmp_path / target, crf=8)
    with VideoReader(source) as old, VideoReader(tmp_path / target) as new:
        assert new.info.colours == old.info.colours
        assert new.info.sample_aspect_ratio == Fraction(4, 3)
        before, after = next(iter(old)).image, next(iter(new)).image
    assert np.abs(before.astype(int) - after.astype(int)).mean() < 3


def test_untagged_colours_are_named_where_a_player_would_guess_another_matrix(tmp_path):
    source = make_clip(tmp_path / "a.mp4", [0], tags=None, matrix=5)
    with VideoReader(source) as reader, VideoWriter(tmp_path / "b.mp4", like=reader) as writer:
        writer.write(np.full((720, 1280, 3), (200, 30, 30), np.uint8))
    assert probe(tmp_path / "b.mp4").colours.matrix == 6  # BT.601, which the source was read with
    with VideoReader(tmp_path / "b.mp4") as reader:
        np.testing.assert_allclose(next(iter(reader)).image.reshape(-1, 3).mean(0), (200, 30, 30), atol=3)


def test_hdr_becomes_tagged_bt709(tmp_path):
    source = make_clip(tmp_path / "a.mkv", [0], tags=(9, 16, 9), matrix=9, pix_fmt="yuv420p10le")
    convert(source, tmp_path / "b.mp4")
    info = probe(tmp_path / "b.mp4")
    assert str(info.colours) == "tv, bt709/bt709/bt709" and info.bit_depth == 8


def test_a_turned_clip_is_written_upright(tmp_path):
    source = make_clip(tmp_path / "a.mp4", range(2))
    turn(source, (0, 1, -1, 0))
    convert(source, tmp_path / "b.mp4")
    info = probe(tmp_path / "b.mp4")
    assert (info.width, info.height, info.rotation) == (48, 64, 0)


@pytest.mark.parametrize(("codec", "name", "size"), [("h264", "b.mp4", (256, 128)), ("vp9", "b.webm", (255, 127))])
def test_odd_sizes_are_padded_only_where_the_codec_needs_it(tmp_path, caplog, codec, name, size):
    image = picture(0, 255, 127)
    with VideoWriter(tmp_path / name, codec=codec) as writer:
        for n in range(3):
            writer.write(image, n, Fraction(1, 25))
    info = probe(tmp_path / name)
    assert (info.width, info.height) == size
    assert [record.message.count("repeating") for record in caplog.records] == [1] * (size != (255, 127))
    with VideoReader(tmp_path / name) as reader:
        shown = next(iter(reader)).image[:127, :255]
    assert np.abs(shown.astype(int) - image.astype(int)).mean() < 6


def described(path, sound):
    """A clip with a title, a comment and two chapters."""
    plain = make_clip(path.with_name("plain.mkv"), range(4), audio="aac" if sound else None)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        target.metadata.update({"title": "Eine Rede", "comment": "kept"})
        half = {"time_base": Fraction(1, 1000), "metadata": {}}
        target.set_chapters([{"id": i + 1, "start": 80 * i, "end": 80 * i + 80, **half} for i in range(2)])
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return path


@pytest.mark.parametrize("sound", [False, True])
def test_title_and_chapters_come_along_with_and_without_sound(tmp_path, sound):
    convert(described(tmp_path / "a.mkv", sound), tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as container:
        told = {key.lower(): value for key, value in container.metadata.items()}
        assert told["title"] == "Eine Rede" and told["comment"] == "kept"
        assert len(container.chapters()) == 2


@pytest.mark.parametrize(
    ("codec", "name"),
    [("h264", "b.mp4"), ("h264", "b.mkv"), ("h264", "b.mov"), ("prores", "b.mkv"), ("prores", "b.mov")],
)
def test_the_last_picture_is_shown_as_long_as_before(tmp_path, name, codec):
    with VideoWriter(tmp_path / "a.mkv", rate=1, preset="ultrafast") as writer:  # a picture a second
        for n in range(3):
            writer.write(Frame(picture(n), 1000 * n, Fraction(1, 1000)))
    with VideoReader(tmp_path / "a.mkv") as reader:
        # as if at 25 frames/s, at which the last one would be seen for 40 ms
        with VideoWriter(tmp_path / name, like=reader, rate=25, codec=codec) as writer:
            for frame in reader:
                writer.write(frame)
    with av.open(str(tmp_path / name)) as container:
        assert container.duration / 1e6 == pytest.approx(3.0, abs=0.05)


def test_a_shape_of_pixels_that_cannot_be_told_is_said(tmp_path, caplog):
    make_clip(tmp_path / "a.mp4", range(2), aspect=Fraction(4, 3))
    convert(tmp_path / "a.mp4", tmp_path / "b.webm")
    assert "pixels' shape (4/3)" in caplog.text


@pytest.mark.parametrize(
    ("codec", "name"), [("h264", "b.mp4"), ("hevc", "b.mp4"), ("av1", "b.mkv"), ("vp9", "b.webm"), ("prores", "b.mov")]
)
def test_codecs(tmp_path, codec, name):
    preset = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12", "vp9": "8"}.get(codec)
    with VideoWriter(tmp_path / name, codec=codec, preset=preset) as writer:
        for n in range(6):
            writer.write(picture(n, 128, 96))
    info = probe(tmp_path / name)
    assert info.codec == codec and times(tmp_path / name) == pytest.approx([n / 25 for n in range(6)], abs=1e-3)
    assert str(info.colours) == "tv, bt709/bt709/bt709"


def test_index_comes_first_in_mp4(tmp_path):
    convert(make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4")
    data = (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_damage_in_the_middle_costs_neither_sound_nor_what_follows(tmp_path):
    source = make_clip(tmp_path / "a.mp4", range(100), audio="aac", options={"g": "10"})
    spoil(source)
    assert convert(source, tmp_path / "b.mp4") > 90
    assert times(tmp_path / "b.mp4")[-1] == Fraction(99, 25)
    assert len(packets(tmp_path / "b.mp4", "audio")) == len(packets(source, "audio"))


def test_sound_ends_where_a_source_that_is_cut_short_ends(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), dtype=np.uint8)
    source = make_clip(tmp_path / "a.mp4", range(60), images=noise, audio="aac", index_first=True)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    assert 20 < convert(source, tmp_path / "b.mp4") < 45
    assert abs(packets(tmp_path / "b.mp4", "audio")[-1][0] - times(tmp_path / "b.mp4")[-1]) < 0.1


def test_sound_from_another_file(tmp_path):
    sound = make_clip(tmp_path / "sound.mp4", range(25), audio="aac")
    with VideoWriter(tmp_path / "b.mp4", sound=sound) as writer:
        for n in range(25):
            writer.write(picture(n))
    assert packets(tmp_path / "b.mp4", "audio") == packets(sound, "audio")


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_very_short_clips_keep_all_frames(tmp_path, frames):
    """x265 leaves decoding times to chance in clips of two or three frames."""
    for attempt in range(4):
        path = tmp_path / f"{attempt}.mp4"
        with VideoWriter(path, rate=25, codec="hevc", preset="faster") as writer:
            for n in range(frames):
                writer.write(picture(n))
        with VideoReader(path) as reader:
            assert [f.pts * f.time_base * 25 for f in reader] == list(range(frames))


def test_decoding_times_rise_and_never_pass_the_presentation():
    assert decoding_time(5, 3, 2, 250) == 3
    for wrong in (None, 99, 2, -(2**60)):
        assert decoding_time(5, wrong, 2, 250) == 3
    assert decoding_time(0, 77, None, 250) == -2


def test_sound_is_heard_out_when_it_is_longer_than_the_pictures(tmp_path):
    source = make_clip(tmp_path / "a.mkv", range(25), audio="aac", audio_start=0.5)
    convert(source, tmp_path / "b.mp4")
    assert len(packets(tmp_path / "b.mp4", "audio")) == len(packets(source, "audio"))


REFUSED = {
    "the input itself": (lambda folder: folder / "a.mp4", {"overwrite": True}, "same file"),
    "a link to the input": (lambda folder: folder / "link.mp4", {"overwrite": True}, "same file"),
    "a hard link to the input": (lambda folder: folder / "hard.mp4", {"overwrite": True}, "same file"),
    "a file that is there": (lambda folder: folder / "there.mp4", {}, "exists already"),
    "a folder": (lambda folder: folder / "folder.mp4", {"overwrite": True}, "is a folder"),
    "a container not known": (lambda folder: folder / "b.txt", {}, "no video container"),
    "a codec not known": (lambda folder: folder / "b.mp4", {"codec": "divx"}, "take one of h264"),
    "codec and container": (lambda folder: folder / "b.webm", {"codec": "h264"}, "does not hold h264"),
    "a crf out of range": (lambda folder: folder / "b.mp4", {"crf": 60}, "0 to 51"),
    "a crf for prores": (lambda folder: folder / "b.mov", {"codec": "prores", "crf": 5}, "no such setting"),
    "a preset not known": (lambda folder: folder / "b.mp4", {"preset": "quick"}, "ultrafast"),
    "a place below a file": (lambda folder: folder / "there.mp4" / "x" / "b.mp4", {}, "cannot be written"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_one_line(tmp_path, case):
    source = make_clip(tmp_path / "a.mp4")
    (tmp_path / "there.mp4").write_bytes(b"there")
    (tmp_path / "folder.mp4").mkdir()
    os.symlink(source, tmp_path / "link.mp4")
    os.link(source, tmp_path / "hard.mp4")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    target, options, words = REFUSED[case]
    with VideoReader(source) as reader, pytest.raises(VtoonError, match=words) as caught:
        with VideoWriter(target(tmp_path), like=reader, **options):
            raise AssertionError("not reached")
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_hardware_encoder_that_does_not_open_is_refused(tmp_path):
    try:
        with VideoWriter(tmp_path / "b.mp4", codec="h264_nvenc") as writer:
            writer.write(picture(0, 256, 256))
    except VtoonError as error:
        assert "available: h264" in str(error)
        assert only(tmp_path)
    else:
        assert probe(tmp_path / "b.mp4").codec == "h264"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("frames", [0, 5])
def test_nothing_is_left_after_an_exception(tmp_path, error, frames):
    (tmp_path / "b.mp4").write_bytes(b"as it was")
    with pytest.raises(error):
        with VideoWriter(tmp_path / "b.mp4", overwrite=True) as writer:
            for n in range(frames):
                writer.write(picture(n))
            assert only(tmp_path, "b.mp4", ".b.part.mp4")
            raise error
    assert only(tmp_path, "b.mp4") and (tmp_path / "b.mp4").read_bytes() == b"as it was"


def test_no_frame_is_no_video(tmp_path):
    with pytest.raises(VtoonError, match="no frame"):
        with VideoWriter(tmp_path / "b.mp4"):
            pass
    assert only(tmp_path)


def test_a_full_disk_is_one_line(tmp_path):
    """A limit on the size of files stands in for the disk."""
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(VtoonError, match="cannot be written"):
            with VideoWriter(tmp_path / "b.mkv", crf=1, preset="ultrafast") as writer:
                for n in range(40):
                    writer.write(np.roll(noise, n, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert only(tmp_path)


def test_a_frame_of_another_size_is_refused(tmp_path):
    with pytest.raises(VtoonError, match="64x48 came into a video of 128x96"):
        with VideoWriter(tmp_path / "b.mp4", size=(128, 96)) as writer:
            writer.write(picture(0))
    assert only(tmp_path)


def test_a_new_folder_is_made(tmp_path):
    with VideoWriter(tmp_path / "new" / "deep" / "b.mp4", rate=Fraction(30000, 1001)) as writer:
        for n in range(3):
            writer.write(picture(n))
    assert times(tmp_path / "new" / "deep" / "b.mp4") == [Fraction(1001 * n, 30000) for n in range(3)]
