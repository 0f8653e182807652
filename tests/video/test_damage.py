"""Damage costs the pictures it hits, as for players; only what is not there is left out, and said."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from video_clips import converted, make_clip, packets, picture

from vtoon.video import VideoReader

NOISE = np.random.default_rng(0)
IMAGES = [np.clip(picture(n) + NOISE.integers(-20, 20, (48, 64, 3)), 0, 255).astype(np.uint8) for n in range(50)]


def clip(path, codec="libx264", audio="aac"):
    fine = {"qmin": "2", "qmax": "3"} if codec == "mpeg2video" else {}
    return make_clip(path, range(50), codec=codec, audio=audio, images=IMAGES, options={"g": "12"} | fine)


def read(path):
    with VideoReader(path) as reader:
        return list(reader), reader


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_one_lost_transport_packet(tmp_path, codec, caplog):
    path = clip(tmp_path / "a.ts", codec)
    data = path.read_bytes()
    at = len(data) // 188 // 3 * 188
    while (data[at + 1] & 31) << 8 | data[at + 2] != 0x100 or data[at + 1] & 64:
        at += 188
    path.write_bytes(data[:at] + data[at + 188 :])
    frames, reader = read(path)
    assert len(frames) >= 49 and reader.damaged is None and not reader.broken
    assert [r.message for r in caplog.records if "damaged" in r.message][-1].count("shown as far as possible") == 1
    converted(path, tmp_path / "b.mp4")
    assert len(packets(tmp_path / "b.mp4", "audio")) >= len(packets(path, "audio")) - 1


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "libvpx-vp9")]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_few_wrong_bytes(tmp_path, name, codec, seed):
    path = clip(tmp_path / name, codec, None)
    data, chance = bytearray(path.read_bytes()), np.random.default_rng(seed)
    at = int(chance.integers(len(data) // 5, len(data) * 4 // 5))
    data[at : at + 60] = chance.bytes(60)
    path.write_bytes(data)
    frames, reader = read(path)
    assert len(frames) >= 48 and not reader.broken
    lost = 50 - len(frames) if name == "a.avi" else 0  # there a place in the file is the time
    assert frames[-1].pts * frames[-1].time_base == Fraction(49 - lost, 25)


def test_a_recording_may_begin_between_two_keyframes(tmp_path, caplog):
    whole, path = clip(tmp_path / "whole.mkv"), tmp_path / "a.ts"
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.size and packet.pts * packet.time_base > Fraction(1, 4):
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    frames, reader = read(path)
    assert 36 <= len(frames) <= 44 and reader.damaged is None
    converted(path, tmp_path / "b.mp4")
    first = packets(path, "audio")[0][0], packets(tmp_path / "b.mp4", "audio")[0][0]
    assert frames[0].pts * frames[0].time_base > 0 and first[1] < Fraction(1, 20)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_header_that_promises_more_is_believed_no_more_than_the_packets(tmp_path, name):
    path = clip(tmp_path / name, audio=None)
    data = bytearray(path.read_bytes())
    if name == "a.mp4":
        at = data.index(b"mvhd") + 4 + 16
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") * 9).to_bytes(4, "big")
    else:
        at = data.index(b"\x44\x89\x88") + 3  # Duration, a float of 8 bytes
        data[at : at + 8] = np.array(60_000.0, ">f8").tobytes()
    path.write_bytes(data)
    frames, reader = read(path)
    assert len(frames) == 50 and reader.damaged is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_what_is_not_there_is_left_out_and_said(tmp_path, name):
    path = make_clip(
        tmp_path / name,
        range(50),
        images=IMAGES,
        index_first=name == "a.mp4",
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    frames, reader = read(path)
    assert 15 < len(frames) < 45 and reader.broken and f"after frame {len(frames)}" in reader.damaged


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_the_end_of_a_stream_that_was_cut_is_no_damage(tmp_path, target):
    path = clip(tmp_path / "a.ts")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with VideoReader(path) as reader:
        count = len(list(reader))
    assert 15 < count < 45 and not reader.broken
    converted(path, tmp_path / target)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
def test_what_is_missing_behind_the_last_picture_costs_nothing(tmp_path, name):
    path = make_clip(tmp_path / name, range(50), images=IMAGES, codec="mpeg4", index_first=name == "a.mp4")
    data = path.read_bytes()
    whole = data[: data.rindex(b"idx1")] if name == "a.avi" else data + (900).to_bytes(4, "big") + b"free" + bytes(20)
    path.write_bytes(whole)
    frames, reader = read(path)
    assert len(frames) == 50 and reader.damaged is None and not reader.broken


def test_a_film_list_that_is_cut_is_said(tmp_path):
    path = make_clip(tmp_path / "a.avi", range(50), images=IMAGES, codec="mpeg4")
    data = path.read_bytes()
    film, index = data.index(b"movi"), data.rindex(b"idx1")
    path.write_bytes(data[: film + (index - film) * 6 // 10])
    frames, reader = read(path)
    assert 5 < len(frames) < 45 and reader.broken and f"after frame {len(frames)}" in reader.damaged
