"""The source's clock is believed as far as players believe it, and sound keeps its place beside the pictures."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import av
import pytest
from video_clips import converted, make_clip, picture, retimed, spans

from vtoon.video import VideoReader, probe
from vtoon.video.rising import Rising

DAY = 2**33 / 90000  # s, after which the clock of a transport stream starts again


def plain(folder, name="plain.mp4", seconds=1, **options):
    return make_clip(folder / name, range(25 * seconds), audio="aac", options={"g": "10"}, **options)


def in_step(path, seconds, hole=0.07, start=0.03):
    """Pictures and sound begin at zero together and go on side by side, without a hole, for so many seconds."""
    found = spans(path)
    for first, last, longest in (found["video"], found["audio"]):
        assert abs(first) <= start and abs(last - seconds) < 0.12 and longest < hole, found
    return True


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
@pytest.mark.parametrize(
    ("name", "start"), [("a.ts", 40000), ("a.ts", 1), ("a.flv", 3), ("a.mkv", 40000), ("a.mpg", 1000)]
)
def test_a_recording_begins_at_zero(tmp_path, name, start, target):
    codecs = {"codec": "mpeg2video", "audio": "mp2"} if name == "a.mpg" else {"audio": "aac"}
    source = make_clip(tmp_path / "plain.mp4", range(25), **codecs)
    moved = retimed(source, tmp_path / name, lambda time, _: time + start)
    assert in_step(converted(moved, tmp_path / target), 1)


def test_a_fragment_of_a_stream_begins_at_zero(tmp_path):
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "use_editlist": "0"}
    moved = retimed(plain(tmp_path), tmp_path / "a.mp4", lambda time, _: time + 500, options)
    assert in_step(converted(moved, tmp_path / "b.mp4"), 1, 0.09, 0.1)  # two pictures of reordering, unhidden


def test_what_begins_later_stays_later(tmp_path):
    source = plain(tmp_path, audio_start=0.5)
    moved = retimed(source, tmp_path / "a.ts", lambda time, _: time + 40000)
    found = spans(converted(moved, tmp_path / "b.mp4"))
    assert found["video"][0] == 0 and found["audio"][0] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("starts", [(10, 10), (100, 20), (20, 100), (10, 30, 10)])
@pytest.mark.parametrize("suffix", ["ts", "mpg"])
def test_joined_parts_go_on(tmp_path, starts, suffix):
    codecs = {"codec": "mpeg2video", "audio": "mp2"} if suffix == "mpg" else {"audio": "aac"}
    source = make_clip(tmp_path / "plain.mp4", range(25), options={"g": "10"}, **codecs)
    parts = [retimed(source, tmp_path / f"{n}.{suffix}", lambda t, _, s=s: t + s) for n, s in enumerate(starts)]
    joined = tmp_path / f"a.{suffix}"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with VideoReader(joined) as reader:
        assert len(list(reader)) == 25 * len(starts)
    assert in_step(converted(joined, tmp_path / "b.mp4"), len(starts), 0.2)


@pytest.mark.parametrize(("seconds", "before", "step"), [(1, 0.5, 1), (63, 61, 25)])
def test_the_wrap_of_a_transport_stream_is_passed(tmp_path, seconds, before, step):
    """Which libavformat tells in two ways: a minute before it, and later."""
    source = make_clip(tmp_path / "plain.mp4", range(0, 25 * seconds + 1, step), size=(32, 32), audio="aac")
    moved = retimed(source, tmp_path / "a.ts", lambda time, _: time + Fraction(DAY - before))
    assert in_step(converted(moved, tmp_path / "b.mp4", preset="ultrafast"), seconds, 1.01 if step > 1 else 0.07)


@pytest.mark.parametrize("jump", [1000, 20])
@pytest.mark.parametrize("name", ["a.mkv", "a.flv", "a.ts"])
def test_a_jump_inside_leaves_no_hole(tmp_path, jump, name):
    moved = retimed(
        plain(tmp_path, seconds=2), tmp_path / name, lambda time, _: time + 400 + (jump if time >= 1 else 0)
    )
    assert in_step(converted(moved, tmp_path / "b.mp4"), 2, 0.13)


@pytest.mark.parametrize(("pid", "seconds"), [(0x100, 5), (0x100, 500), (0x101, 500)])
def test_one_wild_time_leaves_no_trace(tmp_path, pid, seconds):
    moved = retimed(plain(tmp_path, seconds=2), tmp_path / "a.ts", lambda time, _: time + 10)
    data = bytearray(moved.read_bytes())
    begun = [
        at for at in range(0, len(data), 188) if (data[at + 1] & 31) << 8 | data[at + 2] == pid and data[at + 1] & 64
    ]
    pes = data.index(b"\0\0\1", begun[len(begun) // 2])
    for at in range(pes + 9, pes + 9 + data[pes + 8], 5):  # its times, as ISO/IEC 13818-1 spreads them over five bytes
        bits = int.from_bytes(data[at : at + 5], "big")
        time = (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF
        time += 90000 * seconds
        bits = (
            bits >> 36 << 36
            | time >> 30 << 33
            | 1 << 32
            | (time >> 15 & 0x7FFF) << 17
            | 1 << 16
            | (time & 0x7FFF) << 1
            | 1
        )
        data[at : at + 5] = bits.to_bytes(5, "big")
    moved.write_bytes(data)
    assert in_step(converted(moved, tmp_path / "b.mp4"), 2, 0.3)


@pytest.mark.parametrize("audio", [None, "aac"])
def test_a_picture_may_stand_for_long(tmp_path, audio):
    """Slides: the step is no jump, neither alone nor while the sound goes on."""
    source = make_clip(tmp_path / "a.mkv", [0, 25 * 20, 25 * 40], audio=audio)
    with VideoReader(source) as reader:
        assert [float(frame.pts * frame.time_base) for frame in reader] == [0, 20, 40]


def repeats(n):
    return n - (n + 5) // 10


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("a.mkv", lambda n: repeats(n)),  # one in ten repeats the time before it
        ("a.ts", lambda n: n - (n % 8 == 7) * Fraction(1, 2)),  # jitter
        ("a.mkv", lambda n: n - n % 20 + max(0, n % 20 - 3)),  # four of twenty have one time
    ],
)
def test_good_times_stand_between_wrong_ones(tmp_path, name, wrong):
    source = make_clip(tmp_path / "plain.mp4", range(80), options={"bf": "0"})
    retimed(source, tmp_path / name, lambda time, _: Fraction(wrong(round(25 * time))) / 25)
    with VideoReader(tmp_path / name) as reader:
        times = [float(frame.pts * frame.time_base) for frame in reader]
    assert len(times) == 80 and times == sorted(set(times))
    off = [time - times[0] - float(wrong(n)) / 25 for n, time in enumerate(times)]
    assert max(map(abs, off)) <= 0.13, off


def placed(times, step=40):
    return [pts for _, pts in Rising([SimpleNamespace(pts=time) for time in times], step)]


def test_rules_of_rising_times():
    assert placed([0, 40, 40, 120]) == [0, 40, 80, 120]  # a repeat
    assert placed([0, 40, 5000, 120, 160]) == [0, 40, 80, 120, 160]  # a leap ahead
    assert placed([0, 40, 80, 41, 160]) == [0, 40, 80, 120, 160]  # a step back
    assert placed([None, None, None]) == [0, 40, 80]  # no times at all
    assert placed([0, 1, 1, 2], 1) == [0, 1, 2]  # no room: merged
    assert placed([0] * 40) == [40 * n for n in range(40)]  # a clock that stands


@pytest.mark.parametrize(("system", "rate"), [("pal", 25), ("ntsc", Fraction(30000, 1001))])
def test_an_absurd_rate_is_not_taken(tmp_path, caplog, system, rate):
    """libavformat says that raw DV has 60000 frames/s."""
    size, pix_fmt = ((720, 576), "yuv420p") if system == "pal" else ((720, 480), "yuv411p")
    with av.open(str(tmp_path / "a.dv"), "w") as container:
        stream = container.add_stream("dvvideo", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for n in range(6):
            frame = av.VideoFrame.from_ndarray(picture(n, *size), "rgb24")
            frame.pts, frame.time_base = n, 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert probe(tmp_path / "a.dv").rate == rate
    assert "60000 frames/s" in caplog.text
    converted(tmp_path / "a.dv", tmp_path / "b.mp4", preset="ultrafast")
    with av.open(str(tmp_path / "b.mp4")) as made:
        assert made.streams.video[0].average_rate == rate


def test_a_rate_that_is_only_a_tick_is_measured(tmp_path):
    make_clip(tmp_path / "a.mkv", range(0, 400, 40), time_base=Fraction(1, 1000))
    assert probe(tmp_path / "a.mkv").rate == 25
