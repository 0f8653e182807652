"""What goes wrong inside a command becomes one line and an exit code."""

from __future__ import annotations

import io
import signal
import sys

import pytest

from vtoon.cli.common import guard
from vtoon.errors import VtoonError


def raising(error: BaseException):
    def work() -> None:
        raise error

    return work


def test_success_and_failure_without_exception():
    assert guard(lambda: None) == 0 and guard(lambda: 1) == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (VtoonError("a: bad; do b"), 1, "error: a: bad; do b"),
        (RuntimeError("two\nlines"), 1, "error: RuntimeError: two lines; run with --verbose for the traceback"),
        (KeyError(), 1, "error: KeyError: no message; run with --verbose for the traceback"),
        (KeyboardInterrupt(), 130, "interrupted: what was unfinished is discarded"),
    ],
)
def test_one_line(capsys, error, code, line):
    assert guard(raising(error)) == code
    assert capsys.readouterr().err.splitlines() == [line]


def test_verbose_shows_the_traceback_of_the_unexpected(capsys):
    assert guard(raising(RuntimeError("x")), verbose=True) == 1
    assert "Traceback" in capsys.readouterr().err
    assert guard(raising(VtoonError("x")), verbose=True) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_sigterm_unwinds(capsys):
    cleaned = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            cleaned.append(True)

    before = signal.getsignal(signal.SIGTERM)
    assert guard(work) == 143 and cleaned
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_left_is_no_news(capsys, monkeypatch):
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    assert guard(lambda: print("x")) == 141
    assert capsys.readouterr().err == ""
