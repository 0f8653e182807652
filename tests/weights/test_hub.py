"""The hub, played by a server of our own that speaks its protocol: list of files, HEAD and GET with ranges."""

import hashlib
import importlib.util
import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vtoon.errors import VtoonError
from vtoon.weights import hub
from vtoon.weights.hub import REPO, choose, fetch, find_published, list_published
from vtoon.weights.lockfile import NAME, Lock

SCRIPT = Path(__file__).parents[2] / "scripts" / "download_checkpoints.py"
FILES = {
    "models/encoder.pt": b"encoder" * 3000,
    "models/faceparsing.pth": b"parsing",
    "models/vtoonify_d_cartoon/vtoonify_s_d.pt": b"any style",
    "models/vtoonify_d_cartoon/exstyle_code.npy": b"codes",
    "models/README.md": b"read me",
    "README.md": b"read me",
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@dataclass
class FakeHub:
    """What the server has and what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    sent: dict[str, bytes] = field(default_factory=dict)  # instead of the file itself
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    working: bool = True

    def tree(self):
        for path, data in self.files.items():
            entry = {"type": "file", "path": path, "size": len(data), "oid": "0" * 40}
            if path.endswith((".pt", ".pth")):
                entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
            yield entry


@pytest.fixture
def server():
    state = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            state.asked.append((self.path, self.headers.get("Range")))
            if not state.working:
                return self.answer(403, b"{}")
            if self.path.startswith(f"/api/models/{REPO}/tree/main"):
                return self.answer(200, json.dumps(list(state.tree())).encode(), "application/json")
            path = self.path.removeprefix(f"/{REPO}/resolve/main/")
            if path not in state.files:
                return self.answer(404, b"")
            data = state.sent.get(path, state.files[path])
            if span := self.headers.get("Range"):
                start = int(span.removeprefix("bytes=").removesuffix("-"))
                return self.answer(
                    206, data[start:], rest={"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
                )
            return self.answer(200, data)

        def answer(self, code, data, kind="application/octet-stream", rest=None):
            self.send_response(code)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(rest or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def encoder(server):
    return choose(list_published(server.url), ["encoder.pt"])[0]


@pytest.fixture
def lock(tmp_path):
    return Lock.read(tmp_path / "checkpoint")


@pytest.fixture
def download(server, tmp_path, monkeypatch, capsys):
    """download("encoder.pt", ...) runs the script in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("download_checkpoints", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            script.main([*args, "--endpoint", server.url])
        return (ended.value.code, *capsys.readouterr())

    return run


def test_files_are_listed_by_their_place_in_the_layout(server):
    names = [file.name for file in list_published(server.url)]
    assert names == [path.removeprefix("models/") for path in FILES if not path.endswith(".md")]


def test_names(server):
    files = list_published(server.url)
    assert [f.name for f in choose(files, ["encoder.pt"])] == ["encoder.pt"]
    assert len(choose(files, ["vtoonify_d_cartoon", "vtoonify_d_cartoon/exstyle_code.npy"])) == 2
    assert len(choose(files, ["all"])) == 4
    with pytest.raises(VtoonError, match="did you mean faceparsing"):
        choose(files, ["faceparsing.pt"])
    with pytest.raises(VtoonError, match="has no 'zzz'"):
        choose(files, ["zzz"])


def test_a_file_arrives_and_is_recorded(server, encoder, lock):
    path = fetch(encoder, lock, server.url)
    assert path.read_bytes() == FILES["models/encoder.pt"]
    assert Lock.read(path.parent).files == {"encoder.pt": sha256(FILES["models/encoder.pt"])}
    assert {p.name for p in path.parent.iterdir()} == {"encoder.pt", NAME}


def test_a_file_that_is_here_is_not_fetched_again(server, encoder, lock):
    fetch(encoder, lock, server.url)
    server.asked.clear()
    fetch(encoder, lock, server.url)
    assert not server.asked


def test_a_stopped_download_is_resumed(server, encoder, lock, monkeypatch):
    def stop_halfway(url, out, **_):
        out.write(FILES["models/encoder.pt"][:10_000])
        raise ConnectionError("gone")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", stop_halfway)
    with pytest.raises(VtoonError, match=r"encoder.pt could not be fetched; what has arrived is kept.*gone"):
        fetch(encoder, lock, server.url)
    assert not (lock.path.parent / "encoder.pt").exists()
    monkeypatch.undo()
    server.asked.clear()
    assert fetch(encoder, lock, server.url).read_bytes() == FILES["models/encoder.pt"]
    assert [span for _, span in server.asked] == ["bytes=10000-"]


def test_a_part_of_an_older_version_is_not_resumed(server, encoder, lock, monkeypatch):
    folder = lock.path.parent
    folder.mkdir()
    (folder / ".encoder.pt.00000000.part").write_bytes(b"old")
    assert fetch(encoder, lock, server.url).read_bytes() == FILES["models/encoder.pt"]


def test_what_arrives_damaged_is_thrown_away(server, encoder, lock):
    server.sent["models/encoder.pt"] = bytes(len(FILES["models/encoder.pt"]))
    with pytest.raises(VtoonError, match="what arrived is not what"):
        fetch(encoder, lock, server.url)
    assert not list(lock.path.parent.iterdir())


def test_a_file_that_was_changed_later_is_noticed(server, encoder, lock):
    path = fetch(encoder, lock, server.url)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(VtoonError, match="not the file it was"):
        fetch(encoder, Lock.read(path.parent), server.url)


def test_a_file_from_elsewhere_is_compared_with_the_hub(server, encoder, lock):
    path = lock.path.parent / "encoder.pt"
    path.parent.mkdir()
    path.write_bytes(b"something else")
    with pytest.raises(VtoonError, match="not the file that"):
        fetch(encoder, lock, server.url)
    path.write_bytes(FILES["models/encoder.pt"])
    server.asked.clear()
    fetch(encoder, lock, server.url)
    assert not server.asked and Lock.read(path.parent).files


def test_a_hub_that_cannot_be_reached(server, encoder, lock):
    server.working = False
    for action in (lambda: list_published(server.url), lambda: fetch(encoder, lock, server.url)):
        with pytest.raises(VtoonError) as caught:
            action()
        assert "\n" not in str(caught.value)


def test_a_damaged_lock(tmp_path):
    (tmp_path / NAME).write_text("{")
    with pytest.raises(VtoonError, match="damaged; delete it"):
        Lock.read(tmp_path)


def test_a_file_is_found_where_it_was_put(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("models", "checkpoints", "checkpoint", "mine"):
        path = Path(place) / "vtoonify_d_cartoon" / "exstyle_code.npy"
        path.parent.mkdir(parents=True)
        path.touch()
        assert find_published("vtoonify_d_cartoon/exstyle_code.npy", Path(place)) == path
        if place != "mine":
            assert find_published("vtoonify_d_cartoon/exstyle_code.npy") == path


def test_a_file_is_found_in_the_cache_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    repo = tmp_path / "cache" / f"models--{REPO.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("a" * 40)
    cached = repo / "snapshots" / ("a" * 40) / "models" / "encoder.pt"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert find_published("encoder.pt", cache=tmp_path / "cache") == cached


def test_a_missing_file_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VtoonError) as caught:
        find_published("encoder.pt", cache=tmp_path)
    for part in ("encoder.pt is missing", "checkpoint/encoder.pt", "python scripts/download_checkpoints.py encoder.pt"):
        assert part in str(caught.value)
    with pytest.raises(VtoonError, match=r"goes to mine/encoder.pt.* --folder mine$"):
        find_published("encoder.pt", Path("mine"), cache=tmp_path)


def test_stopping_the_script_says_that_what_arrived_is_kept(download, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.file_download.http_get", stop)
    code, _, err = download("encoder.pt", "--accept_license")
    assert code == 130 and "is kept" in err and "discarded" not in err


def test_the_script_asks_for_the_licence_once(download):
    code, out, err = download("encoder.pt")
    assert code == 1 and "non-commercial" in out and "--accept_license" in err
    assert not Path("checkpoint/encoder.pt").exists()
    code, out, err = download("encoder.pt", "--accept_license")
    assert code == 0 and Path("checkpoint/encoder.pt").read_bytes() == FILES["models/encoder.pt"]
    code, out, _ = download("faceparsing.pth")
    assert code == 0 and "non-commercial" not in out and Path("checkpoint/faceparsing.pth").exists()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 1), ("no", 1)])
def test_the_script_takes_an_answer(download, monkeypatch, answer, code):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert download("encoder.pt")[0] == code
    assert Path("checkpoint/encoder.pt").exists() == (code == 0)


def test_without_a_name_the_script_gets_what_a_model_needs(download):
    code, out, err = download("--accept_license")
    assert code == 0, err
    assert all(Path("checkpoint", name).is_file() for name in hub.ESSENTIAL) and "[4/4]" in out
    assert all(find_published(name) for name in hub.ESSENTIAL)


def test_the_script_lists_what_there_is(download):
    code, out, _ = download("--list")
    assert code == 0 and "vtoonify_d_cartoon/vtoonify_s_d.pt" in out and not Path("checkpoint").exists()


def test_the_script_shows_how_far_it_is(download, monkeypatch):
    monkeypatch.setenv("TQDM_POSITION", "-1")  # to huggingface_hub: draw even where there is no terminal
    _, _, err = download("encoder.pt", "--accept_license")
    assert "encoder.pt" in err and "100%" in err


@pytest.mark.parametrize("path", ["models/../../evil.pt", "models//tmp/evil.pt", "models/a/../../../evil.pt"])
def test_a_mirror_cannot_name_files_outside_the_folder(server, path):
    server.files[path] = b"evil"
    names = {file.name for file in list_published(server.url)}
    assert "encoder.pt" in names and not any("evil" in name for name in names)
