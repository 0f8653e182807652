"""`vtoon parse`: a file as smooth_parsing_map.py writes it, complete or not there."""

from __future__ import annotations

import numpy as np
import pytest

from vtoon.flow import estimate_flow
from vtoon.painters.companions import load_parser
from vtoon.painters.parsing import ParsingSmoother
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.placement import Full
from vtoon.pipeline.stylize import load
from vtoon.types import TrackedFrame
from vtoon.video import VideoReader


@pytest.fixture
def parse(command, published_folder):
    parser = published_folder / "faceparsing.pth"
    return lambda *args: command("parse", *args, "--faceparsing_path", parser, "--device", "cpu")


def test_the_file_holds_the_smoothed_maps_of_every_frame(parse, published_folder, make_clip, tmp_path):
    clip, output = make_clip(tmp_path / "a_input.mp4", 11), tmp_path / "maps" / "a.npy"
    ended = parse(clip, "-o", output, "--window", 1)
    assert (ended.code, ended.err) == (0, "") and ended.out == f"{output}: 11 frames of 64x48 px\n"
    maps = np.load(output, mmap_mode="r", allow_pickle=False)
    assert maps.dtype == np.float32 and maps.shape == (11, 19, 48, 64)
    smoother = ParsingSmoother(load_parser(published_folder / "faceparsing.pth"), estimate_flow, window=1)
    with VideoReader(clip) as reader:
        wanted = [logits.numpy() for (logits,) in smoother.smooth([(0, frame.image)] for frame in reader)]
    assert np.allclose(maps, wanted, atol=1e-5)
    assert [path.name for path in output.parent.iterdir()] == ["a.npy"]


def test_a_clip_is_drawn_with_its_file(parse, published_folder, make_clip, tmp_path):
    clip, path = make_clip(tmp_path / "a_input.mp4", 3), tmp_path / "a.npy"
    assert parse(clip, "-o", path).code == 0
    stylizer = load(published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt", "cpu")

    def draw() -> np.ndarray:
        engine = stylizer.engine(StylizeOptions(color_transfer=True, parsing_map=path))
        with VideoReader(clip) as reader:
            frames = map(TrackedFrame, reader)
            return np.stack([drawn.image for drawn in stylizer.render(frames, Full(1.0, 64.0), engine, 2)]).astype(int)

    first = draw()
    np.save(path, -40 * np.load(path))
    assert len(first) == 3 and np.abs(first - draw()).max() > 5  # what the file says reaches the network


@pytest.mark.parametrize(
    ("size", "flags", "says"),
    [
        ((48, 60), [], "60x48 px; both sides must be multiples of 8"),
        ((48, 64), ["-o", "a.npz"], ".npy file"),
        ((48, 64), ["--window", -1], "window is -1"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(parse, make_clip, tmp_path, monkeypatch, size, flags, says):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "a.mp4", 1, np.zeros((*size, 3), np.uint8))
    ended = parse("a.mp4", *(flags if "-o" in flags else ["-o", "a.npy", *flags]))
    assert ended.code == 1 and says in ended.line
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_finished_file_is_replaced_only_on_request(parse, make_clip, tmp_path):
    clip, output = make_clip(tmp_path / "a.mp4", 1), tmp_path / "a.npy"
    output.write_bytes(b"mine")
    assert "exists already" in parse(clip, "-o", output).line and output.read_bytes() == b"mine"
    assert parse(clip, "-o", output, "--overwrite", "-q").out == "" and len(np.load(output)) == 1


def test_a_missing_parsing_network_is_named_with_the_command_that_gets_it(command, make_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command("parse", make_clip(tmp_path / "a.mp4", 1), "-o", "a.npy", "--device", "cpu")
    assert ended.code == 1 and "faceparsing.pth is missing" in ended.line and "download_checkpoints.py" in ended.line
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_clip_that_breaks_is_parsed_up_to_there_and_failed(parse, make_clip, tmp_path):
    clip = make_clip(tmp_path / "a.mp4", 60)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 2 // 3])
    ended = parse(clip, "-o", tmp_path / "a.npy", "--window", 0)
    assert ended.code == 1 and f"breaks after frame {len(np.load(tmp_path / 'a.npy'))}," in ended.line
