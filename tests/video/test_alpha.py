"""Alpha is carried where the output can hold it, else the picture lies over black, not over what alpha hid."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from video_clips import converted, make_clip, picture

from vtoon.image import save_image
from vtoon.video import VideoReader, probe

SIZE = (96, 64)
HIDDEN = (255, 0, 255)


def rgba(n):
    """A picture whose right half is transparent magenta."""
    image = np.dstack([picture(n, *SIZE), np.full(SIZE[::-1], 255, np.uint8)])
    image[:, 48:] = (*HIDDEN, 0)
    return image


def made(folder, name):
    path = folder / name
    if name == "%03d.png":
        for n in range(5):
            Image.fromarray(rgba(n)).save(folder / f"{n:03d}.png")
        return path
    if name in ("a.apng", "a.gif"):
        images = [Image.fromarray(rgba(n)) for n in range(5)]
        form = {"a.apng": "PNG", "a.gif": "GIF"}[name]
        images[0].save(
            path, form, save_all=True, append_images=images[1:], duration=40, disposal=2 if name == "a.gif" else 0
        )
        return path
    codec, pix_fmt, options = {
        "a.webm": ("libvpx-vp9", "yuva420p", {"auto-alt-ref": "0", "b": "0", "crf": "10", "cpu-used": "8"}),
        "a.mov": ("prores_ks", "yuva444p10le", {"profile": "4444"}),
        "a.mkv": ("ffv1", "yuva420p", {}),
    }[name]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pix_fmt
        if codec == "libvpx-vp9":
            stream.metadata["alpha_mode"] = "1"
        for n in range(5):
            frame = av.VideoFrame.from_ndarray(rgba(n), "rgba").reformat(format=pix_fmt)
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


SOURCES = ["a.webm", "a.mov", "a.mkv", "a.apng", "a.gif", "%03d.png"]


@pytest.mark.parametrize("name", SOURCES)
def test_it_is_read(tmp_path, name):
    with VideoReader(made(tmp_path, name)) as reader:
        frames = list(reader)
    assert reader.info.alpha and len(frames) == 5
    for n, frame in enumerate(frames):
        assert frame.alpha[:, 52:].max() <= 4 and frame.alpha[:, :44].min() >= 250
        assert np.abs(frame.image[:, :40].astype(int) - rgba(n)[:, :40, :3]).mean() < 12


@pytest.mark.parametrize("name", SOURCES)
def test_it_lies_over_black_where_the_output_has_none(tmp_path, name, caplog):
    converted(made(tmp_path, name), tmp_path / "b.mp4")
    assert not probe(tmp_path / "b.mp4").alpha
    with VideoReader(tmp_path / "b.mp4") as reader:
        for frame in reader:
            assert frame.image[:, 56:].max() < 12 and frame.image[:, :40].mean() > 60
    assert "becomes black" in caplog.text


@pytest.mark.parametrize("target", ["b.webm", "b.mov", "c.mkv"])
@pytest.mark.parametrize("name", ["a.webm", "a.mov", "%03d.png"])
def test_it_is_carried(tmp_path, name, target, caplog):
    converted(made(tmp_path, name), tmp_path / target, codec="vp9" if target == "c.mkv" else None)
    assert probe(tmp_path / target).alpha and "black" not in caplog.text
    with VideoReader(tmp_path / target) as reader:
        frames = list(reader)
    assert len(frames) == 5
    assert all(frame.alpha[:, 56:].max() <= 6 and frame.alpha[:, :40].min() >= 248 for frame in frames)


@pytest.mark.parametrize("name", ["a.gif", "%03d.png"])
def test_an_alpha_channel_that_hides_nothing_is_none(tmp_path, name, caplog):
    images = [Image.fromarray(picture(n)).convert("RGBA") for n in range(3)]
    for n, image in enumerate(images):
        image.save(tmp_path / f"{n:03d}.png")
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=40)
    converted(tmp_path / name, tmp_path / "b.webm", preset="8")
    assert not probe(tmp_path / "b.webm").alpha and not caplog.text


def test_an_opaque_clip_is_as_before(tmp_path):
    with VideoReader(make_clip(tmp_path / "a.mkv", range(3))) as reader:
        assert all(frame.alpha is None for frame in reader) and not reader.info.alpha


def test_a_photo_with_alpha_as_jpeg(tmp_path, caplog):
    save_image(tmp_path / "a.jpg", rgba(0)[..., :3], rgba(0)[..., 3])
    assert np.array(Image.open(tmp_path / "a.jpg"))[:, 56:].max() < 12 and "becomes black" in caplog.text
