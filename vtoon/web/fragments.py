"""The page's own pieces of HTML. Every text and address that goes in is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from vtoon.web.jobs import CANCELLED, FAILED, RUNNING, WAITING, Job
from vtoon.web.strings import Words, duration

if TYPE_CHECKING:
    from vtoon.web.making import Making
    from vtoon.web.people import Person


def header(words: Words, others: Sequence[tuple[str, str]], tagline: str = "tagline") -> str:
    """Name and tagline, and the way to the page in other languages: (language, address)."""
    links = "".join(
        f'<a href="{escape(address)}" lang="{lang}" hreflang="{lang}">{escape(Words(lang)("language"))}</a>'
        for lang, address in others
    )
    return f'<header class="vt-head"><h1>vtoon</h1><p>{escape(words(tagline))}</p><nav>{links}</nav></header>'


def card(title: str, facts: str) -> str:
    """What was dropped."""
    return f'<div class="vt-card"><strong>{escape(title)}</strong><span>{escape(facts)}</span></div>'


def notice(text: str, kind: str = "error") -> str:
    """A line above the work, read out at once. kind: error | note."""
    role = "alert" if kind == "error" else "status"
    return f'<div class="vt-notice vt-{kind}" role="{role}">{escape(text)}</div>' if text else ""


def empty(text: str) -> str:
    return f'<div class="vt-stage vt-empty"><p>{escape(text)}</p></div>'


def compare(words: Words, before: str, after: str, size: tuple[int, int], note: str, over: str = "") -> str:
    """Two pictures of one size (width, height), and the line between them that a slider moves. `over`: what lies on
    them."""
    width, height = size
    return (
        f'<figure class="vt-stage"><div class="vt-compare" style="--w:{width};--h:{height}">'
        f'<img src="{escape(before)}" alt="{escape(words("before"))}" width="{width}" height="{height}">'
        f'<img class="vt-after" src="{escape(after)}" alt="{escape(words("after"))}" width="{width}" height="{height}">'
        f'<span class="vt-tag vt-left">{escape(words("before"))}</span>'
        f'<span class="vt-tag vt-right">{escape(words("after"))}</span><i class="vt-line"></i>'
        f'<input type="range" min="0" max="100" value="50" data-split aria-label="{escape(words("divider"))}">'
        f"{over}</div>"
        f"<figcaption>{escape(note)}</figcaption></figure>"
    )


def badges(name: str, people: Sequence[Person]) -> str:
    """Numbers on the picture, each at its face: a press on it moves the switch of that face."""
    return "".join(
        f'<label class="vt-badge{"" if person.drawn else " vt-off"}" for="{name}-{i}" aria-hidden="true"'
        f' style="left:{100 * person.x:.1f}%;top:{100 * person.y:.1f}%">{i + 1}</label>'
        for i, person in enumerate(people)
    )


def switches(words: Words, name: str, people: Sequence[Person]) -> str:
    """A switch for every face of the frame."""
    made = "".join(
        f'<label class="vt-person"><input type="checkbox" id="{name}-{i}" data-face="{person.face}"'
        f"{' checked' if person.drawn else ''}>"
        f'<img src="{person.picture}" alt="" width="44" height="44"><span>{escape(words("face", number=i + 1))}</span>'
        "</label>"
        for i, person in enumerate(people)
    )
    return f'<fieldset class="vt-people"><legend>{escape(words("drawn_faces"))}</legend>{made}</fieldset>'


def camera(words: Words, address: str) -> str:
    """The stage of the tab Live. `address`: where frames go."""
    told = {
        "live": address,
        "start": words("camera_start"),
        "stop": words("camera_stop"),
        "waiting": words("camera_waiting"),
        "denied": words("camera_denied"),
        "insecure": words("camera_insecure"),
        "gone": words("camera_gone"),
        "figures": words("camera_figures"),
    }
    data = " ".join(f'data-{name}="{escape(text)}"' for name, text in told.items())
    pressed = {"mirror": ' aria-pressed="true"', "before": ' aria-pressed="false"', "snapshot": ""}
    buttons = "".join(
        f'<button type="button" data-do="{name}"{state}>{escape(words(f"camera_{name}"))}</button>'
        for name, state in pressed.items()
    )
    return (
        f'<div class="vt-live" tabindex="0" role="group" aria-label="{escape(words("live"))}" {data}>'
        f'<div class="vt-screen"><canvas width="640" height="480"></canvas><p>{escape(words("empty_live"))}</p></div>'
        f'<p class="vt-figures" role="status" data-said></p><div class="vt-buttons">'
        f'<button type="button" class="vt-primary" data-do="start">{escape(words("camera_start"))}</button>{buttons}'
        "</div></div>"
    )


def gallery(words: Words, name: str, looks: Sequence[str], chosen: str, pictures: Sequence[str]) -> str:
    """A radio group of looks. `pictures`: an address for each, or none."""
    tiles = []
    for i, look in enumerate(looks):
        image = f'<img src="{escape(pictures[i])}" alt="" width="160" height="160">' if pictures else ""
        checked = " checked" if look == chosen else ""
        tiles.append(
            f'<label><input type="radio" name="{name}" value="{escape(look)}"{checked}>{image}'
            f"<span>{escape(look)}</span></label>"
        )
    plain = "" if pictures else " vt-plain"
    return (
        f'<fieldset class="vt-gallery{plain}"><legend>{escape(words("style"))}</legend>'
        f'<div class="vt-tiles">{"".join(tiles)}</div></fieldset>'
    )


def progress(words: Words, job: Job, ahead: int, picture: str | None, many: bool) -> str:
    """How far a job is. `picture`: the address of the last drawn frame; `many`: it counts photos."""
    part = job.frames / job.total if job.total else 0.0
    if job.state == WAITING:
        text = words("waiting", count=ahead)
    elif not job.frames and not many:
        text = words("beginning")
    elif many:
        text = words("pictures_done", frames=job.frames, total=job.total or 1)
    elif job.total and job.left is not None:
        left = duration(max(0.0, job.left))
        text = words("working", frames=job.frames, total=job.total, rate=f"{job.rate:.1f}", left=left)
    else:
        text = words("working_open", frames=job.frames, rate=f"{job.rate:.1f}")
    bar = f'<progress max="100" value="{100 * min(1.0, part):.1f}" aria-label="{escape(text)}"></progress>'
    image = f'<img src="{escape(picture)}" alt="{escape(words("last_frame"))}">' if picture else ""
    return f'<div class="vt-progress"><p role="status">{escape(text)}</p>{bar}{image}</div>'


def ended(words: Words, job: Job, many: bool) -> str:
    """The line that stays when a job is over, and what went wrong."""
    if job.state == CANCELLED:
        return notice(words("cancelled"), "note")
    problems = "".join(notice(line, "error" if job.state == FAILED else "note") for line in job.problems)
    if job.state == FAILED:
        return problems
    spent = duration(job.seconds)
    if many:
        return notice(words("pictures_ready", count=job.total or 1, seconds=spent), "note") + problems
    line = words("done", frames=job.frames, seconds=spent, rate=f"{job.rate:.1f}")
    return notice(line, "note") + problems


def videos(words: Words, original: str, made: str, name: str, plays: bool) -> str:
    """The result beside the input, and its download."""
    if plays:
        shown = "".join(
            f'<figure><video controls playsinline preload="metadata" src="{escape(address)}"></video>'
            f"<figcaption>{escape(words(key))}</figcaption></figure>"
            for key, address in (("original", original), ("drawing", made))
        )
        shown = f'<div class="vt-pair">{shown}</div>'
    else:
        shown = f"<p>{escape(words('not_played'))}</p>"
    again = f'<a class="vt-again" href="#video-looks">{escape(words("again"))}</a>'
    links = f'<p class="vt-links">{_button(words("download", name=name), made)}{again}</p>'
    return f'<section class="vt-result" data-result>{shown}{links}</section>'


def pictures(words: Words, made: Sequence[tuple[str, str]], archive: tuple[str, str] | None) -> str:
    """Drawn photos, each a link to its file: (name, address); `archive`: all of them."""
    shown = "".join(
        f'<figure><a href="{escape(address)}" download><img src="{escape(address)}" alt="{escape(name)}"'
        f' loading="lazy"></a><figcaption>{escape(name)}</figcaption></figure>'
        for name, address in made
    )
    links = _link(words("download_all", name=archive[0]), archive[1]) if archive else ""
    if len(made) == 1:
        links = _link(words("download", name=made[0][0]), made[0][1])
    return f'<section class="vt-result" data-result><div class="vt-grid">{shown}</div>{links}</section>'


def command(words: Words, line: str) -> str:
    return (
        f'<div class="vt-command"><p>{escape(words("command"))}</p><div><code tabindex="0">{escape(line)}</code>'
        f'<button type="button" data-copy data-done="{escape(words("copied"))}">{escape(words("copy"))}</button>'
        "</div></div>"
    )


def history(words: Words, entries: Sequence[tuple[str, str, str]]) -> str:
    """(name, address, command line), newest first."""
    if not entries:
        return f'<p class="vt-quiet">{escape(words("history_empty"))}</p>'
    items = "".join(
        f'<li><a href="{escape(address)}" download>{escape(name)}</a>{command(words, line)}</li>'
        for name, address, line in entries
    )
    return f'<ol class="vt-history">{items}</ol>'


def batch(words: Words, jobs: Sequence[tuple[str, Job, str | None]], picture: str | None) -> str:
    """Every work of many: (name, work, address of what was made). `picture`: of the last drawn frame."""
    over = sum(job.over for _, job, _ in jobs)
    bar = f'<progress max="{len(jobs)}" value="{over}" aria-label="{escape(words("files_done_short"))}"></progress>'
    items = "".join(_item(words, *job) for job in jobs)
    image = f'<img src="{escape(picture)}" alt="{escape(words("last_frame"))}">' if picture else ""
    text = words("files_done", done=over, total=len(jobs))
    works = f'<ol class="vt-works">{items}</ol>'
    return f'<div class="vt-progress"><p role="status">{escape(text)}</p>{bar}{image}{works}</div>'


def _item(words: Words, name: str, job: Job, address: str | None) -> str:
    state = words(f"state_{job.state}")
    if job.state == RUNNING and job.total:
        state = words("of", frames=job.frames, total=job.total)
        state += f' <progress max="{job.total}" value="{job.frames}" aria-label="{escape(name)}"></progress>'
    else:
        state = escape(state)
    title = f'<a href="{escape(address)}" download>{escape(name)}</a>' if address else escape(name)
    problems = "".join(f"<small>{escape(line)}</small>" for line in job.problems)
    return f'<li class="vt-{job.state}"><span>{title}</span><span>{state}</span>{problems}</li>'


def making(words: Words, made: Making, line: str) -> str:
    """A run that teaches a style: how it goes, and what it has said last."""
    key = "own_running" if not made.over else "own_done" if not made.code else "own_ended"
    key = "own_stopped" if made.over and made.stopped else key
    text = words(key, seconds=duration(made.seconds))
    said = "\n".join(made.lines)
    return (
        f'<div class="vt-progress"><p role="status">{escape(text)}</p>'
        f'<pre class="vt-log" tabindex="0" aria-label="{escape(words("own_log"))}">{escape(said)}</pre></div>'
        + command(words, line)
    )


def archive(words: Words, name: str, address: str) -> str:
    """Everything at once."""
    return f'<section class="vt-result" data-result>{_link(words("download_all", name=name), address)}</section>'


def _button(text: str, address: str) -> str:
    return f'<a class="vt-download" href="{escape(address)}" download>{escape(text)}</a>'


def _link(text: str, address: str) -> str:
    return f"<p>{_button(text, address)}</p>"
