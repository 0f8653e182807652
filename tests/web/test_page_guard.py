"""What a stranger may try: other sessions' names, paths, sizes, kinds; and Gradio's own doors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time

import httpx
import pytest

import vtoon.pipeline.stylize
from vtoon.errors import VtoonError
from vtoon.web.guard import within
from vtoon.web.jobs import DONE, WAITING, Job
from vtoon.web.server import Serving, listen, serving
from vtoon.web.sessions import COOKIE


@pytest.fixture
def user(served):
    """user() is a browser that has opened the page."""
    made = []

    def open_page():
        client = httpx.Client(base_url=served.address, follow_redirects=True, timeout=30)
        assert client.get("/").status_code == 200
        made.append(client)
        return client

    yield open_page
    for client in made:
        client.close()


def session_of(served, client):
    return served.context.sessions.find(client.cookies[COOKIE])


def upload(client, path, name=None):
    return client.post("/en/gradio_api/upload", files={"files": (name or path.name, path.read_bytes())})


def call(client, target, data=None, hash_="h1h1h1"):
    """Press what `target` (an element's id, an event) is bound to, as the page's script does: the last answer. Without
    `data`, with what is chosen at first."""
    config = client.get("/en/config").json()
    ids = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
    (fn,) = [d for d in config["dependencies"] if [ids[target[0]], target[1]] in [list(t) for t in d["targets"]]]
    chosen = {c["id"]: c["props"].get("value") for c in config["components"]}
    data = [chosen[id_] for id_ in fn["inputs"]] if data is None else data
    body = {"data": data, "fn_index": fn["id"], "session_hash": hash_, "event_data": None, "trigger_id": None}
    assert client.post("/en/gradio_api/queue/join", json=body).status_code == 200
    with client.stream("GET", "/en/gradio_api/queue/data", params={"session_hash": hash_}) as answer:
        for line in answer.iter_lines():
            message = json.loads(line[5:]) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                return message
    raise AssertionError("no answer")


def file_data(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "face.mp4"}


def test_the_cookie_is_kept_from_scripts_and_pages_from_frames(served):
    answer = httpx.get(f"{served.address}/", headers={"accept-language": "zh"})
    assert answer.status_code == 307 and answer.headers["location"] == "/zh/"
    assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=Lax" in answer.headers["set-cookie"]
    assert answer.headers["x-frame-options"] == "SAMEORIGIN" and answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/en/gradio_api/file=/etc/passwd",
        "/en/file=/etc/passwd",
        "/files/../../etc/passwd",
        "/files/%2e%2e/%2e%2e/etc/passwd",
        "/files/..%2f..%2fetc%2fpasswd",
        "/files/x/y/z",
        "/en/static/../../../etc/passwd",
        "/en/assets/%2e%2e/%2e%2e/x",
        "/en/gradio_api/proxy=http://127.0.0.1/",
        "/en/gradio_api/stream/a/b/c/playlist-file",
        "/en/gradio_api/run-history/records",
        "/en/gradio_api/vibe-code",
        "/en/monitoring",
        "/en/gradio_api/custom_component/1/client/x/..%2f",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_path_is_opened_and_gradio_s_other_doors_are_shut(served, user, path):
    host, port = served.address.removeprefix("http://").split(":")
    cookie = user().cookies[COOKIE]
    with socket.create_connection((host, int(port)), 10) as raw:  # as it is: clients tidy paths up
        raw.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nCookie: {COOKIE}={cookie}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.split()[1] == b"404" and b"root:" not in answer


def test_a_file_is_served_to_its_session_alone(served, user, face_clip):
    ours, theirs = user(), user()
    address = "/files/" + session_of(served, ours).offer(face_clip)
    assert ours.get(address).content == face_clip.read_bytes()
    part = ours.get(address, headers={"range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == face_clip.read_bytes()[10:20]
    assert theirs.get(address).status_code == 404
    assert httpx.get(served.address + address).status_code == 403


def test_an_upload_of_another_session_cannot_be_opened(served, user, face_clip):
    ours, theirs = user(), user()
    (path,) = upload(ours, face_clip).json()
    target = ("video-file", "upload")
    stolen = str(call(theirs, target, [file_data(path)]))
    assert "was not uploaded here" in stolen and "320 × 320 px" not in stolen
    mine = str(call(ours, target, [file_data(path)], "h2h2h2"))
    assert "face.mp4" in mine and "320 × 320 px" in mine


def test_where_a_hundred_wait_the_next_is_told_so_in_the_page(served, user, face_clip, monkeypatch):
    ours, queue, gate = user(), served.context.queue, threading.Event()
    (path,) = upload(ours, face_clip).json()
    assert "face.mp4" in json.dumps(call(ours, ("video-file", "upload"), [file_data(path)]))
    monkeypatch.setattr(queue, "limit", 100)
    jobs = [queue.submit(Job("first", lambda job: gate.wait(60) and [face_clip]))]
    while jobs[0].state == WAITING:
        time.sleep(0.01)
    jobs += [queue.submit(Job(str(i % 7), lambda job: [face_clip])) for i in range(100)]
    told = json.dumps(call(ours, ("video-start", "click")))
    gate.set()
    assert "100 works are waiting already" in told
    end = time.monotonic() + 60
    while not all(job.over for job in jobs) and time.monotonic() < end:
        time.sleep(0.01)
    assert {job.state for job in jobs} == {DONE}


def test_a_stranger_without_the_page_can_do_nothing(served, face_clip):
    assert httpx.post(f"{served.address}/en/gradio_api/upload", files={"files": b"x"}).status_code == 403
    assert httpx.post(f"{served.address}/en/gradio_api/queue/join", json={}).status_code == 403


def test_what_is_too_large_is_refused_before_it_is_kept(served, user, tmp_path):
    big = tmp_path / "big.mp4"
    big.write_bytes(bytes((1 << 20) + 1))
    client = user()
    answer = upload(client, big)
    assert answer.status_code == 413 and "--max_mb" in answer.text

    def without_length():
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
        for _ in range(20):
            yield bytes(1 << 16)
        yield b"\r\n--b--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=b"}
    with contextlib.suppress(httpx.TransportError):  # it may be hung up on in the middle
        answer = client.post("/en/gradio_api/upload", content=without_length(), headers=kind)
        assert answer.status_code == 413
    assert not session_of(served, client).uploads


@pytest.mark.parametrize("sizes", [(6, 6), (6, 6, 6), (12,)])
def test_of_what_is_too_large_no_more_is_waited_for_than_was_sent(sizes):
    sent = [{"type": "http.request", "body": bytes(size), "more_body": True} for size in sizes]
    sent[-1]["more_body"] = False

    async def receive():
        return sent.pop(0)  # more would be waited for until the browser goes away

    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass

    assert asyncio.run(within(app, {}, receive, 10)) is None and not sent


def test_wrong_kinds_and_long_videos_are_told_in_the_page(served, user, tmp_path, make_clip):
    client = user()
    text, long = tmp_path / "a.mp4", make_clip(tmp_path / "long.mp4", 151)
    text.write_text("no film")
    for path, line in (
        (text, "a.mp4: not a readable video"),
        (long, "long.mp4 is 0.1 minutes long; this page takes 0.1"),
    ):
        (uploaded,) = upload(client, path).json()
        said = json.dumps(call(client, ("video-file", "upload"), [file_data(uploaded)], path.stem))
        assert line in said and str(served.context.sessions.root) not in said.split("data")[-1]


def test_behind_a_proxy_and_with_a_password(tiny_model, monkeypatch):
    monkeypatch.setattr(vtoon.pipeline.stylize, "DEFAULT_CHECKPOINT", tiny_model)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")

    async def visit():
        with serving(Serving(device="cpu", root_path="/vtoon", auth="me:secret")) as (app, _):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
                assert (await client.get("/")).headers["location"] == "/vtoon/en/"
                for prefix in ("", "/vtoon"):  # the proxy takes it off, or does not
                    assert '"auth_required":true' in (await client.get(f"{prefix}/en/")).text
                    assert (await client.get(f"{prefix}/en/config")).status_code == 401
                wrong, right = ({"username": "me", "password": word} for word in ("no", "secret"))
                assert (await client.post("/en/login", data=wrong)).status_code == 400
                assert (await client.post("/en/login", data=right)).status_code == 200
                page = (await client.get("/vtoon/en/")).text
                assert "vt-gallery" in page and '"root":"http://page/vtoon/en"' in page and "/vtoon/zh/" in page

    asyncio.run(visit())


def test_settings_that_cannot_be_are_refused():
    for wrong in ({"auth": "nobody"}, {"root_path": "vtoon"}):
        with pytest.raises(VtoonError, match="must be"):
            Serving(**wrong)


def test_a_port_that_is_taken_is_one_line():
    with listen("127.0.0.1", 0) as place, pytest.raises(VtoonError, match=r"cannot be served on .*--port"):
        listen("127.0.0.1", place.getsockname()[1])
