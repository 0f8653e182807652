"""What StyleGAN2's lazy penalties keep, and Adam for them (Karras et al. 2020, "Analyzing and improving the image
quality of StyleGAN", appendix B)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

BETAS = (0.0, 0.99)
PATH_DECAY = 0.01  # of the mean path length


def lazy_adam(parameters: Iterable[nn.Parameter], lr: float, every: int) -> torch.optim.Adam:
    """Adam with its rates corrected for the steps that a term of every so many steps adds; 0: there is none."""
    share = every / (every + 1) if every else 1.0
    return torch.optim.Adam(list(parameters), lr * share, betas=tuple(beta**share for beta in BETAS))


class PathMean:
    """The moving mean of path lengths, on the device."""

    def __init__(self, device: torch.device) -> None:
        self.value = torch.zeros((), device=device)

    def moved(self, lengths: Tensor) -> Tensor:
        """The mean so far, these lengths counted, with the gradient that they have in it."""
        mean = self.value + PATH_DECAY * (lengths.mean() - self.value)
        self.value = mean.detach()
        return mean

    def state_dict(self) -> dict:
        return {"value": self.value}

    def load_state_dict(self, state: dict) -> None:
        self.value = torch.as_tensor(state["value"], dtype=torch.float32).to(self.value.device)
