"""What every command shares: exit codes, one-line errors, signals, notices, the progress bar, flags in common."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tqdm import tqdm
from tyro.conf import FlagCreatePairsOff, arg

from vtoon.errors import VtoonError, describe
from vtoon.system.signals import STOPPING, handling
from vtoon.system.tree import ROOT

Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]  # off, and `--name` turns it on
Device = Literal["auto", "cpu", "cuda", "mps"]
Companion = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]  # of a published model
FAILED, INTERRUPTED, BROKEN_PIPE, TERMINATED = 1, 130, 141, 143  # 128 + the signal's number, as shells do
DEMO_CLIP = ROOT / "data" / "demo.mp4"
DEMO_SCRIPT = ROOT / "scripts" / "make_demo_clip.py"


@dataclass(frozen=True)
class Drawing:
    """How faces are found and drawn."""

    faces: Literal["all", "largest"] = "all"
    """Draw every face, or only the largest one."""
    detail: Annotated[float | Literal["auto"], arg(metavar="auto|64..160")] = "auto"
    """Distance between the eyes, px, at which faces are drawn. More is finer and slower; auto follows the face."""
    steady: bool = True
    """Take the flicker out of a video, along the motion."""
    device: Device = "auto"
    """auto takes CUDA, then Apple's MPS, then the CPU."""


@dataclass(frozen=True)
class Speed:
    """How a model is run. The last two are for published ones."""

    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the network that draws. auto takes fp16 on CUDA, bf16 on a CPU that has it, fp32 elsewhere and with
    --exact."""
    parse_every: Annotated[int, arg(metavar="N")] = 1
    """Of a video, parse one frame in N; between them the parsing follows the motion."""
    compile: Flag = False
    """Compile the network first (a minute or more; needs a C++ compiler), for long clips on a GPU."""


@dataclass(frozen=True)
class Coding:
    """How a video is written, and which frames of an interlaced one."""

    codec: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: what suits the container)")] = None
    """h264, hevc, av1, vp9, prores, h264_nvenc or hevc_nvenc."""
    crf: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: the codec's, nearly lossless to the eye)")
    ] = None
    """Constant quality: lower is better and larger."""
    preset: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the codec's)")] = None
    """The encoder's speed, for example veryfast or slow for h264."""
    deinterlace: Literal["auto", "off", "double"] = "auto"
    """Interlaced video: auto keeps its frame rate, double draws every field at twice the rate, off leaves it."""


@dataclass(frozen=True)
class Cut:
    """What is left out."""

    skip_faces: Annotated[
        tuple[str, ...], arg(metavar="[FILE:]X,Y[@SECONDS]", help_behavior_hint="(default: nobody)")
    ] = ()
    """People who are left as they are, through the whole video: a point in each one's face, px of the frame at a time
    (default: the first), of the input or of another file."""
    start: Annotated[float, arg(metavar="SECONDS")] = 0.0
    """Leave out what comes before."""
    end: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="(default: the end)")] = None
    """Leave out what comes after."""
    sound: bool = True
    """Keep the sound."""


@dataclass(frozen=True)
class Talk:
    """How much is said."""

    quiet: Annotated[Flag, arg(aliases=["-q"])] = False
    """Say nothing but errors."""
    verbose: Annotated[Flag, arg(aliases=["-v"])] = False
    """Say more, and show the traceback of an unexpected error."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: unwinds like Ctrl-C, so that nothing half written stays."""


def guard(
    work: Callable[[], int | None], verbose: bool = False, when_stopped: str = "what was unfinished is discarded"
) -> int:
    """Run a command; returns its exit code. Whatever goes wrong becomes one line on stderr."""
    _never_fail_on_a_name()
    try:
        with _stoppable():
            code = work() or 0
            sys.stdout.flush()
            return code
    except VtoonError as error:
        return _fail(str(error))
    except KeyboardInterrupt as stop:
        code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
        word = "terminated" if code == TERMINATED else "interrupted"
        return _fail(when_stopped, code, word)
    except BrokenPipeError:
        # Whoever read our output has left (`vtoon styles | head`). The interpreter's last flush goes nowhere, too.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if verbose:
            traceback.print_exc()
            return FAILED
        return _fail(f"{describe(error)}; run with --verbose for the traceback")


def _never_fail_on_a_name() -> None:
    """Characters of file names that the output's encoding lacks are shown as escapes; libraries' warnings are notes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())


def say_error(message: str, word: str = "error") -> None:
    """One line on stderr, below no half-drawn progress bar."""
    with contextlib.suppress(BrokenPipeError):
        tqdm.write(f"{word}: {message}", file=sys.stderr)


def _fail(message: str, code: int = FAILED, word: str = "error") -> int:
    say_error(message, word)
    return code


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise in the main thread, once; a second one ends the process where it stands."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        for each in STOPPING:
            signal.signal(each, signal.SIG_DFL)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    with handling(stop):
        yield


class _Notices(logging.Handler):
    """Log records as plain lines on stderr, each text once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._said:
            self._said.add(message)
            tqdm.write(self.format(record), file=sys.stderr)


def show_notices(talk: Talk) -> None:
    """What the library logs is shown: warnings always, more with --verbose, nothing with --quiet."""
    log = logging.getLogger("vtoon")
    log.setLevel(logging.ERROR if talk.quiet else logging.INFO if talk.verbose else logging.WARNING)
    log.handlers = [_Notices()]
    log.propagate = False


@contextmanager
def progress_bar(title: str, quiet: bool = False, unit: str = " frames") -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr with what is done, its rate and the time left; gives the function to call with (done, in all).

    Nothing is drawn when stderr is no terminal.
    """
    screen = shutil.get_terminal_size()  # 80x24 where the terminal does not know its size
    shape = {"ncols": screen.columns, "nrows": screen.lines, "leave": False}
    with tqdm(desc=title, unit=unit, disable=True if quiet else None, **shape) as bar:

        def update(done: int, total: int | None) -> None:
            bar.total = total if total and total >= done else None
            bar.update(done - bar.n)

        yield update


@contextmanager
def new_file(path: Path, suffix: str, source: Path | str, overwrite: bool) -> Iterator[Path]:
    """The place of a file that is made of `source`: gives the name to write to, until the block ends well.

    Raises VtoonError where `path` does not end in `suffix`, is there already, is the source, or cannot be written.
    """
    from vtoon.system.target import Target

    if path.suffix != suffix:
        raise VtoonError(f"{path}: the output is a {suffix} file; give it a name that ends so")
    target = Target(path, [source], overwrite)
    target.create()
    try:
        yield target.part
        target.commit()
    except OSError as error:
        raise VtoonError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        target.discard()


def demo_clip() -> Path:
    """The demo clip, made now if it is not there. Raises VtoonError where it cannot be made."""
    if DEMO_CLIP.is_file():
        return DEMO_CLIP
    if not DEMO_SCRIPT.is_file():
        raise VtoonError("the demo clip comes with the source tree only; name a file of yours")
    import subprocess

    say_error(f"{_short(DEMO_CLIP)} is not there yet: making it, this takes a moment", "note")
    made = subprocess.run([sys.executable, DEMO_SCRIPT, DEMO_CLIP], capture_output=True, text=True)
    if made.returncode or not DEMO_CLIP.is_file():
        reason = (made.stderr.strip() or "no message").splitlines()[-1]
        raise VtoonError(f"the demo clip could not be made ({reason}); name a file of yours with --content")
    return DEMO_CLIP


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
