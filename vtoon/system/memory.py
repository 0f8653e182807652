"""How much memory there is, and how freed memory is kept."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

import psutil
import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt
KEPT = 2**31 - 1  # bytes at the heap's end that are not given back


class MallInfo(ctypes.Structure):
    """struct mallinfo2 of malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def free_bytes(device: torch.device) -> int:
    """What can still be allocated on a device, about. Apple's devices share the machine's memory."""
    if device.type == "cuda":  # what PyTorch keeps for later counts as free, though not to the driver
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return psutil.virtual_memory().available + kept_bytes()


def kept_bytes() -> int:
    """What the C library keeps of this process's freed memory: the kernel counts it as used, yet it is free to us."""
    if not hasattr(_libc(), "mallinfo2"):  # glibc 2.33
        return 0
    _libc().mallinfo2.restype = MallInfo
    # Parts of the heap that were never touched count as free to the kernel already.
    return min(_libc().mallinfo2().fordblks, psutil.Process().memory_info().rss)


@cache
def reuse_freed_memory() -> bool:
    """Let the C library reuse large blocks that were freed; returns whether it does as told.

    glibc gives every large block back to the kernel and gets the next one page by page, each cleared anew: where a
    network's features are tens of megabytes, that takes as long as one convolution in six. Elsewhere nothing is done.
    """
    libc = _libc()
    return bool(libc and libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, KEPT))


@cache
def _libc() -> ctypes.CDLL | None:
    """glibc; None where the C library is another."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
