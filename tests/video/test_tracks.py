"""Sound that players play gets into every container, in its place, or one line says what is left out."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from video_clips import RATE, converted, make_clip, picture, retimed, spans

from vtoon.video import probe


def remuxed(source, target, kinds=("video", "audio")):
    """A copy of the packets of some kinds; all streams are announced."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.size and packet.stream.type in kinds:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return target


def sound(path):
    """(codec, loudness of each 10 ms from zero on) of the sound, as a decoder gives it."""
    heard = np.zeros(0)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("s16", "mono", 48000)
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                at, data = round(float(part.pts * part.time_base) * 48000), part.to_ndarray()[0].astype(float)
                data = data[max(0, -at) :]
                heard = np.concatenate([heard[: max(at, 0)], np.zeros(max(0, at - len(heard))), data])
        return stream.codec_context.name, np.abs(heard[: len(heard) // 480 * 480]).reshape(-1, 480).mean(1)


@pytest.mark.parametrize("target", ["b.mp4", "b.mov", "b.mkv", "b.webm", "b.avi"])
@pytest.mark.parametrize(
    ("audio", "name"),
    [("pcm_s16le", "a.mkv"), ("pcm_s16be", "a.mov"), ("mp2", "a.mpg"), ("ac3", "a.ts"), ("flac", "a.mkv")],
)
def test_every_sound_gets_into_every_container(tmp_path, audio, name, target):
    source = make_clip(tmp_path / name, range(25), audio=audio, codec="mpeg2video" if name == "a.mpg" else "libx264")
    converted(source, tmp_path / target, preset="8" if target == "b.webm" else "ultrafast")
    _, loud = sound(tmp_path / target)
    assert len(loud) == pytest.approx(98, abs=6) and loud[10:85].min() > 1000


def test_pcm_that_names_no_layout_is_heard(tmp_path):
    """Sony's cameras: a `chan` box is missing."""
    path = make_clip(tmp_path / "a.mov", range(10), audio="pcm_s16be")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"chan", b"free"))
    with av.open(str(path)) as container:
        assert container.streams.audio[0].layout.name == "2 channels"
    for target in ("b.mp4", "b.mov", "b.webm"):
        converted(path, tmp_path / target)
        assert sound(tmp_path / target)[1][5:30].min() > 1000


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.webm"])
@pytest.mark.parametrize(("name", "audio"), [("a.ts", "aac"), ("a.mkv", "pcm_s16le"), ("a.ts", "ac3")])
def test_a_track_that_is_announced_but_empty_is_left_out(tmp_path, caplog, name, audio, target):
    full = make_clip(tmp_path / "full.mkv", range(10), audio=audio, options={"bf": "0"})
    source = remuxed(full, tmp_path / name, ("video",))
    converted(source, tmp_path / target)
    info = probe(tmp_path / target)
    assert info.audio_codecs == () and info.expected_frames == pytest.approx(10, abs=1)
    assert "is left out: it is empty" in caplog.text or not probe(source).audio_codecs


def test_ways_are_known_before_the_first_frame(tmp_path, caplog):
    from vtoon.video import VideoReader, VideoWriter

    source = make_clip(tmp_path / "a.mp4", range(10), audio="aac")
    with VideoReader(source) as reader, VideoWriter(tmp_path / "b.webm", like=reader) as writer:
        assert "re-encoded as opus" in caplog.text
        writer.write(picture(0))


@pytest.mark.parametrize("audio", ["aac", "pcm_s16le", "libmp3lame"])
def test_sound_that_begins_late_stays_late_in_avi(tmp_path, audio):
    source = make_clip(tmp_path / "a.mkv", range(50), audio=audio, audio_start=0.5)
    converted(source, tmp_path / "b.avi")
    _, loud = sound(tmp_path / "b.avi")
    assert loud[:46].max() < 300 and loud[58:120].min() > 1000


def test_an_avi_whose_sound_is_late_stays_so(tmp_path):
    source = make_clip(tmp_path / "plain.mkv", range(50), audio="libmp3lame", audio_start=0.5)
    avi = converted(source, tmp_path / "a.avi")
    converted(avi, tmp_path / "b.mp4")
    assert sound(tmp_path / "b.mp4")[1][:46].max() < 300


def trimmed(folder, audio):
    """A second of noise, then silence; the edit list starts behind the noise."""
    path = folder / "plain.mov"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"bf": "0", "g": "5"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream(audio, rate=48000)
        track.codec_context.layout = "stereo"
        made = []
        for n in range(50):
            frame = av.VideoFrame.from_ndarray(picture(n), "rgb24")
            frame.pts, frame.time_base = n, Fraction(1, RATE)
            made += video.encode(frame)
        noise = np.random.default_rng(0).integers(-9000, 9000, 96000)
        track.codec_context.open()
        size = track.codec_context.frame_size or 1024
        for at in range(0, 96000 - size, size):
            part = np.where(np.arange(at, at + size) < 46000, noise[at : at + size], 0).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.repeat(part, 2)[None], "s16", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
            made += track.encode(frame)
        made += [*video.encode(None), *track.encode(None)]
        for packet in sorted(made, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return retimed(path, folder / "a.mov", lambda time, _: time - 1, {"avoid_negative_ts": "disabled"})


@pytest.mark.parametrize("audio", ["aac", "pcm_s16le", "libmp3lame"])
@pytest.mark.parametrize("target", ["b.mp4", "b.mov", "b.mkv", "b.webm", "b.avi"])
def test_what_an_edit_list_hides_is_not_heard(tmp_path, audio, target):
    source = trimmed(tmp_path, audio)
    converted(source, tmp_path / target, preset="8" if target == "b.webm" else "ultrafast")
    _, loud = sound(tmp_path / target)
    assert loud.max() < 100 and len(loud) > 80
    assert spans(tmp_path / target)["video"][0] == pytest.approx(0, abs=0.09)
