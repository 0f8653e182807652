"""What VToonify's network sees of a training picture: the photo at its input size, and the parsing beside it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.ops import fir_kernel, upfirdn2d
from vtoon.painters.parsing import GAIN, PARSING_WEIGHT, Parser


def halved(x: Tensor, times: int = 1) -> Tensor:
    """[N, C, H, W] at half the size, `times` over, by the [1, 3, 3, 1] filter."""
    kernel = fir_kernel().to(x.device)
    for _ in range(times):
        x = upfirdn2d(x, kernel, down=2, pad=(1, 1))
    return x


def halvings(size: int, in_size: int) -> int:
    """How often a picture of `size` px is halved to `in_size` px."""
    return (size // in_size).bit_length() - 1


def network_input(photo: Tensor, in_size: int, parser: Parser | None) -> Tensor:
    """Photos [N, 3, S, S] in [-1, 1] as the network takes them: [N, 3, in_size, in_size], with a parser 22 channels."""
    return near_and_whole(photo, in_size, parser)[0]


def near_and_whole(photo: Tensor, in_size: int, parser: Parser | None) -> tuple[Tensor, Tensor]:
    """The network's input, and the same at full size [N, C, S, S], for crops; the parsing is made once for both.

    Logits are made at twice the input's size, as inference has them, and spread over the whole by average pooling.
    """
    half = halved(photo, halvings(photo.shape[2], 2 * in_size))
    if parser is None:
        return halved(half), photo
    logits = parser(GAIN * half).float() * PARSING_WEIGHT
    whole = torch.cat([photo, F.adaptive_avg_pool2d(logits, photo.shape[2:])], 1)
    return torch.cat([halved(half), halved(logits)], 1), whole
