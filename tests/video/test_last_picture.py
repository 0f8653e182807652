"""The last picture is shown as long as in the source: at 25 frames/s, and by the sample table."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import pytest
from PIL import Image
from video_clips import converted, make_clip, picture


def made(path, times=(0, 80, 160, 240), stands=3000):
    """Pictures at `times` ms, the last of which stands for `stands` ms."""
    lengths = [b - a for a, b in pairwise(times)] + [stands]
    if path.suffix in (".gif", ".apng"):
        images = [Image.fromarray(picture(n)) for n in range(len(times))]
        form = "GIF" if path.suffix == ".gif" else "PNG"
        images[0].save(path, form, save_all=True, append_images=images[1:], duration=lengths, loop=0)
        return path
    plain = make_clip(path.with_name("plain.mp4"), times, time_base=Fraction(1, 1000), options={"bf": "0"})
    with av.open(str(plain)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet, length in zip((p for p in old.demux() if p.size), lengths, strict=True):
            packet.duration, packet.stream = round(Fraction(length, 1000) / packet.time_base), stream
            new.mux(packet)
    return path


def shown(path):
    """(frames, s that the last one is shown, s from start to end) as its decoder tells."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        last = float(frames[-1].duration * frames[-1].time_base)
        return len(frames), last, float(frames[-1].time) + last - float(frames[0].time)


def at_25(path):
    """Frames that a player at 25 frames/s draws."""
    graph, count = av.filter.Graph(), 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        source, fps, sink = graph.add_buffer(template=stream), graph.add("fps", "25"), graph.add("buffersink")
        graph.link_nodes(source, fps, sink).configure()
        for frame in (*container.decode(stream), None):
            graph.push(frame)
            while True:
                try:
                    graph.pull()
                except (av.error.BlockingIOError, av.error.EOFError):
                    break
                count += 1
    return count


@pytest.mark.parametrize("target", ["b.mp4", "b.mov", "b.mkv", "b.webm"])
@pytest.mark.parametrize("source", ["a.gif", "a.apng", "a.mp4", "a.mkv", "a.webm"])
def test_a_picture_that_stands_at_the_end_goes_on_standing(tmp_path, source, target):
    if source == "a.webm":
        source = converted(made(tmp_path / "a.gif"), tmp_path / "a.webm", preset="8")
    else:
        source = made(tmp_path / source)
    speed = {"b.webm": "8", "b.mkv": None}.get(target, "ultrafast")
    converted(source, tmp_path / target, preset=speed)
    count, last, length = shown(tmp_path / target)
    assert (count, last, length) == (4, pytest.approx(3.0, abs=0.05), pytest.approx(3.24, abs=0.05))
    assert at_25(tmp_path / target) == pytest.approx(81, abs=1)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_it_stands_behind_reordered_pictures_as_well(tmp_path, target, codec):
    """A screen recording: a second of motion, then nothing for five; the source's pictures are reordered, too."""
    source = made(tmp_path / "a.mkv", [40 * n for n in range(25)], 5000)
    converted(source, tmp_path / target, codec=codec, preset="faster")
    again = converted(tmp_path / target, tmp_path / "c.mp4", codec=codec, preset="faster")
    for path in (tmp_path / target, again):
        assert shown(path) == (25, pytest.approx(5.0, abs=0.05), pytest.approx(5.96, abs=0.05))
        assert at_25(path) == pytest.approx(149, abs=1)


def test_avi_shows_it_twice(tmp_path):
    converted(made(tmp_path / "a.mkv", [40 * n for n in range(25)], 2000), tmp_path / "b.avi")
    assert at_25(tmp_path / "b.avi") == pytest.approx(74, abs=2)


def test_a_usual_end_stays_usual(tmp_path):
    source = make_clip(tmp_path / "a.mp4", range(25), options={"bf": "3"})
    converted(source, tmp_path / "b.mp4")
    assert shown(tmp_path / "b.mp4") == (25, pytest.approx(0.04), pytest.approx(1.0))
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert sum(packet.is_keyframe for packet in container.demux()) == 1
