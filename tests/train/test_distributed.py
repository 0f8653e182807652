"""Two processes: the mean of their gradients, one stops all, the first prepares what the second finds."""

import os
import socket
from pathlib import Path

import torch
import torch.multiprocessing as mp

from vtoon.train.distributed import any_rank, average_gradients, init_distributed, leave_distributed, main_first, rank


def process(index: int, folder: str) -> None:
    os.environ |= {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": Path(folder, "port").read_text()}
    assert init_distributed("cpu") == "cpu" and rank() == index
    with main_first():
        cache = Path(folder, "cache")
        assert cache.exists() == (index == 1)
        cache.touch()
    p = torch.zeros(3)
    p.grad = torch.full((3,), float(index)) if index else None  # a term that this rank did not have
    average_gradients([p])
    assert p.grad.tolist() == [0.5] * 3
    assert any_rank(index == 1) and not any_rank(False)
    leave_distributed()
    Path(folder, f"done{index}").touch()


def test_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (tmp_path / "port").write_text(str(free.getsockname()[1]))
    mp.spawn(process, (str(tmp_path),), nprocs=2)
    assert (tmp_path / "done0").exists() and (tmp_path / "done1").exists()


def test_one_process_needs_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert init_distributed("cuda") == "cuda" and any_rank(True) and not any_rank(False)
    with main_first():
        pass
