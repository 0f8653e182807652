"""Bad input: one clear line, the right exit code, no traceback, nothing half written, the input untouched."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from vtoon.video import VideoReader

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stylize(command, tiny_model):
    return lambda *args: command("stylize", *args, "--ckpt", tiny_model, "--device", "cpu")


@pytest.fixture
def refused(stylize, tmp_path):
    """refused(source) stylizes it, checks what holds for every refusal, and returns the line."""

    def check(source, *flags) -> str:
        before = Path(source).read_bytes() if Path(source).is_file() else None
        ended = stylize(source, "-o", tmp_path / "out", *flags)
        assert ended.code == 1 and ended.out == ""
        assert ended.line.startswith("error: ")
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
        assert before is None or Path(source).read_bytes() == before
        return ended.line

    return check


def tone(path: Path) -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 8000
        container.mux([*stream.encode(samples), *stream.encode(None)])
    return path


def test_a_missing_file(refused, tmp_path):
    assert "no such file" in refused(tmp_path / "no.mp4")


def test_a_zero_byte_file(refused, tmp_path):
    (tmp_path / "a.mp4").touch()
    assert "empty" in refused(tmp_path / "a.mp4")


def test_a_text_file_named_mp4(refused, tmp_path):
    (tmp_path / "a.mp4").write_text("What is a video?\n" * 100)
    assert "not a readable video" in refused(tmp_path / "a.mp4")


def test_noise_named_mp4(refused, tmp_path):
    (tmp_path / "a.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    assert "not a readable video" in refused(tmp_path / "a.mp4")


def test_noise_named_png(refused, tmp_path):
    (tmp_path / "a.png").write_bytes(np.random.default_rng(0).bytes(20_000))
    assert "a.png" in refused(tmp_path / "a.png")


def test_a_video_without_its_index(refused, tmp_path, make_clip):
    clip = make_clip(tmp_path / "a.mp4", 30)
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"moov") + 60])
    assert "a.mp4" in refused(clip)


def test_pictures_that_are_noise(refused, tmp_path, make_clip):
    clip = make_clip(tmp_path / "a.mp4", 30)
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = np.random.default_rng(0).bytes(len(data) - start)
    clip.write_bytes(data)
    assert "a.mp4" in refused(clip)


def test_sound_alone(refused, tmp_path):
    assert "no picture" in refused(tone(tmp_path / "a.mp4"))


def test_a_truncated_image(refused, tmp_path, portrait):
    from PIL import Image

    Image.fromarray(portrait).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    assert "not a readable image" in refused(tmp_path / "a.png")


def test_a_folder_without_video_or_image(refused, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("text")
    assert "no video and no image" in refused(tmp_path / "in")


def test_a_truncated_video_keeps_the_frames_before_the_break(stylize, tmp_path, make_clip):
    clip = make_clip(tmp_path / "a.mp4", 60)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 2 // 3])
    ended = stylize(clip, "-o", tmp_path / "out.mp4")
    assert ended.code == 1 and "breaks after frame" in ended.line
    with VideoReader(tmp_path / "out.mp4") as reader:
        count = len(list(reader))
    assert 0 < count < 60 and f"{count} frames" in ended.out and f"after frame {count}," in ended.line


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--style", "4"], "ids go from 0 to 3"),
        (["--style", "-1"], "ids go from 0 to 3"),
        (["--style", "cartoom"], "did you mean cartoon"),
        (["--style_degree", "1.5"], "between 0"),
        (["--style_degree", "-0.1"], "between 0"),
        (["--style_degree", "nan"], "between 0"),
        (["--detail", "20"], "64 to 160"),
        (["--batch_size", "0"], "at least 1"),
        (["--codec", "mpeg0"], "not known"),
        (["--crf", "99"], "crf 99"),
        (["--preset", "sloow"], "preset 'sloow'"),
    ],
)
def test_a_value_that_is_not_allowed(refused, tmp_path, make_clip, flags, says):
    assert says in refused(make_clip(tmp_path / "a.mp4", 2), *flags)


def test_a_flag_that_does_not_exist(stylize, tmp_path):
    ended = stylize("a.mp4", "--no_such_flag", "1")
    assert ended.code == 2 and "--no_such_flag" in ended.err and "Traceback" not in ended.err


@pytest.mark.parametrize("place", ["file/out", "file/out.mp4"])
@pytest.mark.parametrize("kind", ["video", "image"])
def test_a_place_that_cannot_be_written(stylize, tmp_path, make_clip, place, kind):
    (tmp_path / "file").write_bytes(b"mine")
    source, target = tmp_path / "a.mp4", tmp_path / place
    if kind == "video":
        make_clip(source, 2)
    else:
        from PIL import Image

        source, target = tmp_path / "a.png", target.with_suffix(target.suffix and ".png")
        Image.new("RGB", (48, 48)).save(source)
    ended = stylize(source, "-o", target)
    assert ended.code == 1 and "cannot be written" in ended.line
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_disk_that_is_full(stylize, tmp_path, make_clip):
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    clip = make_clip(tmp_path / "a.mp4", 12, noise)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # no file may grow beyond 4 KiB
    try:
        ended = stylize(clip, "-o", tmp_path / "out" / "b.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ended.code == 1 and "cannot be written" in ended.line
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "link.mp4", "."])
def test_an_output_that_is_the_input(stylize, tmp_path, make_clip, monkeypatch, name):
    clip = make_clip(tmp_path / "a.mp4", 2)
    (tmp_path / "link.mp4").symlink_to(clip)
    monkeypatch.chdir(tmp_path)
    before = clip.read_bytes()
    ended = stylize("a.mp4", "-o", name, "--overwrite")
    assert ended.code == 1 and "same file" in ended.line
    assert clip.read_bytes() == before


def ended_with_model(command, tmp_path, model: Path) -> str:
    ended = command("stylize", tmp_path / "a.mp4", "-o", tmp_path / "out.mp4", "--ckpt", model)
    assert ended.code == 1 and not (tmp_path / "out.mp4").exists()
    inspected = command("inspect", model)
    assert inspected.code == 1 and inspected.line == ended.line
    return ended.line


def test_a_model_that_is_not_one(command, tmp_path, make_clip, tiny_model):
    make_clip(tmp_path / "a.mp4", 2)
    assert "no such checkpoint" in ended_with_model(command, tmp_path, tmp_path / "no.safetensors")
    for name, data, says in (
        ("empty.safetensors", b"", "not a vtoon checkpoint"),
        ("cut.safetensors", tiny_model.read_bytes()[:9000], "not a vtoon checkpoint"),
        ("empty.pt", b"", "the file is empty"),
        ("text.pt", b"hello" * 99, "not a file of weights"),
    ):
        (tmp_path / name).write_bytes(data)
        assert says in ended_with_model(command, tmp_path, tmp_path / name)


def test_a_pickle_is_never_run(command, tmp_path, make_clip):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    make_clip(tmp_path / "a.mp4", 2)
    (tmp_path / "trap.pt").write_bytes(pickle.dumps({"g_ema": Trap()}))
    assert "nothing in the file was run" in ended_with_model(command, tmp_path, tmp_path / "trap.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_stopped_in_the_middle(tmp_path, make_clip, portrait, tiny_model, number, code, word):
    clip = make_clip(tmp_path / "a.mp4", 400, portrait)
    before = clip.read_bytes()
    words = ["stylize", clip, "-o", tmp_path / "out", "--ckpt", tiny_model, "--device", "cpu"]
    words += ["--crf", "0", "--preset", "ultrafast"]  # large frames, so that some reach the file while it is young
    launch = "import sys; from vtoon.cli.main import main; main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", launch, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    part = tmp_path / "out" / ".a.part.mp4"
    deadline = time.monotonic() + 300
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == code
    assert err.splitlines() == [f"{word}: what was unfinished is discarded"]
    assert not list((tmp_path / "out").iterdir()) and clip.read_bytes() == before
