"""The one exception a user is meant to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class VtoonError(Exception):
    """A problem the user can act on.

    Its message is one line: what was got, what is allowed, what to do. Command lines print it and exit with 1;
    it is never shown with a traceback.
    """


def describe(error: BaseException) -> str:
    """An exception nobody expected, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Around the imports of what only some users have: a missing one becomes the command that installs it."""
    try:
        yield
    except ImportError as error:
        raise VtoonError(f'{error.name} is not installed: pip install "vtoon[{name}]"') from None
