"""Pictures and videos become aligned faces, and what does not is listed with its reason."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.faces.detect import FaceDetector
from vtoon.faces.drawn import LOOKS, mirrored, search
from vtoon.image import load_image, save_image
from vtoon.latent.align import AlignOptions, Row, align_all, find_sources, measured, unique_stems
from vtoon.latent.frames import laplacian_variance
from vtoon.types import MIRRORED, Landmarks
from vtoon.video import VideoWriter

OPTIONS = AlignOptions(size=64, min_size=32, detector="hog")


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


def test_a_folder_becomes_faces_and_a_report(tmp_path, portrait, command):
    pictures = tmp_path / "in"
    save_image(pictures / "a.png", portrait)
    save_image(pictures / "deep" / "a.jpg", portrait)
    save_image(pictures / "none.png", np.full((80, 90, 3), 90, np.uint8))
    (pictures / "text.png").write_text("no picture")
    ended = command("align", pictures, tmp_path / "out", "--size", 64, "--min_size", 32, "--detector", "hog",
                    "--processes", 1, "--report", tmp_path / "r.csv")  # fmt: skip
    assert ended.code == 0 and "2 faces of 64 px, from 2 of 4" in ended.out and str(tmp_path / "r.csv") in ended.out
    assert "none.png: no face found" in ended.err and "text.png: " in ended.err
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [row["reason"] != "" for row in rows] == [False, False, True, True]
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == sorted(row["output"] for row in rows[:2]) and len(set(written)) == 2
    assert load_image(tmp_path / "out" / written[0])[0].shape == (64, 64, 3)
    assert all(int(row["side"]) > 100 and int(row["left"]) < int(row["right"]) for row in rows[:2])


def test_the_old_names_do_the_same_and_what_is_there_stays(tmp_path, portrait, command):
    save_image(tmp_path / "in" / "a.png", portrait)
    old = ["align", "--images-source", tmp_path / "in", "--images-target", tmp_path / "out", "--output-size", 64,
           "--model", "hog", "--min_size", 32, "--metadata"]  # fmt: skip
    assert command(*old).code == 0 and (tmp_path / "out" / "metadata.csv").is_file()
    before = (tmp_path / "out" / "a_01.png").stat().st_mtime_ns
    again = command(*old)
    assert again.code == 0 and "is there already" in again.err
    assert (tmp_path / "out" / "a_01.png").stat().st_mtime_ns == before
    assert command(*old, "--overwrite").code == 0 and (tmp_path / "out" / "a_01.png").stat().st_mtime_ns != before


def test_of_a_video_each_scene_once_and_nothing_blurred(tmp_path, portrait):
    soft = cv2.GaussianBlur(portrait, (0, 0), 9)
    with VideoWriter(tmp_path / "film.mp4", preset="ultrafast") as writer:
        for image in [portrait] * 3 + [soft] * 3 + [portrait] * 3 + [portrait[:, ::-1]] * 3:
            writer.write(np.ascontiguousarray(image))
    rows = align_all([tmp_path / "film.mp4"], tmp_path / "out", AlignOptions(64, "hog", min_size=32, every=2), 1)
    assert [row.frame for row in rows] == [0, 2, 4, 6, 8, 10]
    assert [row.output for row in rows if row.output] == ["film_000000_01.png", "film_000010_01.png"]
    reasons = [row.reason.split(" ")[0] for row in rows]
    assert reasons == ["", "near-duplicate", "blurred", "near-duplicate", "near-duplicate", ""]


def test_many_processes_give_the_rows_of_one(tmp_path, portrait):
    for i in range(3):
        save_image(tmp_path / "in" / f"{i}.png", np.roll(portrait, 10 * i, 1))
    one, two = (align_all([tmp_path / "in"], tmp_path / str(n), OPTIONS, n) for n in (1, 2))
    assert one == two and sum(bool(row.output) for row in one) == 3


def test_what_an_earlier_run_has_aligned_is_no_input(tmp_path, portrait):
    save_image(tmp_path / "in" / "a.png", portrait)
    for _ in range(2):
        rows = align_all([tmp_path / "in"], tmp_path / "in" / "aligned", OPTIONS, 1)
        assert [row.source for row in rows] == [str(tmp_path / "in" / "a.png")]


def test_small_faces_and_all_but_the_largest_are_left_out(tmp_path, portrait):
    small = cv2.resize(portrait, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    both = np.zeros((320, 480, 3), np.uint8)
    both[:, :320], both[:160, 320:] = portrait, small
    save_image(tmp_path / "in.png", both)
    every = align_all([tmp_path / "in.png"], tmp_path / "a", OPTIONS, 1)
    assert [bool(row.output) for row in every] == [True, True] and every[0].side > 1.7 * every[1].side
    limited = align_all([tmp_path / "in.png"], tmp_path / "b", AlignOptions(64, "hog", min_size=every[1].side + 1), 1)
    assert [row.reason.split(" (")[0] for row in limited] == ["", f"smaller than {every[1].side + 1} px"]
    assert len(align_all([tmp_path / "in.png"], tmp_path / "c", AlignOptions(64, "hog", "largest", 32), 1)) == 1


def test_a_picture_that_is_one_face_counts_with_its_own_side():
    assert measured(240, np.zeros((256, 256, 3))) == 256 and measured(272, np.zeros((256, 300, 3))) == 272
    assert measured(100, np.zeros((256, 256, 3))) == 100


def test_the_tilted_look_finds_a_lying_head(detector, portrait):
    turn = cv2.getRotationMatrix2D((160, 130), 40, 1.0)
    lying = cv2.warpAffine(portrait, turn, (320, 320))
    (plain,), (found,) = detector.detect(portrait), LOOKS["hog, tilted"](detector, lying)
    where = plain.points @ turn[:, :2].T + turn[:, 2]
    assert np.abs(found.points - where).mean() < 0.15 * plain.eye_distance


@pytest.mark.parametrize("name", [name for name in LOOKS if name != "hog, tilted"])
def test_each_harder_look_gives_the_points_of_the_plain_one(detector, portrait, name):
    (plain,) = detector.detect(portrait)
    (found,) = LOOKS[name](detector, portrait)
    assert np.abs(found.points - plain.points).mean() < 0.06 * plain.eye_distance


def test_what_is_searched_how(detector, portrait):
    assert search(detector, portrait, "auto")[1] == "hog"
    faces, way = search(detector, portrait, "mmod")
    assert len(faces) == 1 and way == "mmod 320 px"
    assert search(detector, np.full((70, 90, 3), 128, np.uint8), "auto") == ([], "")


@given(st.integers(1, 2000))
def test_mirrored_twice_is_the_face_itself(width):
    points = Landmarks(np.random.default_rng(width).uniform(0, width, (68, 2)))
    assert sorted(MIRRORED) == list(range(68))
    assert np.allclose(mirrored(mirrored(points, width), width).points, points.points)


@given(st.lists(st.sampled_from(["a.png", "b.png", "x/a.png", "y/a.png", "x/a.jpg", "x_a_png.png"]), unique=True))
def test_no_two_files_share_a_name(sources):
    stems = unique_stems(sources)
    assert list(stems) == sources and len(set(stems.values())) == len(sources)


def test_sharpness_does_not_depend_on_the_size(portrait):
    grey = cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)
    large = cv2.resize(grey, (1280, 1280), interpolation=cv2.INTER_CUBIC)
    at_side = laplacian_variance(cv2.resize(grey, (512, 512), interpolation=cv2.INTER_CUBIC))
    assert laplacian_variance(large) == pytest.approx(at_side, rel=0.35)
    assert laplacian_variance(cv2.GaussianBlur(grey, (0, 0), 8)) < 30 < laplacian_variance(grey)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["nowhere", "OUT"], "nowhere: no such file"),
        (["*.nothing", "OUT"], "no file in there"),
        (["IN", "OUT", "--size", 4], "size is 4; it must be 16 to 4096"),
        (["IN", "OUT", "--every", 0], "every is 0"),
        (["IN", "OUT", "--processes", 0], "processes is 0"),
        (["IN", "IN"], "holds the inputs"),
        (["IN"], "two names are needed"),
        ([], "two names are needed"),
        (["IN", "IN/a.png"], "cannot be made"),
    ],
)
def test_bad_input_is_one_line(command, tmp_path, portrait, flags, words):
    save_image(tmp_path / "in" / "a.png", portrait)
    places = {"IN": tmp_path / "in", "OUT": tmp_path / "out", "IN/a.png": tmp_path / "in" / "a.png"}
    ended = command("align", *(places.get(flag, flag) for flag in flags))
    assert ended.code == 1 and words in ended.line


def test_detect_draws_on_a_copy(command, tmp_path, portrait):
    save_image(tmp_path / "a.png", portrait)
    save_image(tmp_path / "none.png", np.full((80, 90, 3), 90, np.uint8))
    ended = command("detect", tmp_path / "a.png", "-o", tmp_path / "seen.png", "--detector", "hog")
    assert ended.code == 0 and "1 face" in ended.out
    drawn = load_image(tmp_path / "seen.png")[0]
    assert drawn.shape == portrait.shape and 500 < (drawn != portrait).any(2).sum() < 0.2 * portrait[..., 0].size
    both = command("detect", tmp_path / "a.png", tmp_path / "none.png", "-o", tmp_path / "out", "--model", "hog")
    assert both.code == 1 and len(list((tmp_path / "out").iterdir())) == 2
    refused = command("detect", tmp_path / "a.png", tmp_path / "none.png", "-o", tmp_path / "one.png")
    assert refused.code == 1 and "names one file" in refused.line
    assert "no input" in command("detect").line


def test_find_sources_and_rows(tmp_path):
    (tmp_path / "x.png").write_bytes(b"1")
    assert find_sources([tmp_path, str(tmp_path / "*.png")]) == [str(tmp_path / "x.png")]
    with pytest.raises(VtoonError, match="no file in there"):
        find_sources([str(tmp_path / "*.jpg")])
    assert Row("a", 3, "", "").place == "a, frame 3"
