"""Cover, date, camera, place, titles, fonts: kept where the container can, else one line says what is not."""

from __future__ import annotations

import io

import av
import pytest
from av.stream import Disposition
from PIL import Image
from video_clips import converted, make_clip, picture


def told(path):
    with av.open(str(path)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}


def with_metadata(source, target, about, options=None, tracks=None):
    with av.open(str(source)) as old, av.open(str(target), "w", container_options=options or {}) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        new.metadata.update(about)
        for stream in streams.values():
            stream.metadata.update((tracks or {}).get(stream.type, {}))
        for packet in old.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return target


def jpeg(kind="JPEG"):
    data = io.BytesIO()
    Image.fromarray(picture(3)).save(data, kind)
    return data.getvalue()


def with_cover(folder, name):
    """A clip with a cover picture: in MP4 a track, in Matroska an attached file."""
    plain, path = make_clip(folder / "plain.mkv", range(6), audio="aac"), folder / name
    (folder / "cover.jpg").write_bytes(jpeg())
    with av.open(str(plain)) as old, av.open(str(folder / "cover.jpg")) as image, av.open(str(path), "w") as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        if name.endswith("mkv"):
            new.add_attachment("cover.jpg", "image/jpeg", jpeg())
        else:
            cover = new.add_stream_from_template(image.streams.video[0], opaque=True)
            cover.disposition = Disposition.attached_pic
            for packet in image.demux():
                if packet.size:
                    packet.stream, packet.pts, packet.dts = cover, 0, 0
                    new.mux(packet)
        for packet in old.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return path


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.mov"])
@pytest.mark.parametrize("source", ["a.mp4", "a.mkv"])
def test_covers(tmp_path, source, target, caplog):
    converted(with_cover(tmp_path, source), tmp_path / target)
    with av.open(str(tmp_path / target)) as container:
        found = [s.codec_context.name for s in container.streams.video if s.disposition & Disposition.attached_pic]
        assert found == ["mjpeg"] or (target == "b.mov" and "the cover" in caplog.text)
        assert len(container.streams.audio) == 1
        assert len([packet for packet in container.demux(video=0) if packet.size]) == 6


def test_a_cover_that_cannot_be_kept_is_said(tmp_path, caplog):
    converted(with_cover(tmp_path, "a.mkv"), tmp_path / "b.avi")
    assert "not kept: the cover" in caplog.text


CAMERA = {
    "creation_time": "2024-05-06T07:08:09.000000Z",
    "location": "+48.1000+011.6000/",
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone",
    "com.android.version": "14",
}


@pytest.mark.parametrize("target", ["b.mp4", "b.mov", "b.mkv"])
def test_date_place_and_camera(tmp_path, target, caplog):
    plain = make_clip(tmp_path / "plain.mp4", range(4))
    source = with_metadata(plain, tmp_path / "a.mov", CAMERA, {"movflags": "use_metadata_tags"})
    assert {key: value for key, value in told(source).items() if key in CAMERA} == CAMERA
    converted(source, tmp_path / target)
    assert {key: value for key, value in told(tmp_path / target).items() if key in CAMERA} == CAMERA
    assert "not kept" not in caplog.text


def test_what_a_container_has_no_place_for_is_said_in_one_line(tmp_path, caplog):
    plain = make_clip(tmp_path / "plain.mp4", range(4))
    source = with_metadata(plain, tmp_path / "a.mov", CAMERA, {"movflags": "use_metadata_tags"})
    converted(source, tmp_path / "b.avi")
    lines = [record.message for record in caplog.records if "not kept" in record.message]
    assert len(lines) == 1 and "com.apple.quicktime.make" in lines[0] and "location" in lines[0]


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.mov"])
def test_titles_of_tracks(tmp_path, target, caplog):
    plain = make_clip(tmp_path / "plain.mkv", range(4), audio="aac")
    source = with_metadata(plain, tmp_path / "a.mkv", {"title": "Film"}, None, {"audio": {"title": "Commentary"}})
    converted(source, tmp_path / target)
    with av.open(str(tmp_path / target)) as container:
        values = [value for stream in container.streams.audio for value in stream.metadata.values()]
    assert told(tmp_path / target)["title"] == "Film"
    assert "Commentary" in values or "the title of track 1" in caplog.text


def test_fonts_are_kept_in_matroska_and_said_elsewhere(tmp_path, caplog):
    plain, source = make_clip(tmp_path / "plain.mkv", range(4), subtitle="ass"), tmp_path / "a.mkv"
    with av.open(str(plain)) as old, av.open(str(source), "w") as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        new.add_attachment("Some.ttf", "font/ttf", b"\0\1\0\0" * 50)
        for packet in old.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    converted(source, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as container:
        (font,) = container.streams.attachments
        assert (font.metadata["filename"], font.data) == ("Some.ttf", b"\0\1\0\0" * 50)
    assert "not kept" not in caplog.text
    converted(source, tmp_path / "b.mp4")
    assert "not kept: attached files" in caplog.text
