"""`vtoon serve`: jobs by HTTP, whose they are, what is refused, what survives."""

from __future__ import annotations

import fnmatch
import io
import json
import re
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vtoon.errors import VtoonError
from vtoon.pipeline.stylize import load
from vtoon.types import Frame
from vtoon.video import VideoWriter
from vtoon.web.context import Limits
from vtoon.web.jobs import DONE, FAILED, RUNNING, WAITING, Job
from vtoon.web.server import listen
from vtoon.web.service.app import application
from vtoon.web.service.run import Serving
from vtoon.web.service.service import Service, Wanted
from vtoon.web.service.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
OURS, THEIRS = "our-token", "their-token"
SECONDS = 60


@pytest.fixture(scope="module")
def face_clip(tmp_path_factory, portrait):
    """Four frames of a face."""
    path = tmp_path_factory.mktemp("short") / "face.mp4"
    with VideoWriter(path, rate=25, preset="ultrafast") as writer:
        for i in range(4):
            writer.write(Frame(np.ascontiguousarray(portrait[:240, 40:280]), i))
    return path


@pytest.fixture(scope="module")
def stylizer(tiny_model):
    return load(str(tiny_model), "cpu")


@contextmanager
def running(service, tokens=(OURS, THEIRS), grace=0.0, **more):
    """The address of a service that answers."""
    with listen("127.0.0.1", 0) as place:
        app = application(service, tokens, grace=grace, **more)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{place.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(SECONDS)


def user(address, token=OURS):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=address, headers=headers, timeout=SECONDS)


@pytest.fixture(scope="module")
def served(tmp_path_factory, stylizer):
    service = Service(tmp_path_factory.mktemp("service"), stylizer, Limits(max_mb=1, max_minutes=0.1, queue=20))
    with running(service) as address:
        yield address, service


@pytest.fixture
def ours(served):
    with user(served[0]) as client:
        yield client


def post(client, path, key=None, **form):
    headers = {"idempotency-key": key} if key else {}
    return client.post("/v1/jobs", files={"file": (path.name, path.read_bytes())}, data=form, headers=headers)


def ended(client, id_):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        told = client.get(f"/v1/jobs/{id_}").json()
        if told["state"] in ("done", "failed", "cancelled"):
            return told
        time.sleep(0.02)
    raise AssertionError(told)


def events(client, id_):
    with client.stream("GET", f"/v1/jobs/{id_}/events") as answer:
        lines = list(answer.iter_lines())
    kinds = [line[7:] for line in lines if line.startswith("event: ")]
    return list(zip(kinds, (json.loads(line[6:]) for line in lines if line.startswith("data: ")), strict=True))


def orphans(service):
    """Folders that belong to no job; those of deleted ones are there until their work has stopped."""
    live = set(service._live)
    kept = {path.name for path in service.folder.iterdir() if path.is_dir()}
    return kept - {entry.id for entry in service.store._some("1")} - live


def test_a_clip_is_sent_watched_fetched_and_forgotten(served, ours, face_clip):
    answer = post(ours, face_clip, style="comic", style_degree=0.5, format="webm")
    assert answer.status_code == 201, answer.text
    id_ = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{id_}" and len(id_) >= 22
    told = events(ours, id_)
    assert told[-1][0] == "end" and {kind for kind, _ in told[:-1]} <= {"progress"}
    assert told[-1][1]["state"] == DONE and told[-1][1]["frames"] == told[-1][1]["total"] == 4
    result = ours.get(told[-1][1]["result"])
    assert 'filename="face-comic.webm"' in result.headers["content-disposition"]
    assert result.content[:4] == b"\x1aE\xdf\xa3" and result.headers["x-content-type-options"] == "nosniff"
    part = ours.get(told[-1][1]["result"], headers={"range": "bytes=0-3"})
    assert part.status_code == 206 and part.content == result.content[:4]
    assert id_ in [job["id"] for job in ours.get("/v1/jobs").json()]
    assert ours.delete(f"/v1/jobs/{id_}").status_code == 204
    assert ours.get(f"/v1/jobs/{id_}").status_code == 404 and not (served[1].folder / id_).exists()


def test_it_is_the_command_line_s_drawing(served, ours, command, tmp_path, tiny_model, portrait):
    Image.fromarray(portrait).save(tmp_path / "me.png")
    id_ = post(ours, tmp_path / "me.png", style="1").json()["id"]
    assert ended(ours, id_)["state"] == DONE
    made = command("stylize", tmp_path / "me.png", "-o", tmp_path / "drawn.png", "--style", 1, "--ckpt", tiny_model,
                   "--device", "cpu")  # fmt: skip
    assert made.code == 0, made.err
    assert ours.get(f"/v1/jobs/{id_}/result").content == (tmp_path / "drawn.png").read_bytes()


def test_nobody_sees_another_s_jobs(served, ours, face_clip):
    id_ = post(ours, face_clip).json()["id"]
    with user(served[0], THEIRS) as theirs, user(served[0], None) as stranger, user(served[0], "wrong") as wrong:
        paths = [f"/v1/jobs/{id_}", f"/v1/jobs/{id_}/events", f"/v1/jobs/{id_}/result"]
        assert {theirs.get(path).status_code for path in paths} == {404}
        assert theirs.delete(paths[0]).status_code == 404 and not theirs.get("/v1/jobs").json()
        for client in (stranger, wrong):
            answers = [*(client.get(path) for path in (*paths, "/v1/jobs", "/metrics")), post(client, face_clip)]
            assert {answer.status_code for answer in answers} == {401}
            assert answers[0].headers["www-authenticate"] == "Bearer"
        assert stranger.get("/healthz").text == "ok"
    ours.delete(paths[0])


def test_a_key_is_one_job_however_often_it_is_sent(served, ours, face_clip):
    first = post(ours, face_clip, "k1")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(post(ours, face_clip, "k2"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    (id_,) = {answer.json()["id"] for answer in answers}
    assert post(ours, face_clip, "k1").json()["id"] == first.json()["id"] != id_
    other = post(ours, face_clip, "k1", style_degree=0.3)
    assert other.status_code == 409 and "was used for another request" in other.json()["detail"]
    with user(served[0], THEIRS) as theirs:
        their = post(theirs, face_clip, "k1")
        assert their.status_code == 201 and their.json()["id"] != first.json()["id"]
        theirs.delete(f"/v1/jobs/{their.json()['id']}")
    assert not orphans(served[1])
    for one in (first.json()["id"], id_):
        ours.delete(f"/v1/jobs/{one}")


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ({"style": "nothing"}, "nothing"),
        ({"style_degree": 7}, "style_degree: "),
        ({"placement": "beside"}, "placement: "),
        ({"detail": 5}, "detail: "),
        ({"detail": "nan"}, "detail: "),
        ({"start": 3, "end": 1}, "end"),
        ({"start": "inf"}, "start: "),
        ({"format": "exe"}, "format: "),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(served, ours, face_clip, form, line):
    answer = post(ours, face_clip, **form)
    assert answer.status_code == 422
    until(lambda: not orphans(served[1]))  # those of deleted jobs go as their work stops
    assert line in answer.json()["detail"] and "\n" not in answer.json()["detail"]


def test_bad_files_are_told_and_leave_nothing(served, ours, tmp_path, make_clip):
    bad, big, long, playlist = (tmp_path / name for name in ("bad.mp4", "big.mp4", "long.mp4", "../list.mp4"))
    bad.write_text("no film")
    big.write_bytes(bytes((1 << 20) + (1 << 17)))
    playlist.write_text("#EXTM3U\nfile:///etc/passwd")
    make_clip(long, 160)
    wanted = [(bad, 422, "bad.mp4: not a readable video"), (big, 413, "--max_mb"), (long, 413, "0.1 minutes long"),
              (playlist, 422, "list.mp4: a list that names other files")]  # fmt: skip
    for path, status, line in wanted:
        answer = post(ours, path)
        assert answer.status_code == status and line in answer.json()["detail"]
        assert str(served[1].folder) not in answer.text
    assert ours.post("/v1/jobs").status_code == 422
    fetched = ours.post("/v1/jobs", data={"url": "http://127.0.0.1/secret"})
    assert fetched.status_code == 422 and "fetches nothing" in fetched.json()["detail"]

    def without_length():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        for _ in range(20):
            yield bytes(1 << 16)
        yield b"\r\n--b--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=b"}
    try:
        assert ours.post("/v1/jobs", content=without_length(), headers=kind).status_code == 413
    except httpx.TransportError:
        pass  # it may be hung up on in the middle
    assert not orphans(served[1])


def test_the_description_is_open_and_asks_for_nothing_from_elsewhere(served, ours):
    about = ours.get("/openapi.json").json()
    jobs = {f"/v1/jobs{rest}" for rest in ("", "/{job_id}", "/{job_id}/events", "/{job_id}/result")}
    assert set(about["paths"]) == jobs | {"/healthz", "/metrics"}
    page = ours.get("/docs").text
    assert "POST /v1/jobs" in page and "http" not in page.replace("http-equiv", "")


def test_prometheus_can_read_the_figures(served, ours, face_clip):
    id_ = post(ours, face_clip).json()["id"]
    ended(ours, id_)
    text = ours.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["vtoon_frames_total"]) >= 4 and float(values['vtoon_jobs{state="done"}']) >= 1
    assert float(values['vtoon_http_responses_total{code="201"}']) >= 1
    for name in {key.split("{")[0] for key in values}:
        assert f"# TYPE {name} " in text and f"# HELP {name} " in text
    ours.delete(f"/v1/jobs/{id_}")


def described(about, answer):
    """Whether the description says that there may be such an answer."""
    path = re.sub(r"(?<=^/v1/jobs/)[^/]+", "{job_id}", answer.request.url.path)
    methods = {method.upper(): operation for method, operation in about["paths"].get(path, {}).items()}
    if answer.request.method not in methods:
        allowed = set(answer.headers.get("allow", "").split(", "))
        return answer.status_code == 405 and allowed == set(methods) if methods else answer.status_code == 404
    told = methods[answer.request.method]["responses"].get(str(answer.status_code))
    kind = answer.headers.get("content-type", "").partition(";")[0]
    return told is not None and any(fnmatch.fnmatch(kind, allowed) for allowed in told.get("content", {"": {}}))


def png(level):
    buffer = io.BytesIO()
    Image.new("L", (40, 40), level).save(buffer, "png")
    return buffer.getvalue()


ANY = st.text(max_size=12)
FIELDS = {
    "style": ANY | st.sampled_from(["comic", "1"]), "style_degree": ANY | st.just("0.5"),
    "detail": ANY | st.sampled_from(["auto", "64", "7"]), "faces": ANY | st.just("largest"),
    "start": ANY, "end": ANY, "url": ANY,
}  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"]),
    path=st.sampled_from(["/v1/jobs", "/v1/jobs", "/v1/jobs/x", "/v1/jobs/x/result", "/v1/jobs/x/events", "/metrics",
                          "/healthz", "/v1/jobs/../../etc/passwd", "/v1/jobs/%2e%2e", "/x"]),
    form=st.fixed_dictionaries({}, optional=FIELDS),
    file=st.none() | st.binary(max_size=64) | st.integers(0, 255).map(png),
    key=st.none() | st.text("abc-:é", max_size=12).map(lambda text: text.encode()),
    token=st.sampled_from([OURS, OURS, OURS, "wrong"]),
)  # fmt: skip
def test_every_answer_is_one_that_the_description_knows(served, method, path, form, file, key, token):
    headers = {"authorization": f"Bearer {token}"} | ({"idempotency-key": key} if key else {})
    files = {"file": ("a.mp4", file)} if file is not None else None
    answer = httpx.request(method, served[0] + path, data=form, files=files, headers=headers, timeout=SECONDS)
    about = httpx.get(f"{served[0]}/openapi.json", timeout=SECONDS).json()
    assert (token == "wrong" and answer.status_code == 401) or described(about, answer), answer.text
    if answer.status_code >= 400 and method != "HEAD":
        assert isinstance(answer.json()["detail"], str) and "\n" not in answer.json()["detail"]
    if answer.status_code == 201:
        with user(served[0]) as client:
            told = ended(client, answer.json()["id"])
            assert told["state"] == DONE and described(about, client.get(told["result"]))
            client.delete(f"/v1/jobs/{told['id']}")
    until(lambda: not orphans(served[1]))


@pytest.mark.skipif(not shutil.which("schemathesis"), reason="schemathesis is not installed")
def test_schemathesis_finds_nothing(served, tmp_path):
    words = ["schemathesis", "run", f"{served[0]}/openapi.json", "--header", f"Authorization: Bearer {OURS}"]
    words += ["--checks", "all", "--max-examples", "10", "--request-timeout", str(SECONDS)]
    # What a film is, and that a part ends after it starts, no description can say.
    words += ["--exclude-checks", "positive_data_acceptance"]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.fixture
def slow(monkeypatch):
    """Work that lasts until `gate` is set."""
    gate, plain = threading.Event(), Job.progress

    def progress(job, frames, total):
        plain(job, frames, total)
        while frames and not gate.is_set() and not job._stop.is_set():
            time.sleep(0.01)

    monkeypatch.setattr(Job, "progress", progress)
    return gate


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_a_full_queue_refuses_and_a_deleted_job_stops(tmp_path, stylizer, face_clip, slow):
    service = Service(tmp_path / "s", stylizer, Limits(queue=2))
    with running(service) as address, user(address) as client:
        first = post(client, face_clip).json()["id"]
        until(lambda: client.get(f"/v1/jobs/{first}").json()["state"] == RUNNING)
        waiting = [post(client, face_clip).json() for _ in range(2)]
        assert [job["ahead"] for job in waiting] == [1, 2]
        refused = post(client, face_clip)
        assert refused.status_code == 429 and "--queue" in refused.json()["detail"] and refused.headers["retry-after"]
        assert client.delete(f"/v1/jobs/{first}").status_code == 204
        until(lambda: not (service.folder / first).exists())
        slow.set()
        assert {ended(client, job["id"])["state"] for job in waiting} == {DONE}


def test_what_was_unfinished_begins_again_after_a_restart(tmp_path, stylizer, face_clip, slow):
    service = Service(tmp_path / "s", stylizer, Limits())
    with running(service) as address, user(address) as client:
        jobs = [post(client, face_clip, f"k{i}").json()["id"] for i in range(3)]
        until(lambda: client.get(f"/v1/jobs/{jobs[0]}").json()["state"] == RUNNING)
    store = Store(tmp_path / "s" / "jobs.sqlite")
    assert [(entry.id, entry.state, entry.tries) for entry in store.unfinished()] == [(id_, WAITING, 0) for id_ in jobs]
    store.set(jobs[1], state=RUNNING, tries=3)  # as if it had ended the service three times
    store.close()
    slow.set()
    again = Service(tmp_path / "s", stylizer, Limits())
    with running(again) as address, user(address) as client:
        assert [ended(client, id_)["state"] for id_ in jobs] == [DONE, FAILED, DONE]
        assert "3 times" in client.get(f"/v1/jobs/{jobs[1]}").json()["problems"][0]
        assert post(client, face_clip, "k0").json()["id"] == jobs[0]  # the key is known still
        assert client.get(f"/v1/jobs/{jobs[0]}/result").status_code == 200


def test_a_graceful_stop_finishes_what_is_drawn(tmp_path, stylizer, face_clip, slow):
    service = Service(tmp_path / "s", stylizer, Limits())
    with running(service, grace=SECONDS) as address, user(address) as client:
        jobs = [post(client, face_clip).json()["id"] for _ in range(2)]
        until(lambda: client.get(f"/v1/jobs/{jobs[0]}").json()["state"] == RUNNING)
        threading.Timer(0.3, slow.set).start()
    store = Store(tmp_path / "s" / "jobs.sqlite")
    assert [store.get(id_).state for id_ in jobs] == [DONE, WAITING]
    store.close()


def test_what_ended_long_ago_is_forgotten(tmp_path, stylizer, face_clip):
    service = Service(tmp_path / "s", stylizer, Limits(), keep_hours=1)
    entry, new = service.take("me", None, "me.mp4", io.BytesIO(face_clip.read_bytes()), Wanted())
    assert new
    until(lambda: service.store.get(entry.id).state == DONE)
    service.tidy()
    assert service.store.get(entry.id)
    service.store.set(entry.id, ended=time.time() - 7200)
    service.tidy()
    assert service.store.get(entry.id) is None and not (tmp_path / "s" / entry.id).exists()
    service.stop()


def test_a_file_by_its_address_from_an_allowed_host_alone(tmp_path, stylizer, face_clip, served):
    import functools
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path == "/away.mp4":
                self.send_response(302)
                self.send_header("location", "http://localhost/x")
                self.end_headers()
            else:
                super().do_GET()

    files = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(face_clip.parent)))
    threading.Thread(target=files.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{files.server_port}"
    service = Service(tmp_path / "s", stylizer, Limits())
    with running(service, hosts=[host]) as address, user(address) as client:
        job = client.post("/v1/jobs", data={"url": f"http://{host}/{face_clip.name}"})
        assert job.status_code == 201 and job.json()["name"] == "face.mp4"
        assert ended(client, job.json()["id"])["state"] == DONE
        for url in (f"http://localhost:{files.server_port}/x", "file:///etc/passwd", f"http://{host}/away.mp4"):
            assert client.post("/v1/jobs", data={"url": url}).status_code == 422
    files.shutdown()
    files.server_close()


def test_without_tokens_other_names_are_not_answered(tmp_path, stylizer):
    service = Service(tmp_path / "s", stylizer, Limits())
    with running(service, tokens=()) as address:
        assert httpx.get(f"{address}/v1/jobs").json() == []
        assert httpx.get(f"{address}/v1/jobs", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"host": "0.0.0.0"}, "a token is needed"),
        ({"tokens": ("short",)}, "8 characters or more"),
        ({"limits": Limits(queue=0)}, "queue is 0"),
        ({"grace": -1}, "grace is -1"),
    ],
)
def test_what_it_cannot_be_served_with_is_told(tmp_path, how, line):
    with pytest.raises(VtoonError, match=line):
        Serving(tmp_path, **how)


def test_the_command_tells_what_is_wrong(command, tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "file").write_text("x")
    for words, line in (
        (["--token_file", tmp_path / "none"], "cannot be read"),
        (["--token_file", tmp_path / "empty"], "no token in it"),
        (["--host", "0.0.0.0"], "a token is needed"),
    ):
        told = command("serve", *words)
        assert told.code == 1 and line in told.line
    with pytest.raises(VtoonError, match="cannot keep jobs there"):
        Store(tmp_path / "file" / "jobs.sqlite")
