"""A window with the drawing, and keys that change it (tkinter, which comes with Python)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from vtoon.errors import VtoonError

KEYS = {"m": "mirror", "b": "before", "s": "snapshot", "c": "colours", "q": "quit", "escape": "quit"}
STEPS = {"right": "style +1", "left": "style -1", "up": "degree +0.1", "down": "degree -0.1"}
WINDOW = "window"


class Window:
    """A sink. `obey(line)` gets the word of a key; closing the window is `quit`. Used in the main thread alone."""

    def __init__(self, obey: Callable[[str], object] = lambda line: None) -> None:
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError as error:
            raise VtoonError(f"no window ({error}); install Python's tkinter, or give another target") from None
        self._tkinter, self._tk_image, self._obey, self._root = tkinter, ImageTk, obey, None

    def __enter__(self) -> Window:
        return self

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Raises VtoonError where there is no screen."""
        try:
            if self._root is None:
                self._open()
            self._shown = self._tk_image.PhotoImage(Image.fromarray(image), master=self._root)  # kept: Tk does not
            self._label.configure(image=self._shown)
            self._root.update()
        except self._tkinter.TclError as error:
            raise VtoonError(f"no window ({error}); is there a screen?") from None

    def _open(self) -> None:
        self._root = self._tkinter.Tk(className="vtoon")
        self._root.title("vtoon live")
        self._label = self._tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._root.bind("<Key>", self._pressed)
        self._root.bind("<Button-1>", lambda event: self._obey(f"skip {event.x},{event.y}"))
        self._root.protocol("WM_DELETE_WINDOW", lambda: self._obey("quit"))

    def _pressed(self, event: object) -> None:
        word = {**KEYS, **STEPS}.get(event.keysym.lower())
        if word:
            self._obey(word)

    def __exit__(self, *_: object) -> None:
        if self._root is not None:
            self._root.destroy()
