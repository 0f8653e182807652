"""How much memory there is, and how freed memory is kept."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

import psutil
import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt
KEPT = 2**31 - 1  # bytes at the heap's end that are not given back


def free_bytes(device: torch.device) -> int:
    """What can still be allocated on a device, about. Apple's devices share the machine's memory."""
    if device.type == "cuda":  # what PyTorch keeps for later counts as free, though not to the driver
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return psutil.virtual_memory().available


@cache
def reuse_freed_memory() -> bool:
    """Let the C library reuse large blocks that were freed; returns whether it does as told.

    glibc gives every large block back to the kernel and gets the next one page by page, each cleared anew: where a
    network's features are tens of megabytes, that takes as long as one convolution in six. Elsewhere nothing is done.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, KEPT))
