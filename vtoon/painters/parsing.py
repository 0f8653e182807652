"""Face parsing as the published VToonify sees it: frame by frame, or smoothed along the optical flow.

A parsing network makes its mind up anew in every frame, and VToonify draws what it says: smoothing its logits over a
window of frames is what keeps the published drawings from flickering.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.flow import FlowEstimator
from vtoon.flow.warp import backward_warp_tensor
from vtoon.image import to_tensor, to_uint8
from vtoon.ops import fir_kernel, upfirdn2d

WINDOW = 5  # frames looked at on each side
ENLARGED = 2  # the parsing network sees faces at this size
GAIN = 2.0  # and with this contrast, near to the ImageNet normalisation it was trained with
PARSING_WEIGHT = 1 / 16  # of the logits beside RGB in [-1, 1]
TOLERANCE = 0.2  # difference in colour, of [-1, 1], at which a neighbour's say has fallen to 0.6

Parser = Callable[[Tensor], Tensor]  # [N, 3, H, W] -> logits [N, C, H, W]
Region = tuple[Hashable, np.ndarray]


def enlarged(x: Tensor) -> Tensor:
    """[N, 3, H, W] -> [N, 3, 2 H, 2 W]."""
    return F.interpolate(x, scale_factor=ENLARGED, mode="bilinear", align_corners=False)


def parse(parser: Parser, x: Tensor) -> Tensor:
    """Logits [N, 19, H, W] of single pictures [N, 3, H, W] in [-1, 1]."""
    return F.interpolate(parser(GAIN * enlarged(x)), scale_factor=1 / ENLARGED, mode="nearest")


@dataclass(frozen=True)
class Seen:
    """One region of a frame of the window, at twice its size."""

    image: np.ndarray  # uint8 [2 H, 2 W, 3], for the flow
    both: Tensor  # picture in [-1, 1] and logits [1, 3 + 19, 2 H, 2 W]: they are warped together

    @property
    def x(self) -> Tensor:
        return self.both[:, :3]

    @property
    def logits(self) -> Tensor:
        return self.both[:, 3:]


class ParsingSmoother:
    """Logits of each frame of a clip, averaged with those of its neighbours (VToonify's smooth_parsing_map)."""

    def __init__(
        self,
        parser: Parser,
        estimate: FlowEstimator,
        device: torch.device | str = "cpu",
        window: int = WINDOW,
        every: int = 1,
    ) -> None:
        """`every`: one frame in so many is parsed, between them logits follow the flow from frame to frame."""
        self.parser, self.estimate, self.device = parser, estimate, torch.device(device)
        self.window, self.every = window, every

    def smooth(self, frames: Iterable[Sequence[Region]]) -> Iterator[list[Tensor]]:
        """The regions of every frame, each a key and uint8 [H, W, 3] RGB -> their logits [19, H, W], a window behind.

        Regions of one key are one face: followed through all frames that have it, one after the other. Memory: the
        regions of 2 * window + 1 frames.
        """
        seen = self._seen(frames)
        near = deque(islice(seen, self.window + 1), maxlen=2 * self.window + 1)
        here = 0  # of `near`
        while here < len(near):
            yield [self._fused([frame.get(key) for frame in near], here) for key in near[here]]
            after = next(seen, None)
            full = len(near) == near.maxlen
            if after is not None:
                near.append(after)
            here += not (after is not None and full)

    def _seen(self, frames: Iterable[Sequence[Region]]) -> Iterator[dict[Hashable, Seen]]:
        last: dict[Hashable, Seen] = {}
        for number, regions in enumerate(frames):
            followed = last if number % self.every else {}
            last = {key: self._see(image, followed.get(key)) for key, image in regions}
            yield last

    @torch.inference_mode()
    def _see(self, image: np.ndarray, last: Seen | None = None) -> Seen:
        x = enlarged(to_tensor(image, self.device))
        enlarged_image = to_uint8(x)[0]
        if last is None:
            return Seen(enlarged_image, torch.cat([x, self.parser(GAIN * x)], 1))
        flow = torch.from_numpy(self.estimate(enlarged_image, last.image)).to(self.device)[None]
        return Seen(enlarged_image, torch.cat([x, backward_warp_tensor(last.logits, flow)], 1))

    @torch.inference_mode()
    def _fused(self, near: Sequence[Seen | None], here: int) -> Tensor:
        """Logits of frame `here`: those of its neighbours, weighted by nearness in time and colour."""
        centre = near[here]
        # Summed up in place: new tensors of this size for every neighbour take as long as the warping.
        total, weights = torch.zeros_like(centre.logits), torch.zeros_like(centre.x[:, :1])
        for offset, index in neighbours([s is not None for s in near], here, self.window):
            fade = float(np.exp(-(offset**2) / (2 * (self.window + 0.5) ** 2)))
            if index == here and offset == 0:
                logits, weight = centre.logits, torch.full_like(weights, fade)
            else:
                logits, likeness = self._warped(near[index], centre)
                weight = likeness.mul_(fade)
            total.addcmul_(logits, weight)
            weights.add_(weight)
        halved = upfirdn2d(total.div_(weights), fir_kernel().to(self.device), down=ENLARGED, pad=(1, 1))
        return halved[0]

    def _warped(self, other: Seen, centre: Seen) -> tuple[Tensor, Tensor]:
        """Another frame's logits at the places of this one, and how alike the two are there: [1, 1, 2 H, 2 W]."""
        flow = torch.from_numpy(self.estimate(centre.image, other.image)).to(self.device)[None]
        both = backward_warp_tensor(other.both, flow)
        difference = (both[:, :3] - centre.x).square().mean(1, keepdim=True)
        return both[:, 3:], (-difference / (2 * TOLERANCE**2)).exp() * inside(flow)


def inside(flow: Tensor) -> Tensor:
    """Where a flow [1, 2, H, W] px stays in the picture: [1, 1, H, W], 0 or 1."""
    height, width = flow.shape[2:]
    x = flow[:, :1] + torch.arange(width, device=flow.device)
    y = flow[:, 1:] + torch.arange(height, device=flow.device)[:, None]
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).to(flow.dtype)


def neighbours(there: Sequence[bool], here: int, window: int) -> list[tuple[int, int]]:
    """(offset, index) of the frames to average around `here`: as far as the face is there without a gap.

    Beyond the ends of such a run its first or last `window` frames stand in, in their order, as in the published code.
    """
    first = last = here
    while first > 0 and there[first - 1]:
        first -= 1
    while last + 1 < len(there) and there[last + 1]:
        last += 1
    chosen = []
    for offset in range(-window, window + 1):
        index = here + offset
        index = index + window if index < first else index - window if index > last else index
        chosen.append((offset, min(max(index, first), last)))
    return chosen
