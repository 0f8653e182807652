"""The page in a real browser: Chromium without a window, where one is installed (`make browser` has Debian's)."""

from __future__ import annotations

import os
import re
import shutil
import time
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from vtoon.web.jobs import CANCELLED, Job

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (make browser)"),
    pytest.mark.usefixtures("one_thread"),
]
SECONDS = 60_000  # ms: machines that test are busy


@pytest.fixture(scope="module")
def camera_file(tmp_path_factory, portrait):
    """What the browser's camera sees, as Chromium takes it: a face that moves, 320x320."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W320 H320 F10:1 Ip A1:1 C420jpeg\n")
        for i in range(10):
            picture = np.roll(portrait, 2 * i, 1)
            file.write(b"FRAME\n" + cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


@pytest.fixture(scope="module")
def chromium(camera_file):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A process of its own for each site is shut up in a sandbox, which root has none of.
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        flags += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={camera_file}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, served):
    """visit(**context) opens the page as a user of its own; what it asks of other hosts is refused and noted."""
    contexts, strangers, errors = [], [], []

    def open_page(**kind):
        context = chromium.new_context(**kind)
        contexts.append(context)
        own = (served.address, "data:", "blob:")

        def local(route):
            if not route.request.url.startswith(own):
                strangers.append(route.request.url)
            route.continue_() if route.request.url.startswith(own) else route.abort()

        context.route("**/*", local)
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(served.address)
        page.wait_for_selector("#video-start")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not strangers and not errors


def drop(page, path):
    page.set_input_files("#video-file input[type=file]", str(path))
    page.wait_for_selector("#video-looks img")


def jobs_of(served):
    sessions = served.context.sessions._all.values()
    return [thing for session in sessions for thing in session.kept.values() if isinstance(thing, Job)]


def settled(condition, page=None, seconds=60):
    """Whether it comes true. With `page` its requests, which pass through the test, go on meanwhile."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        page.wait_for_timeout(50) if page else time.sleep(0.05)
    return condition()


def test_a_clip_is_dropped_looked_at_drawn_and_played(visit, served, face_clip):
    page = visit(locale="en-GB")
    assert page.url.endswith("/en/")
    drop(page, face_clip)
    assert "320 × 320 px · 1.0 s · 25 frames/s" in page.inner_text("#video-card")
    assert page.locator("#video-looks label").count() == 2
    first = page.get_attribute("#video-stage img.vt-after", "src")
    page.get_by_role("radio", name="comic").check()
    page.wait_for_function(
        "old => document.querySelector('#video-stage .vt-after').src.endsWith(old) === false", arg=first
    )
    degree = page.get_by_role("slider", name="range slider for Degree")
    degree.focus()
    degree.press("ArrowLeft")
    page.wait_for_selector("#video-command code:has-text('--style comic --style_degree 0.95')")
    page.get_by_label("Face 1").uncheck()
    page.wait_for_selector("#video-command code:has-text('--skip_faces 1')")
    page.locator(".vt-badge.vt-off").click()
    page.wait_for_function("!document.querySelector('#video-command code').textContent.includes('skip_faces')")
    divider = page.get_by_label("Move the line between before and after")
    divider.focus()
    divider.press("Home")
    assert page.locator(".vt-compare").evaluate("e => e.style.getPropertyValue('--split')") == "0%"
    page.click("#video-start")
    page.wait_for_selector("#video-result video")
    assert "25 frames" in page.inner_text("#video-progress")
    played = """async (videos) => { const video = videos[1]; video.muted = true; await video.play();
        await new Promise((done) => setTimeout(done, 500)); return video.currentTime; }"""
    assert page.locator("#video-result video").evaluate_all(played) > 0.2
    address = page.get_attribute("#video-result .vt-download", "href")
    ours, theirs = page.request.get(served.address + address), visit().request.get(served.address + address)
    assert ours.status == 200 and ours.body()[4:8] == b"ftyp" and theirs.status == 404
    page.get_by_role("tab", name="Results").click()
    assert page.get_by_role("link", name="face-comic.mp4").is_visible()


@pytest.fixture
def slow(monkeypatch):
    """Work that lasts long enough to be stopped."""
    plain = Job.progress

    def progress(job, frames, total):
        plain(job, frames, total)
        time.sleep(0.3)

    monkeypatch.setattr(Job, "progress", progress)


def test_cancel_and_going_away_stop_the_work_and_leave_nothing(visit, served, face_clip, slow):
    page = visit(locale="en-GB")
    drop(page, face_clip)
    page.click("#video-start")
    page.wait_for_selector("#video-progress img")
    page.click("#video-cancel")
    page.wait_for_selector("text=Cancelled. Nothing was kept.")
    assert page.is_visible("#video-start") and not page.is_visible("#video-cancel")
    page.click("#video-start")
    page.wait_for_selector("#video-progress img")
    job = jobs_of(served)[-1]
    page.close()
    assert settled(lambda: job.over) and job.state == CANCELLED
    assert not [name for _, _, names in os.walk(served.context.sessions.root) for name in names if ".part" in name]


def test_two_users_at_once_take_turns_and_get_their_own(visit, face_clip, tmp_path, portrait):
    ours, theirs = visit(locale="en-GB"), visit(locale="en-GB")
    drop(ours, face_clip)
    Image.fromarray(portrait[::2, ::2]).save(tmp_path / "photo.png")
    theirs.get_by_role("tab", name="Pictures").click()
    theirs.set_input_files("#picture-file input[type=file]", str(tmp_path / "photo.png"))
    theirs.wait_for_selector("#picture-looks img")
    theirs.wait_for_selector("#picture-stage .vt-after")
    ours.click("#video-start")
    ours.wait_for_selector("#video-progress progress")
    theirs.click("#picture-start")
    theirs.wait_for_selector("#picture-result img")
    ours.wait_for_selector("#video-result video")
    for page, others, name, address in (
        (ours, theirs, "face-cartoon.mp4", ours.get_attribute("#video-result .vt-download", "href")),
        (theirs, ours, "photo.png", theirs.get_attribute("#picture-result .vt-download", "href")),
    ):
        page.get_by_role("tab", name="Results").click()
        assert page.locator(".vt-history > li > a").all_inner_texts() == [name]
        root = page.url.removesuffix("/en/")
        assert page.request.get(root + address).status == 200 and others.request.get(root + address).status == 404


def test_the_face_region_has_vtoonify_s_sliders(visit, face_clip):
    page = visit(locale="en-GB")
    drop(page, face_clip)
    page.get_by_role("button", name="More settings").first.click()
    page.get_by_label("The face region alone").first.check()
    left = page.get_by_role("slider", name="range slider for Left of the eyes")
    left.focus()
    left.press("ArrowLeft")
    page.wait_for_selector("#video-command code:has-text('--placement crop --padding 192 200 200 200')")
    assert (left.get_attribute("min"), left.get_attribute("max"), left.get_attribute("step")) == ("128", "256", "8")


def test_a_phone_in_chinese(visit, tmp_path):
    page = visit(locale="zh-CN", viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert page.url.endswith("/zh/") and page.inner_text("#video-start") == "开始"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    bad = tmp_path / "bad.mp4"
    bad.write_text("no film")
    page.set_input_files("#video-file input[type=file]", str(bad))
    page.wait_for_selector("[role=alert]:has-text('bad.mp4: not a readable video')")
    page.wait_for_selector("#video-file input[type=file]", state="attached")  # another can be dropped
    time.sleep(1)
    assert page.is_visible("[role=alert]")


def test_a_folder_is_drawn_one_by_one_and_comes_as_a_zip(visit, face_clip, tmp_path, portrait):
    page = visit(locale="en-GB")
    Image.fromarray(portrait[::2, ::2]).save(tmp_path / "photo.png")
    Image.new("RGB", (64, 48)).save(tmp_path / "empty.png")
    page.get_by_role("tab", name="Folder").click()
    files = [str(tmp_path / "photo.png"), str(face_clip), str(tmp_path / "empty.png")]
    page.set_input_files("#folder-file input[type=file]", files)
    page.wait_for_selector("#folder-looks img")
    assert "3 files" in page.inner_text("#folder-card")
    page.click("#folder-start")
    page.wait_for_selector("#folder-result .vt-download")
    works = page.locator("#folder-progress li")
    assert [text.split("\n")[0] for text in works.all_inner_texts()] == ["photo.png", "face.mp4", "empty.png"]
    assert "no face was found" in works.nth(2).inner_text()
    assert page.inner_text("#folder-command code").startswith("vtoon stylize photo.png face.mp4 empty.png -o drawings")
    with page.expect_download() as download:
        page.click("#folder-result .vt-download")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.namelist() == ["photo.png", "face.mp4", "empty.png"]


def test_a_camera_is_drawn_while_it_runs(visit, served):
    page = visit(locale="en-GB", permissions=["camera"])
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_selector("text=ms from camera to screen")
    assert re.search(r"[\d.]+ frames/s · \d+ ms .* detail \d+", page.inner_text("#live-stage [data-said]"))
    page.wait_for_selector("#live-looks img")  # drawn on the face before the camera
    drawn = "images => images.every(image => image.complete && image.naturalWidth === 160)"
    assert page.locator("#live-looks img").count() == 2 and settled(
        lambda: page.locator("#live-looks img").evaluate_all(drawn), page
    )

    def wished(condition):
        """Of the show that is on by then: other settings may take a new one."""
        return settled(lambda: (show := served.context.stage._show) is not None and condition(show._live.wish), page)

    page.locator("#live-looks").get_by_role("radio", name="comic").check()
    comic = served.context.models.load("default").checkpoint.bank.find("comic").id
    assert wished(lambda wish: wish.options.style == comic)
    degree = page.locator("#live-degree").get_by_role("slider")
    degree.focus()
    degree.press("ArrowLeft")
    assert wished(lambda wish: wish.options.style_degree == 0.95 and wish.options.style == comic)
    page.get_by_role("button", name="Mirror").click()
    assert wished(lambda wish: not wish.mirror)
    page.locator(".vt-live").press("b")
    assert wished(lambda wish: not wish.drawn)
    with page.expect_download() as download:
        page.get_by_role("button", name="Snapshot").click()
    with Image.open(download.value.path()) as picture:
        assert picture.format == "PNG" and picture.size == (320, 320) and np.ptp(np.asarray(picture)) > 100
    page.get_by_role("button", name="Stop").click()
    assert settled(lambda: served.context.stage._show is None, page)
