"""The one exception a user is meant to read."""

from __future__ import annotations


class VtoonError(Exception):
    """A problem the user can act on.

    Its message is one line: what was got, what is allowed, what to do. Command lines print it and exit with 1;
    it is never shown with a traceback.
    """
