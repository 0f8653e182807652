"""`vtoon curate` in a real browser: faces are removed, put back, taken in, by mouse and by keys; nothing is deleted."""

from __future__ import annotations

import os
import shutil
import threading
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn

from vtoon.faces.align import align_face
from vtoon.faces.detect import QUICK, FaceDetector
from vtoon.image import save_image
from vtoon.latent.align import Row, write_report
from vtoon.latent.curate import Collection
from vtoon.web.curate import build
from vtoon.web.server import Serving, listen, serving
from vtoon.web.sessions import COOKIE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 30_000  # ms: machines that test are busy


@pytest.fixture
def folder(tmp_path: Path, portrait: np.ndarray) -> Path:
    """Three aligned faces, one picture without a face; one small face and one stripe were missed."""
    (face,) = FaceDetector().detect(portrait, QUICK)
    aligned = align_face(portrait, face, 96)
    made = tmp_path / "faces"
    for name in ("a.png", "b.png", "c.png"):
        save_image(made / name, aligned)
    save_image(made / "d.png", np.tile(np.arange(96, dtype=np.uint8)[None, :, None], (96, 1, 3)))
    save_image(tmp_path / "small.png", portrait)
    shutil.copy(made / "d.png", tmp_path / "stripes.png")
    x, y = face.points.mean(0).round().astype(int)
    small = Row(
        str(tmp_path / "small.png"), None, "", "smaller than 256 px", "hog", 173, x - 50, y - 50, x + 50, y + 50
    )
    write_report([small, Row(str(tmp_path / "stripes.png"), None, "", "no face found")], made / "report.csv")
    return made


@pytest.fixture
def address(folder, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    with listen("127.0.0.1", 0) as place, serving(Serving(), partial(build, Collection(folder))) as (app, _):
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
        server.should_exit = server.force_exit = True
        thread.join(2)


def test_the_folder_s_tiles_are_served_to_a_session_alone(address):
    with httpx.Client(base_url=address, follow_redirects=True, timeout=30) as client:
        assert client.get("/").status_code == 200 and COOKIE in client.cookies
        assert client.get("/en/gradio_api/file=/etc/passwd").status_code == 404
    assert httpx.get(f"{address}/files/x").status_code == 403


@pytest.fixture
def page(address):
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (make browser)")
    from playwright.sync_api import sync_playwright

    errors = []
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(locale="en-GB")
        page.set_default_timeout(SECONDS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#curate-grid button")
        yield page
        browser.close()
    assert not errors


def files(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


def wait_state(page, text):
    page.wait_for_selector(f"#curate-state :text('{text}')")


def test_faces_are_sorted_by_mouse_and_keys(page, folder):
    before = files(folder)
    wait_state(page, "4 faces · 2 missed · 0 removed")
    assert page.locator("#curate-grid svg").count() == 3 and page.locator(".vc-doubt").count() == 1
    assert page.locator("#curate-grid img").first.evaluate("e => e.decode().then(() => e.naturalWidth)") == 96
    page.get_by_role("button", name="Remove d.png").click()
    wait_state(page, "3 faces · 2 missed · 1 removed")
    assert (folder / "removed" / "d.png").is_file() and not (folder / "d.png").exists()

    page.get_by_role("button", name="Remove a.png").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    wait_state(page, "2 faces · 2 missed · 2 removed")
    assert not (folder / "b.png").exists()
    page.wait_for_function("document.activeElement.dataset.name === 'c.png'")  # the next one has the focus
    page.keyboard.press("Delete")
    wait_state(page, "1 faces · 2 missed · 3 removed")
    page.keyboard.press("Control+z")
    wait_state(page, "2 faces · 2 missed · 2 removed")
    page.keyboard.press("u")
    wait_state(page, "3 faces · 2 missed · 1 removed")
    page.keyboard.press("l")
    assert not page.locator("#curate-grid svg").first.is_visible()

    page.get_by_role("radio", name="Removed").check()
    page.get_by_role("button", name="Put back d.png").click()
    wait_state(page, "4 faces · 2 missed · 0 removed")
    assert files(folder) == before

    page.get_by_role("radio", name="Missed").check()
    assert page.get_by_role("button", name="no face is known").get_attribute("aria-disabled") == "true"
    page.get_by_role("button", name="Take in").click()
    wait_state(page, "5 faces · 1 missed · 0 removed")
    page.click("#curate-undo")
    wait_state(page, "4 faces · 2 missed · 1 removed")
    assert set(before) < set(files(folder))
