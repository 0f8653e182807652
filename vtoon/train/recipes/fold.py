"""The built-in model in another layout: what saw and drew pixels sees and draws squares of them, or has fewer channels,
and learns to draw as before (Hinton et al. 2015, "Distilling the knowledge in a neural network").

All that lies below the full size is taken over, and so is what sees the whole face. Of the layers at the full size
nothing remains: the first convolutions, which see squares now, begin anew, and what has no room is cut off.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vtoon.image import grid, to_uint8
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.painters.builtin import BuiltinPainter
from vtoon.train.batches import Batches
from vtoon.train.init import unit_variance_
from vtoon.train.pairs import Drawings, FaceSheets
from vtoon.train.recipes.distill import Distill, DistillOptions
from vtoon.types import Landmarks, Style


@torch.no_grad()
def folded(start: BuiltinVToonify, config: VToonifyConfig) -> BuiltinVToonify:
    """A model of all that `start` knows, whose network has another `config`: no wider below the full size."""
    model = BuiltinVToonify(start.codes.names, start.palettes.names, config)
    model.load_state_dict(_beside_the_network(start), strict=False)
    rows = config.num_latents
    for name in ("looks", "tone"):
        getattr(model.codes, name).copy_(getattr(start.codes, name)[:, :rows])
    model.codes.zoom.copy_(start.codes.zoom[:rows])
    model.codes.tone_range.copy_(start.codes.tone_range)
    _take_over(model.net, start.net)
    return model


def _beside_the_network(model: BuiltinVToonify) -> dict[str, Tensor]:
    """The state of all but the network that draws and its codes."""
    return {k: v for k, v in model.state_dict().items() if not k.startswith(("net.", "codes."))}


def _take_over(net: VToonify, old: VToonify) -> None:
    squares = (net.config.fold // old.config.fold) ** 2
    own = net.state_dict()
    for key, value in _renamed(old, len(old.encoder) - len(net.encoder)).items():
        if key in own:
            own[key] = _first(key, _of_squares(key, value, squares) if squares > 1 else value, own[key].shape)
    net.load_state_dict(own)


def _renamed(old: VToonify, fewer: int) -> dict[str, Tensor]:
    """The state with the encoder's blocks counted from the first that remains, but for that: it sees other things."""
    state = {}
    for key, value in old.state_dict().items():
        part, _, rest = key.partition(".")
        if part == "encoder" and fewer:
            number, _, rest = rest.partition(".")
            key = f"encoder.{int(number) - fewer}.{rest}" if int(number) > fewer else ""
        state[key] = value
    return state


def _first(key: str, value: Tensor, shape: torch.Size) -> Tensor:
    """Where there are fewer channels, the first of them; of two joined features, of both."""
    if key.startswith("fusion_out") and key.endswith("weight"):
        halves = value.chunk(2, 1)
        return torch.cat([half[: shape[0], : shape[1] // 2] for half in halves], 1)
    return value[tuple(slice(0, n) for n in shape)]


def _of_squares(key: str, value: Tensor, squares: int) -> Tensor:
    """What makes three colours [3, ...], for the colours of squares: each pixel's come from those of its own place."""
    if "to_rgb" in key and key.endswith(("conv.weight", "bias")) and "modulation" not in key:
        return value.repeat_interleave(squares, 1)
    if key.startswith("fusion_skip") and key.endswith("weight"):
        colours, features = value[:, :3], value[:, 3:].repeat_interleave(squares, 0)
        same = torch.eye(squares).repeat(3, 3)  # [3 * squares, 3 * squares]
        colours = colours.repeat_interleave(squares, 0).repeat_interleave(squares, 1) * same[:, :, None, None]
        return torch.cat([colours, features], 1)
    return value.repeat_interleave(squares, 0) if len(value) == 3 else value


def shapes_of(start: BuiltinVToonify, faces: FaceSheets) -> dict[str, Drawings]:
    """How each look of a model reshapes each face; the sheets are the photos, for it draws views of them itself."""
    looks = {}
    for look in start.codes.names:
        painter = BuiltinPainter(start, Style(0, look, look, start.palettes.names[0]), 1.0, False, torch.device("cpu"))
        fields = [painter.reshaping(np.array(faces.photos[i]), Landmarks(faces.landmarks[i].astype(np.float64)))
                  for i in range(len(faces))]  # fmt: skip
        looks[look] = Drawings(faces, faces.photos, np.stack(fields).astype(np.float16))
    return looks


class Fold(Distill):
    """The student draws each view as `start` does. Nothing but the network that draws, and its codes, learns."""

    def __init__(
        self,
        start: BuiltinVToonify,
        config: VToonifyConfig,
        batches: Batches,
        options: DistillOptions,
        perceptual: torch.nn.Module | None = None,
        provenance=lambda step: {"steps": step},
        student: BuiltinVToonify | None = None,
    ) -> None:
        """The `paint` of `batches` is `start.draw`. `student`: what has learned from it before."""
        reach = start.codes.tone_range.clone()
        torch.manual_seed(options.seed)
        model = student or start
        if model.codes.names != start.codes.names:  # its network, and all else as the teacher has it
            model = model.of_looks(start.codes.names)
            model.load_state_dict(_beside_the_network(start), strict=False)
        anew = model.net.config.fold != config.fold
        if model.net.config != config:
            model = folded(model, config)
        if anew:
            some = batches.make(0)
            unit_variance_(model.net.encoder[0], lambda: model.draw(*some.drawn))
        super().__init__(model, batches.teacher, options, perceptual, batches.device, provenance, batches.make)
        for each in (self.model, self.ema.module):
            each.codes.tone_range.copy_(reach)
        self.phases = self.phases[:2]
        del self.state["f_optim"]
        self.batches = batches
        self.about |= {"recipe": "Fold"}

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Rows of photo, teacher, student on fixed samples."""
        b = self.batches.make(1 << 30)
        rows = [list(to_uint8(x)) for x in (b.x, b.target, self.ema.module.draw(*b.drawn))]
        return grid([row[:12] for row in rows])
