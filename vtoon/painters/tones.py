"""The tone of a face over time."""

from __future__ import annotations

from collections import OrderedDict, deque

import torch
from torch import Tensor

WINDOW = 49  # frames: what is there for less than half of them (a hand, a lamp that passes) changes nothing
PACE = 0.15  # of the way to a new light, each frame: no step is seen
TRACKS = 32  # faces that are remembered


class SteadyTones:
    """Follows the light on each face as a camera's exposure does, so that drawings do not flash.

    A running median over the last frames, and of it a running mean.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[int, tuple[deque[Tensor], Tensor]] = OrderedDict()  # by track, the latest last

    def after(self, tones: Tensor, track: int, cut: bool = False) -> Tensor:
        """The tone to draw the next frame of this face with; `tones`: what was measured in it. A cut forgets."""
        past, last = self._seen.pop(track, (None, tones))
        if past is None or cut:
            past, last = deque(maxlen=WINDOW), tones
        past.append(tones)
        now = torch.lerp(last, torch.stack(tuple(past)).median(0).values, PACE)
        self._seen[track] = past, now
        if len(self._seen) > TRACKS:
            self._seen.popitem(last=False)
        return now
