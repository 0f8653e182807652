"""What a tab works on: taken from the browser's uploads, checked, told in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vtoon.errors import VtoonError
from vtoon.pipeline.people import Place, Seen
from vtoon.web.clips import Clip, open_clip, safe_name
from vtoon.web.context import Page
from vtoon.web.sessions import Session
from vtoon.web.strings import duration

VIDEO, PICTURE, FOLDER = "video", "picture", "folder"  # tabs
KINDS = {VIDEO: ("video",), PICTURE: ("image",), FOLDER: ("video", "image")}  # what each takes


@dataclass(frozen=True)
class Dropped:
    """One video, some pictures, or a folder of both."""

    tab: str
    clips: tuple[Clip, ...]
    room: Path

    @property
    def names(self) -> list[str]:
        return [clip.path.name for clip in self.clips]

    @property
    def times(self) -> tuple[float, float]:
        """What the slider below the picture goes through: seconds of the video, or numbers of pictures."""
        return (0, self.clips[0].last) if self.tab == VIDEO else (1, len(self.clips))

    def at(self, time: float) -> Seen:
        """What is shown. Raises VtoonError where it cannot be read."""
        return self.clips[0].at(time) if self.tab == VIDEO else self._clip(time).at()

    def place(self, time: float, face: int) -> Place:
        """A face of it, as `skip_faces` says it."""
        x, y = self.at(time).faces[face].points.mean(0)
        several = len(self.clips) > 1
        seconds = self.clips[0].time(time) if self.tab == VIDEO else 0.0
        return Place(round(float(x)), round(float(y)), seconds, self._clip(time).path if several else None)

    def _clip(self, time: float) -> Clip:
        return self.clips[min(max(1, int(time)), len(self.clips)) - 1]


def take(page: Page, session: Session, tab: str, uploads: str | Sequence[str] | None) -> Dropped:
    """Raises VtoonError where a file is none of this session's, cannot be read, is of another kind, or too long."""
    paths = [uploads] if isinstance(uploads, str) else list(uploads or [])
    if not paths:
        raise VtoonError(page.words(f"no_{tab}"))
    room = session.room()
    clips = tuple(open_clip(session.adopt(path, room, safe_name(path)), *KINDS[tab]) for path in paths)
    limit = page.context.limits.max_minutes
    for clip in clips:
        if clip.info.duration > 60 * limit:
            facts = {"minutes": f"{clip.info.duration / 60:.1f}", "limit": f"{limit:g}"}
            raise VtoonError(page.words("too_long", name=clip.path.name, **facts))
    return Dropped(tab, clips, room)


def facts(page: Page, dropped: Dropped) -> tuple[str, str]:
    """A title and a line."""
    words, clips, info = page.words, dropped.clips, dropped.clips[0].info
    names = ", ".join(dropped.names[:4]) + (" …" if len(clips) > 4 else "")
    if dropped.tab != VIDEO:
        kind = "picture" if dropped.tab == PICTURE else "file"
        return names, words(f"{kind}_fact") if len(clips) == 1 else words(f"{kind}_facts", count=len(clips))
    sound = words("with_sound" if info.audio_codecs else "without_sound")
    sizes = {"width": info.width, "height": info.height, "duration": duration(info.duration)}
    return names, words("clip_facts", **sizes, rate=f"{float(info.rate):g}", sound=sound)
