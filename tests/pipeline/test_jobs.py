"""Inputs become jobs with an output each, or one line says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vtoon.errors import VtoonError
from vtoon.pipeline.jobs import Job, Naming, plan


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (48, 40), "gray").save(path)
    return path


def outputs(jobs: list[Job]) -> list[str]:
    return [job.output.name for job in jobs]


@pytest.mark.parametrize(
    ("source", "kind", "codec", "name"),
    [
        ("a/talk.mp4", "video", None, "talk.mp4"),
        ("a/talk.MOV", "video", None, "talk.MOV"),
        ("v1.2.final.mkv", "video", None, "v1.2.final.mkv"),
        ("loop.gif", "video", None, "loop.mp4"),
        ("old.mpg", "video", None, "old.mp4"),
        ("talk.mp4", "video", "prores", "talk.mov"),
        ("no_extension", "video", None, "no_extension.mp4"),
        ("me.jpg", "image", None, "me.jpg"),
        ("me.tiff", "image", None, "me.png"),
        ("wrong.mp4", "image", None, "wrong.png"),
        ("clip/frames_%04d.png", "video", None, "clip.mp4"),
    ],
)
def test_name_of_an_output(source, kind, codec, name):
    assert Naming(codec=codec).output(source, kind) == name


@settings(deadline=None, max_examples=50)
@given(stem=st.text("abc. -é%", min_size=1, max_size=12).filter(lambda s: s.strip(". ") == s and "%" not in s))
def test_dots_in_names_are_kept(stem):
    assert Naming("_vtoonify_d").output(f"in/{stem}.mp4", "video") == f"{stem}_vtoonify_d.mp4"


def test_one_input_may_name_its_output_file(tmp_path, make_clip):
    (job,) = plan([str(make_clip(tmp_path / "a.mp4"))], tmp_path / "b.mkv")
    assert (job.output, job.kind, job.alone) == (tmp_path / "b.mkv", "video", True)


def test_an_output_without_extension_is_a_folder(tmp_path):
    (job,) = plan([str(picture(tmp_path / "a.png"))], tmp_path / "out")
    assert job.output == tmp_path / "out" / "a.png"


def test_a_slash_makes_a_folder(tmp_path):
    (job,) = plan([str(picture(tmp_path / "a.png"))], f"{tmp_path}/v1.2/")
    assert job.output == tmp_path / "v1.2" / "a.png"


def test_the_copy_of_one_input_never_lands_on_another(tmp_path):
    inputs = [str(picture(tmp_path / name)) for name in ("a.png", "a_input.png")]
    first, second = plan(inputs, tmp_path, Naming("_vtoonify_d", "_input"))
    assert "is an input" in first.problem and not second.problem


def test_a_clash_of_names_stops_the_one_that_comes_second(tmp_path):
    for name in ("a.png", "sub/a.png", "b.png"):
        picture(tmp_path / name)
    jobs = plan([str(tmp_path / name) for name in ("a.png", "sub/a.png", "b.png")], tmp_path / "out")
    assert [bool(job.problem) for job in jobs] == [False, True, False] and "would both become" in jobs[1].problem


def test_a_folder_with_a_dot_that_exists_is_a_folder(tmp_path):
    (tmp_path / "v1.2").mkdir()
    (job,) = plan([str(picture(tmp_path / "a.png"))], tmp_path / "v1.2")
    assert job.output == tmp_path / "v1.2" / "a.png"


def test_a_folder_gives_every_video_and_image_in_it(tmp_path, make_clip):
    folder = tmp_path / "in"
    for name in ("b.png", "c.JPG", ".hidden.png", "deeper/d.png"):
        picture(folder / name)
    make_clip(folder / "a.mp4")
    (folder / "notes.txt").write_text("text")
    (folder / "x.mp4.part").write_bytes(b"half")
    jobs = plan([str(folder)], tmp_path / "out")
    assert outputs(jobs) == ["a.mp4", "b.png", "c.JPG"]
    assert not any(job.alone for job in jobs)


def test_a_file_without_extension_is_known_by_its_content(tmp_path):
    picture(tmp_path / "in" / "a.png").rename(tmp_path / "in" / "a")
    (tmp_path / "in" / "README").write_text("text")
    assert outputs(plan([str(tmp_path / "in")], tmp_path / "out")) == ["a.png"]


def test_globs_and_repetition(tmp_path):
    for name in ("a1.png", "a2.png", "b.png"):
        picture(tmp_path / name)
    jobs = plan([str(tmp_path / "a*.png"), str(tmp_path / "a1.png"), str(tmp_path)], tmp_path / "out")
    assert outputs(jobs) == ["a1.png", "a2.png", "b.png"]


def test_brackets_in_the_name_of_a_file_are_no_glob(tmp_path):
    assert outputs(plan([str(picture(tmp_path / "a[1].png"))], tmp_path / "out")) == ["a[1].png"]


def test_an_unreadable_file_is_a_job_that_says_why(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"")
    picture(tmp_path / "good.png")
    bad, good = plan([str(tmp_path)], tmp_path / "out")
    assert "empty" in bad.problem and bad.kind is None
    assert good.problem is None


def test_results_of_an_earlier_run_are_no_inputs(tmp_path):
    for name in ("a.png", "a_vtoonify_d.png", "a_input.png"):
        picture(tmp_path / name)
    jobs = plan([str(tmp_path)], tmp_path, Naming("_vtoonify_d", "_input"))
    assert [Path(job.source).name for job in jobs] == ["a.png"]


@pytest.mark.parametrize(
    ("inputs", "output", "says"),
    [
        ([], "out", "no input"),
        (["empty"], "out", "no video and no image in this folder"),
        (["*.avi"], "out", "no file fits"),
        (["a.png"], "a.png", "same file"),
        (["a.png"], ".", "same file"),
        (["a.png"], "a.mp4", "is one picture"),
        (["a.png", "b.png"], "c.png", "give a folder"),
    ],
)
def test_what_cannot_be_planned(tmp_path, monkeypatch, inputs, output, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "b.png", "sub/a.png"):
        picture(tmp_path / name)
    with pytest.raises(VtoonError, match=says):
        plan(inputs, Path(output))


def test_an_unreadable_file_takes_no_name_from_a_good_one(tmp_path, make_clip):
    (tmp_path / "a.png").write_text("no picture")
    make_clip(tmp_path / "a.mp4")
    good, bad = plan([str(tmp_path)], tmp_path / "out")
    assert good.problem is None and bad.problem
