"""Who tells the student what to draw: pictures of a step, made without gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from vtoon.models.vtoonify import VToonify
from vtoon.train.draws import Draws


@dataclass(frozen=True)
class Start:
    """What the encoder should make of a photo: the generator's state at 32 px (VToonify, eq. 2)."""

    photo: Tensor  # [N, 3, S, S] in [-1, 1]
    feature: Tensor  # [N, C, 32, 32]
    skip: Tensor  # [N, 3, 32, 32], RGB
    style: Tensor  # [N, L, D] in W+
    degree: Tensor  # [N, 1] in [0, 1]


@dataclass(frozen=True)
class Scene:
    """A photo and its drawing in one style."""

    photo: Tensor  # [N, 3, S, S] in [-1, 1]
    target: Tensor  # the same
    style: Tensor  # [N, L, D] in W+, what the network draws with
    style_id: Tensor  # long [N]
    degree: Tensor  # [N, 1] in [0, 1]


class Teacher(Protocol):
    """Where photos and drawings come from. `steps` is the length of the training: schedules depend on it."""

    num_styles: int  # 0: none to choose from, the discriminator is told none
    own_code: Tensor | None  # [L, D]: what the network draws with where it has no style encoder

    def build(self, in_channels: int) -> VToonify: ...
    def start(self, draws: Draws, steps: int) -> Start: ...
    def scene(self, draws: Draws, steps: int) -> Scene: ...


__all__ = ["Scene", "Start", "Teacher"]
