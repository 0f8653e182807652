"""The browser's camera: a frame goes, and comes back drawn; one camera at a time."""

from __future__ import annotations

import io
import json
import time

import httpx
import numpy as np
import pytest
from PIL import Image

import vtoon
from vtoon.errors import VtoonError
from vtoon.types import Style
from vtoon.web import show as module
from vtoon.web.settings import Settings
from vtoon.web.show import Stage

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def stage():
    made = Stage()
    yield made
    made.end()


@pytest.fixture(scope="module")
def stylizer(tiny_model):
    return vtoon.load(tiny_model, "cpu")


def settings(stylizer, look=0, **chosen):
    return Settings(str(stylizer.checkpoint.path), stylizer.styles[look], **{"detail": 64, **chosen})


def frame(level, side=48):
    image = np.full((side, side, 3), level, np.uint8)
    image[:, : side // 2] = 255
    return image


def jpeg(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=95)
    return buffer.getvalue()


def test_each_frame_comes_back_and_is_mirrored(stage, stylizer):
    show = stage.show("a", stylizer, settings(stylizer))
    for level in (10, 60, 90):
        drawn, stats = show.draw(frame(level), mirror=False, drawn=True)
        assert drawn[0, -1, 0] == level and drawn[0, 0, 0] == 255
    assert stats.frames == 3 and stats.dropped == 0
    drawn, _ = show.draw(frame(90), mirror=True, drawn=False)
    assert drawn[0, 0, 0] == 90 and drawn[0, -1, 0] == 255


def test_style_and_degree_change_while_it_runs_the_rest_begins_anew(stage, stylizer):
    show = stage.show("a", stylizer, settings(stylizer))
    show.draw(frame(10), False, True)
    assert stage.show("a", stylizer, settings(stylizer, look=2, degree=0.5)) is show
    assert show._live.wish.options.style == stylizer.styles[2].id and show._live.wish.options.style_degree == 0.5
    other = stage.show("a", stylizer, settings(stylizer, placement="full"))
    assert other is not show and other.draw(frame(20), False, True)[0].shape == (48, 48, 3)
    with pytest.raises(VtoonError, match="stopped"):
        show.draw(frame(10), False, True)


def test_one_camera_at_a_time_and_what_nobody_looks_at_ends(stage, stylizer, monkeypatch):
    show = stage.show("a", stylizer, settings(stylizer))
    with pytest.raises(VtoonError, match="another camera"):
        stage.show("b", stylizer, settings(stylizer))
    stage.end("b")
    assert not show.idle
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    time.sleep(0.01)
    stage.tidy()
    assert not show._thread.is_alive()
    assert stage.show("b", stylizer, settings(stylizer)).draw(frame(5), False, True)[1].frames == 1


def test_what_goes_wrong_is_one_line(stage, stylizer):
    with pytest.raises(VtoonError, match="99"):
        stage.show("a", stylizer, Settings("x", Style(99, "nothing"), detail=64)).draw(frame(5), False, True)


def test_over_the_network_to_this_session_alone(served):
    assert httpx.post(f"{served.address}/live/frame", content=b"x").status_code == 403
    with httpx.Client(base_url=served.address, follow_redirects=True, timeout=60) as ours:
        ours.get("/")
        answer = ours.post("/live/frame?mirror=0&drawn=1", content=jpeg(frame(80)))
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).size == (48, 48)
        assert json.loads(answer.headers["x-vtoon"]).keys() == {"fps", "ms", "detail", "face"}
        with httpx.Client(base_url=served.address, follow_redirects=True, timeout=60) as theirs:
            theirs.get("/")
            busy = theirs.post("/live/frame", content=jpeg(frame(80)))
            assert busy.status_code == 422 and "another camera" in busy.text
        for content, status, said in (
            (b"no picture", 422, "not a JPEG"),
            (jpeg(np.zeros((8, 2000, 3), np.uint8)), 422, "at most 1920"),
            (bytes(3 << 20), 413, "2 MB"),
        ):
            bad = ours.post("/live/frame", content=content)
            assert bad.status_code == status and said in bad.text
        assert ours.post("/live/end").status_code == 200
        assert served.context.stage._show is None
