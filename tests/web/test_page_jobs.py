"""The queue: turns, limits, cancelling; what a job leaves."""

from __future__ import annotations

import filecmp
import hashlib
import threading
import time

import pytest

import vtoon
from vtoon.errors import VtoonError
from vtoon.video import VideoWriter, probe
from vtoon.web.jobs import CANCELLED, DONE, FAILED, Job, Queue
from vtoon.web.models import OWN, Menu, Models
from vtoon.web.settings import Settings, as_line
from vtoon.web.work import Hands, draw_pictures, draw_video

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def queue():
    made = Queue(limit=100)
    yield made
    made.close()


def wait(job, seconds=60):
    end = time.monotonic() + seconds
    while not job.over and time.monotonic() < end:
        time.sleep(0.01)
    return job


def test_users_take_turns(queue, tmp_path):
    order, gate = [], threading.Event()

    def named(name):
        def work(job):
            gate.wait(10)
            order.append(name)
            return [tmp_path]

        return work

    first = queue.submit(Job("a", named("a1")))
    while first.state == "waiting":
        time.sleep(0.01)
    jobs = [queue.submit(Job(name[0], named(name))) for name in ("a2", "a3", "a4", "b1", "b2", "c1")]
    assert [queue.ahead(job) for job in jobs] == [1, 4, 6, 2, 5, 3]
    gate.set()
    assert [wait(job).state for job in jobs] == [DONE] * 6
    assert order == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


def test_a_hundred_wait_and_the_next_is_refused(queue, tmp_path):
    gate = threading.Event()
    running = queue.submit(Job("x", lambda job: gate.wait(10) and [tmp_path]))
    while running.state == "waiting":
        time.sleep(0.01)
    jobs = [queue.submit(Job(str(i % 7), lambda job: [tmp_path])) for i in range(100)]
    with pytest.raises(VtoonError, match=r"100 works are waiting already"):
        queue.submit(Job("y", lambda job: [tmp_path]))
    gate.set()
    assert {wait(job).state for job in jobs} == {DONE}


def test_what_goes_wrong_is_one_line_and_the_next_job_runs(queue, tmp_path):
    def fails(error):
        def work(job):
            raise error

        return work

    told, defect = queue.submit(Job("a", fails(VtoonError("too odd")))), queue.submit(Job("a", fails(KeyError("k"))))
    good = queue.submit(Job("a", lambda job: [tmp_path]))
    assert [wait(job).state for job in (told, defect, good)] == [FAILED, FAILED, DONE]
    assert told.problems == ["too odd"] and defect.problems == ["KeyError: 'k'"]


def test_a_job_that_waits_can_be_cancelled_and_closing_ends_all():
    queue, gate = Queue(), threading.Event()

    def endless(job):
        gate.set()
        while True:
            job.progress(1, None)
            time.sleep(0.01)

    running, waiting = queue.submit(Job("a", endless)), queue.submit(Job("b", endless))
    gate.wait(10)
    waiting.cancel()
    queue.close()
    assert (running.state, waiting.state) == (CANCELLED, CANCELLED)
    with pytest.raises(VtoonError, match="closing"):
        queue.submit(Job("a", endless))


@pytest.fixture
def stylizer(tiny_model):
    return vtoon.load(tiny_model, "cpu")


def settings_of(stylizer, look="comic", palette=OWN, **chosen):
    style, transfer = Menu.of(stylizer).find(look, palette)
    return Settings(str(stylizer.checkpoint.path), style, color_transfer=transfer, **chosen)


@pytest.fixture
def encoded(monkeypatch):
    """Digest and time of every picture that an encoder gets: x264 itself does not always make the same of the same."""
    seen, plain = [], VideoWriter._encode

    def noted(writer, image, time):
        seen.append((hashlib.sha256(image.tobytes()).hexdigest(), time))
        plain(writer, image, time)

    monkeypatch.setattr(VideoWriter, "_encode", noted)
    return seen


def facts(path):
    info = probe(path)
    return info.container, info.codec, info.width, info.height, info.audio_codecs


CHOICES = [
    {"end": 0.2},
    {"palette": "sunset", "degree": 0.35, "steady": False, "sound": False, "end": 0.1},
    {
        "placement": "crop",
        "padding": (128, 168, 200, 256),
        "faces": "largest",
        "detail": 64,
        "format": "MOV (ProRes)",
        "start": 0.84,
    },
    {"placement": "full", "detail": 64, "format": "MP4 (HEVC)", "start": 0.04, "end": 0.12},
]


@pytest.mark.parametrize("chosen", CHOICES, ids=lambda chosen: chosen.get("placement", "paste"))
def test_the_command_line_that_is_shown_makes_the_same_file(
    command, stylizer, face_clip, tmp_path, monkeypatch, queue, encoded, chosen
):
    settings, folder = settings_of(stylizer, **chosen), tmp_path / "page"
    folder.mkdir()
    job = wait(queue.submit(Job("a", lambda job: draw_video(job, Hands(stylizer, settings), face_clip, folder))))
    assert job.state == DONE, job.problems
    monkeypatch.chdir(tmp_path)
    (tmp_path / face_clip.name).symlink_to(face_clip)
    words = settings.command([face_clip.name], job.results[0].name)
    assert words[:2] == ["vtoon", "stylize"] and as_line(words).startswith("vtoon stylize face.mp4 -o face-comic")
    ended = command(*words[1:], "--device", "cpu")
    assert ended.code == 0, ended.err
    pictures, same = len(encoded) // 2, tmp_path / job.results[0].name
    assert pictures > 1 and encoded[:pictures] == encoded[pictures:]
    assert facts(same) == facts(job.results[0])
    if settings.format == "MOV (ProRes)":
        assert filecmp.cmp(same, job.results[0], shallow=False)


def test_pictures_come_with_a_zip_and_the_command_makes_the_same(command, stylizer, tmp_path, monkeypatch, portrait):
    from PIL import Image

    for name in ("a.png", "b.jpg"):
        Image.fromarray(portrait).save(tmp_path / name)
    Image.new("RGB", (64, 48)).save(tmp_path / "c.png")
    settings, folder, job = settings_of(stylizer, degree=0.5), tmp_path / "page", Job("a", lambda job: [])
    folder.mkdir()
    names = ["a.png", "b.jpg", "c.png"]
    made = draw_pictures(job, Hands(stylizer, settings), [tmp_path / name for name in names], folder)
    assert [path.name for path in made] == [*names, "drawings.zip"]
    assert job.problems == ["c.png: no face was found, so nothing was drawn"] and job.total == 3
    monkeypatch.chdir(tmp_path)
    ended = command(*settings.command(names, "drawings", video=False)[1:], "--device", "cpu")
    assert ended.code == 0, ended.err
    for path in made[:-1]:
        assert filecmp.cmp(tmp_path / "drawings" / path.name, path, shallow=False)


def test_a_cancelled_job_leaves_nothing(stylizer, face_clip, tmp_path, queue):
    folder = tmp_path / "page"
    folder.mkdir()

    def work(job):
        def stop_after_some(frames, total, plain=job.progress):
            plain(frames, total)
            if frames >= 3:
                job.cancel()

        job.progress = stop_after_some
        return draw_video(job, Hands(stylizer, settings_of(stylizer)), face_clip, folder)

    job = wait(queue.submit(Job("a", work)))
    assert job.state == CANCELLED and 3 <= job.frames < 25 and not job.results
    assert not folder.exists() and not list(tmp_path.rglob("*.part*"))


def test_a_bad_file_is_told_without_folders(stylizer, tmp_path, queue):
    bad, folder = tmp_path / "bad.mp4", tmp_path / "page"
    bad.write_bytes(b"no film")
    folder.mkdir()
    hands = Hands(stylizer, settings_of(stylizer))
    job = wait(queue.submit(Job("a", lambda job: draw_video(job, hands, bad, folder))))
    assert job.state == FAILED and not folder.exists()
    (line,) = job.problems
    assert line.startswith("bad.mp4: not a readable video") and str(tmp_path) not in line


def test_only_models_of_the_menu_are_opened(tmp_path, tiny_model):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "mine.safetensors").symlink_to(tiny_model)
    (tmp_path / "secret.safetensors").symlink_to(tiny_model)
    others = ["checkpoint/vtoonify_d_cartoon/vtoonify_s_d.pt", "models/toon.onnx", "runs/mine/mine.safetensors"]
    others.append("runs/style/mine/student/mine.safetensors")
    for name in others:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    models = Models("cpu", tmp_path)
    mine = str(tmp_path / "checkpoints" / "mine.safetensors")
    assert models.names()[:2] == ["default", "live"]
    assert set(models.names()[2:]) == {mine, *(str(tmp_path / name) for name in others)}
    assert Menu.of(models.load(mine)).looks == ("cartoon", "comic")
    for name in (str(tmp_path / "secret.safetensors"), "/etc/passwd", ""):
        with pytest.raises(VtoonError, match="not one of the models"):
            models.load(name)
