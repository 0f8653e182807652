"""Several processes, one model: gradients are averaged by hand, so that recipes need no wrapper."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor


def init_distributed() -> None:
    """Join the group that torchrun describes in the environment; nothing to do for a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    return rank() == 0


def average_gradients(parameters: list[Tensor]) -> None:
    """Mean of each gradient over the ranks, in one message."""
    if world_size() == 1:
        return
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in grads])
    dist.all_reduce(flat)
    flat /= world_size()
    for p, g in zip(parameters, flat.split([g.numel() for g in grads]), strict=True):
        p.grad = g.view_as(p)
