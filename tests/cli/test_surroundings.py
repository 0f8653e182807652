"""Names that a terminal cannot show, pipes, and what libraries say: none of it fails a run or reaches the user raw."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import warnings

import pytest

from vtoon.cli.common import guard
from vtoon.errors import VtoonError
from vtoon.pipeline.jobs import plan
from vtoon.system import pipes
from vtoon.system.pipes import through_pipe
from vtoon.video import probe


@pytest.mark.parametrize(
    ("encoding", "name"), [("cp1252", "動画.mp4"), ("utf-8", "caf\udce9.mp4"), ("ascii", "naïve — ☃.mp4")]
)
def test_a_name_that_the_output_lacks_fails_nothing(monkeypatch, encoding, name):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    def work():
        print(name)
        raise VtoonError(f"{name}: bad")

    assert guard(work) == 1
    out.flush()
    err.flush()
    assert b"\\" in out.buffer.getvalue() or encoding == "utf-8"
    assert b"error: " in err.buffer.getvalue() and err.buffer.getvalue().count(b"\n") == 1


def test_a_warning_of_a_library_is_not_shown(capsys):
    def work():
        warnings.warn("old thing", DeprecationWarning, stacklevel=2)
        warnings.warn("large thing", UserWarning, stacklevel=2)

    try:
        assert guard(work) == 0
    finally:
        logging.captureWarnings(False)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def clip(tmp_path):
    import av
    import numpy as np

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        for n in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 40 * n, np.uint8))))
        container.mux(stream.encode(None))
    return tmp_path / "a.mp4"


def feed(path, data):
    thread = threading.Thread(target=path.write_bytes, args=(data,))
    thread.start()
    return thread


def test_a_named_pipe_is_read(tmp_path, clip):
    os.mkfifo(tmp_path / "pipe")
    writer = feed(tmp_path / "pipe", clip.read_bytes())
    (job,) = plan([str(tmp_path / "pipe")], tmp_path / "out")
    writer.join()
    assert job.problem is None and job.kind == "video" and job.output.name == "pipe_pipe.mp4"
    assert probe(job.source).expected_frames == 5


def test_standard_input_is_read(tmp_path, clip, monkeypatch):
    kept, source = os.dup(0), os.open(clip, os.O_RDONLY)
    os.dup2(source, 0)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    try:
        (job,) = plan(["-"], tmp_path / "b.mp4")
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(source)
    assert job.alone and job.output == tmp_path / "b.mp4" and probe(job.source).expected_frames == 5


@pytest.mark.parametrize(("data", "reason"), [(b"", "nothing came through"), (b"no video at all", "not a readable")])
def test_of_a_pipe_the_true_reason_is_told(tmp_path, data, reason):
    os.mkfifo(tmp_path / "pipe")
    writer = feed(tmp_path / "pipe", data)
    try:
        (job,) = plan([str(tmp_path / "pipe")], tmp_path / "out")
        assert reason in job.problem
    except VtoonError as error:
        assert reason in str(error)
    writer.join()


def test_a_terminal_and_a_device_are_no_input(tmp_path, monkeypatch):
    monkeypatch.setattr(pipes.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    with pytest.raises(VtoonError, match="which is a terminal here"):
        through_pipe("-")
    with pytest.raises(VtoonError, match="is a device"):
        probe("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VtoonError, match="is a pipe, which can be read once only"):
        probe(tmp_path / "pipe")


@pytest.mark.parametrize("mode", ["auto", "off", "double"])
def test_the_flag_for_interlaced_video_reaches_the_reader(mode):
    import tyro

    from vtoon.cli.stylize import Stylize, shared_options
    from vtoon.pipeline.options import StylizeOptions

    asked = tyro.cli(
        Stylize, args=["a.mp4", "--deinterlace", mode], use_underscores=True, config=(tyro.conf.OmitArgPrefixes,)
    )
    shared = shared_options(asked.drawing, asked.speed, asked.coding, asked.cut, asked.batch_size)
    options = StylizeOptions(**shared)
    assert options.deinterlace == mode
    with pytest.raises(VtoonError, match="auto, off or double"):
        StylizeOptions(deinterlace="bob")
