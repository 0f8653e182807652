"""The tone of a face over time."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

WINDOW = 49  # frames: what is there for less than half of them (a hand, a lamp that passes) changes nothing
PACE = 0.15  # of the way to a new light, each frame: no step is seen
EVERY = 8  # frames from one measurement to the next: light changes slowly, and what it changes is smoothed anyway
TRACKS = 32  # faces that are remembered


@dataclass
class _Light:
    """What is known of the light on a face."""

    past: deque[Tensor] = field(default_factory=lambda: deque(maxlen=WINDOW))
    now: Tensor | None = None  # what the last frame was drawn with
    frames: int = 0


class SteadyTones:
    """Follows the light on each face as a camera's exposure does, so that drawings do not flash.

    A running median over the last frames, and of it a running mean.
    """

    def __init__(self) -> None:
        self._lights: OrderedDict[int, _Light] = OrderedDict()  # by track, the latest last

    def due(self, track: int, cut: bool = False) -> bool:
        """Whether the tones of this face are to be measured in the next frame."""
        return cut or track not in self._lights or self._lights[track].frames % EVERY == 0

    def after(self, tones: Tensor | None, track: int, cut: bool = False) -> Tensor:
        """The tone to draw the next frame of this face with; `tones`: what was measured in it, None: what was measured
        last still holds. A cut forgets."""
        light = self._lights.pop(track, None)
        if light is None or cut:
            light = _Light(now=tones)
        light.past.append(light.past[-1] if tones is None else tones)
        light.now = torch.lerp(light.now, torch.stack(tuple(light.past)).median(0).values, PACE)
        light.frames += 1
        self._lights[track] = light
        if len(self._lights) > TRACKS:
            self._lights.popitem(last=False)
        return light.now
