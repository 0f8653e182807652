"""Every job has an outcome; one that fails does not stop the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtoon.errors import VtoonError
from vtoon.pipeline.batch import DAMAGED, DONE, FAILED, SKIPPED, Result, one_line, stylize_all, table
from vtoon.pipeline.jobs import Job, Naming, plan
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.stylize import load

FLAT = np.full((40, 48, 3), 90, np.uint8)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(FLAT).save(path)
    return path


@pytest.fixture(scope="module")
def stylizer(tiny_model):
    return load(tiny_model, "cpu")


def test_a_failure_does_not_stop_the_others(tmp_path, stylizer, make_clip):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_text("not a video")
    make_clip(tmp_path / "in" / "b.mp4")
    picture(tmp_path / "in" / "c.png")
    jobs = plan([str(tmp_path / "in")], tmp_path / "out")
    results = list(stylize_all(stylizer, jobs, StylizeOptions()))
    assert [result.status for result in results] == [FAILED, DONE, DONE]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.mp4", "c.png"]
    again = list(stylize_all(stylizer, jobs, StylizeOptions()))
    assert [result.status for result in again] == [FAILED, SKIPPED, SKIPPED]
    redone = list(stylize_all(stylizer, jobs, StylizeOptions(overwrite=True)))
    assert [result.status for result in redone] == [FAILED, DONE, DONE]


def test_an_unexpected_error_is_a_failure_of_its_file(tmp_path, stylizer, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(stylizer, "stylize_picture", broken)
    (result,) = stylize_all(stylizer, plan([str(picture(tmp_path / "a.png"))], tmp_path / "out"), StylizeOptions())
    assert result.status == FAILED and "RuntimeError: first line second line" in result.reason
    assert not list((tmp_path / "out").iterdir())


def test_alpha_of_a_crop_is_cropped_with_it(tmp_path, stylizer, portrait):
    height, width = portrait.shape[:2]
    alpha = np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))
    Image.fromarray(np.dstack([portrait, alpha])).save(tmp_path / "a.png")
    options = StylizeOptions(placement="crop", padding=(40,) * 4)
    (result,) = stylize_all(stylizer, plan([str(tmp_path / "a.png")], tmp_path / "out"), options)
    with Image.open(result.job.output) as saved:
        assert saved.mode == "RGBA" and saved.size != (width, height)
        row = np.array(saved.getchannel("A"))[0].astype(int)
        assert 0 < row[0] < row[-1] < 255 and (np.diff(row) >= 0).all()


def test_a_cropped_input_that_is_missing_is_made_again_and_a_foreign_file_is_not_replaced(tmp_path, stylizer):
    jobs = plan([str(picture(tmp_path / "in" / "a.png"))], tmp_path / "out", Naming("_toon", "_input"))
    jobs = [replace(job, alone=False) for job in jobs]
    options = StylizeOptions(placement="crop")
    run = lambda: next(stylize_all(stylizer, jobs, options))  # noqa: E731
    assert run().status == DONE
    jobs[0].copy.unlink()
    assert run().status == SKIPPED and jobs[0].copy.exists()
    jobs[0].output.unlink()
    jobs[0].copy.write_text("mine")
    assert run().status == FAILED and "exists already" in run().reason and jobs[0].copy.read_text() == "mine"


def test_alpha_is_kept(tmp_path, stylizer):
    alpha = np.tile(np.arange(48, dtype=np.uint8) * 5, (40, 1))
    Image.fromarray(np.dstack([FLAT, alpha])).save(tmp_path / "a.png")
    (result,) = stylize_all(stylizer, plan([str(tmp_path / "a.png")], tmp_path / "out"), StylizeOptions())
    with Image.open(result.job.output) as saved:
        assert saved.mode == "RGBA"
        assert np.array_equal(np.array(saved)[..., 3], alpha)


def test_exif_rotation_is_applied(tmp_path, stylizer):
    exif = Image.Exif()
    exif[274] = 6  # shown turned by 90 degrees
    Image.fromarray(FLAT).save(tmp_path / "a.jpg", exif=exif)
    (result,) = stylize_all(stylizer, plan([str(tmp_path / "a.jpg")], tmp_path / "out"), StylizeOptions())
    with Image.open(result.job.output) as saved:
        assert saved.size == (40, 48) and not saved.getexif().get(274)


def test_a_style_that_does_not_exist_stops_before_the_first_file(tmp_path, stylizer):
    jobs = plan([str(picture(tmp_path / "a.png"))], tmp_path / "out")
    with pytest.raises(VtoonError, match="ids go from 0 to 3"):
        list(stylize_all(stylizer, jobs, StylizeOptions(style=4)))


def test_table_is_aligned_and_says_everything():
    job = Job("in/a.mp4", Path("out/a.mp4"), "video")
    results = [
        Result(job, DONE, 100, 2, 10.0),
        Result(job, DAMAGED, 5, 0, 1.0, "breaks after frame 5"),
        Result(job, SKIPPED, reason="it is there already"),
        Result(job, FAILED, reason="no such file"),
    ]
    lines = table(results).splitlines()
    assert lines[0].split() == ["file", "frames", "faces", "fps", "result"]
    assert lines[1].split() == ["a.mp4", "100", "2", "10.0", "done:", "out/a.mp4"]
    assert "damaged: breaks after frame 5" in lines[2] and lines[2].split()[2] == "0"
    assert lines[3].endswith("skipped: it is there already") and lines[4].endswith("failed: no such file")
    assert (
        len({line.index(word) for line, word in zip(lines, ("result", "done", "dam", "skip", "fail"), strict=True)})
        == 1
    )
    assert one_line(results[0]) == "out/a.mp4: 100 frames, 2 faces, 10.0 fps"
