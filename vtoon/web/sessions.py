"""Who may see which file: a session is a browser's cookie, and files are served to the session that has them."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from vtoon.errors import VtoonError
from vtoon.web.settings import Settings
from vtoon.web.tracks import Tracks

COOKIE = "vtoon_session"
IDLE_SECONDS = 3600  # after which a session and its files are gone
SHOWN = 120  # pictures of previews that a session keeps in memory
RESULTS = 12  # finished works that a session keeps on disk


@dataclass
class Session:
    """One browser: its folder, what it has uploaded, and the files it may fetch, by unguessable names."""

    id: str
    folder: Path
    seen: float = field(default_factory=time.monotonic)
    uploads: set[str] = field(default_factory=set)  # paths that were told to this browser alone
    files: dict[str, Path] = field(default_factory=dict)
    pictures: dict[str, tuple[bytes, str]] = field(default_factory=dict)  # (content, media type)
    works: list[Path] = field(default_factory=list)  # folders of results, oldest first
    kept: dict[str, object] = field(default_factory=dict)  # clips and jobs, by what the page calls them
    tracks: Tracks = field(default_factory=Tracks)
    live: Settings | None = None  # of the tab Live, once something was chosen there
    history: list[tuple[str, str, str]] = field(default_factory=list)  # (name, address, command line), newest first

    def use(self) -> None:
        """It is not idle."""
        self.seen = time.monotonic()

    def offer(self, path: Path) -> str:
        """Let this session fetch a file; returns the last parts of its address."""
        token = secrets.token_urlsafe(16)
        self.files[token] = path
        return f"{token}/{path.name}"

    def show(self, content: bytes, kind: str = "image/webp") -> str:
        """The same for a picture that is kept in memory; the oldest ones go."""
        token = secrets.token_urlsafe(16)
        self.pictures[token] = content, kind
        while len(self.pictures) > SHOWN:
            self.pictures.pop(next(iter(self.pictures)))
        return token

    def keep(self, thing: object) -> str:
        """Remember something for the page, which gets a name to ask for it by."""
        token = secrets.token_urlsafe(12)
        self.kept[token] = thing
        return token

    def room(self) -> Path:
        """A new folder of this session."""
        path = self.folder / secrets.token_urlsafe(12)
        path.mkdir(parents=True, mode=0o700)
        return path

    def finished(self, folder: Path) -> None:
        """A folder holds a result: it is kept, and the oldest ones go."""
        self.works.append(folder)
        while len(self.works) > RESULTS:
            self.forget(self.works.pop(0))

    def forget(self, folder: Path) -> None:
        """Remove a folder and every name of its files."""
        shutil.rmtree(folder, ignore_errors=True)
        self.files = {token: path for token, path in self.files.items() if folder not in path.parents}

    def adopt(self, upload: str | os.PathLike, room: Path, name: str) -> Path:
        """Take an uploaded file into a folder of this session. Raises VtoonError where it is another session's."""
        if os.fspath(upload) not in self.uploads:
            raise VtoonError("this file was not uploaded here, or long ago; drop it again")
        mine = room / name
        number = 1
        while any(path.stem == mine.stem for path in room.iterdir()):  # two drawings must not have one name
            number += 1
            mine = room / f"{Path(name).stem}-{number}{Path(name).suffix}"
        try:
            os.link(upload, mine)  # the uploaded name may be shared: two may upload the same file
        except OSError as error:
            raise VtoonError(f"{mine.name}: the upload is gone ({error.strerror}); drop it again") from None
        return mine

    def used(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


class Sessions:
    """All sessions, below one private folder that is removed at the end."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="vtoon-web-"))  # readable by this user alone
        self.uploads = self.root / "uploads"
        self.uploads.mkdir()
        self._idle, self._lock = idle_seconds, threading.Lock()
        self._all: dict[str, Session] = {}

    def new(self) -> Session:
        name = secrets.token_urlsafe(24)
        session = Session(name, self.root / secrets.token_urlsafe(12))
        with self._lock:
            self._all[name] = session
        return session

    def find(self, name: str | None) -> Session | None:
        """The session of a cookie, which is now in use; None where there is none."""
        session = self._all.get(name or "")
        if session:
            session.use()
        return session

    def tidy(self) -> None:
        """Remove what nobody has used for an hour."""
        now = time.monotonic()
        with self._lock:
            old = [session for session in self._all.values() if now - session.seen > self._idle]
            for session in old:
                del self._all[session.id]
        for session in old:
            shutil.rmtree(session.folder, ignore_errors=True)
        wall = time.time()
        for path in self.uploads.iterdir():
            if wall - path.stat().st_mtime > self._idle:
                shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Nothing of anybody stays."""
        self._all.clear()
        shutil.rmtree(self.root, ignore_errors=True)
