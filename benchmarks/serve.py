"""Many clients at once at `vtoon serve`, on this machine: is anything lost, does anyone get another's file, does memory
grow?

Each client has a token and pictures of its own, small ones without a face, which come back as they are: so that it is
the service that is measured, and every answer can be checked to the pixel. Now and then one asks for another's job.
"""

from __future__ import annotations

import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import tyro
from PIL import Image

from vtoon.cli.common import guard
from vtoon.errors import VtoonError

SIDE = 48  # px
POLL = 0.25  # s
PATIENCE = 600  # s, for one job
TIMES = 3  # that a picture is sent where the connection breaks; the key makes it one job


@dataclass
class Seen:
    """What clients have seen."""

    done: int = 0
    seconds: list[float] = field(default_factory=list)  # from post to result
    refused: int = 0  # times that the queue was full
    broken: int = 0  # connections
    wrong: list[str] = field(default_factory=list)  # what must not be
    ids: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def picture(number: int) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3]: like no other."""
    return np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)


def work(address: str, token: str, numbers: list[int], seen: Seen) -> None:
    """One client: its pictures one after the other."""
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(
        base_url=address, headers={"authorization": f"Bearer {token}"}, timeout=60, limits=limits
    ) as client:
        for number in numbers:
            try:
                _surely(client, token, number, seen)
            except (httpx.HTTPError, KeyError, ValueError, OSError) as error:
                with seen.lock:
                    seen.wrong.append(f"{token}, picture {number}: {type(error).__name__}: {error}")


def _surely(client: httpx.Client, token: str, number: int, seen: Seen) -> None:
    """As a client should: what is kept open for long may be shut just when it is used again."""
    for left in reversed(range(TIMES)):
        try:
            return _one(client, token, number, seen)
        except httpx.TransportError:
            if not left:
                raise
            with seen.lock:
                seen.broken += 1


def _one(client: httpx.Client, token: str, number: int, seen: Seen) -> None:
    begun, buffer = time.monotonic(), io.BytesIO()
    Image.fromarray(picture(number)).save(buffer, "png")
    file = {"file": (f"{number}.png", buffer.getvalue())}
    headers = {"idempotency-key": str(number)}
    while (answer := client.post("/v1/jobs", files=file, headers=headers)).status_code == 429:
        with seen.lock:
            seen.refused += 1
        time.sleep(POLL)
    answer.raise_for_status()
    id_ = answer.json()["id"]
    while (told := client.get(f"/v1/jobs/{id_}").json())["state"] in ("waiting", "running"):
        if time.monotonic() - begun > PATIENCE:
            raise ValueError(f"waited {PATIENCE} s")
        time.sleep(POLL)
    if told["state"] != "done":
        raise ValueError(told["problems"])
    result = client.get(told["result"]).raise_for_status()
    same = np.array_equal(np.array(Image.open(io.BytesIO(result.content)).convert("RGB")), picture(number))
    with seen.lock:
        others = seen.ids[-1] if seen.ids else None
        seen.ids.append(id_)
        seen.done += 1
        seen.seconds.append(time.monotonic() - begun)
        if not same:
            seen.wrong.append(f"{token}, picture {number}: another picture came back")
    mine = {job["id"] for job in client.get("/v1/jobs").json()}
    if others and others not in mine and client.get(f"/v1/jobs/{others}/result").status_code != 404:
        seen.wrong.append(f"{token}: could fetch {others}, which is another's")
    client.delete(f"/v1/jobs/{id_}").raise_for_status()


def crowd(address: str, tokens: list[str], each: int, first: int = 0) -> Seen:
    """All clients at once, with `each` pictures."""
    seen, threads = Seen(), []
    for place, token in enumerate(tokens):
        numbers = list(range(first + place * each, first + (place + 1) * each))
        threads.append(threading.Thread(target=work, args=(address, token, numbers, seen)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def memory(address: str, token: str) -> float:
    """MB that the service takes."""
    text = httpx.get(f"{address}/metrics", headers={"authorization": f"Bearer {token}"}, timeout=60).text
    return float(re.search(r"^process_resident_memory_bytes (\d+)", text, re.MULTILINE)[1]) / 2**20


@dataclass(frozen=True)
class Bench:
    """Many clients at `vtoon serve`."""

    clients: int = 50
    """At once."""
    each: int = 4
    """Pictures of each client in a round."""
    rounds: int = 3
    """After each of which memory is looked at."""
    ckpt: Annotated[str, tyro.conf.arg(metavar="FILE")] = "default"
    """The model."""

    def run(self) -> None:
        """Raises VtoonError where something was lost or mixed up."""
        tokens = [f"client-{i:03d}" for i in range(self.clients)]
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-m", "vtoon", "serve", "--port", "0", "--folder", str(Path(folder) / "service")]
            words += ["--ckpt", self.ckpt, "--device", "cpu", "--grace", "0"]
            told = os.environ | {"VTOON_TOKENS": ",".join(tokens)}
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=told, text=True) as run:
                try:
                    found = re.search(r"http://\S+?:\d+", run.stdout.readline())
                    if not found:
                        raise VtoonError("vtoon serve did not begin")
                    self._measure(found[0], tokens)
                finally:
                    run.terminate()

    def _measure(self, address: str, tokens: list[str]) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                httpx.get(f"{address}/healthz", timeout=60)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        print(
            f"{'round':>5}{'jobs':>7}{'jobs/s':>8}{'p50 s':>7}{'p95 s':>7}{'full':>6}{'broken':>8}{'MB':>7}{'wrong':>7}"
        )
        wrong = []
        for number in range(self.rounds):
            begun = time.monotonic()
            seen = crowd(address, tokens, self.each, number * self.clients * self.each)
            spent, tail = time.monotonic() - begun, statistics.quantiles(seen.seconds, n=20)
            figures = f"{seen.done / spent:8.1f}{tail[9]:7.2f}{tail[18]:7.2f}{seen.refused:6d}{seen.broken:8d}"
            print(
                f"{number + 1:5d}{seen.done:7d}{figures}{memory(address, tokens[0]):7.0f}{len(seen.wrong):7d}",
                flush=True,
            )
            wrong += seen.wrong
            if seen.done != self.clients * self.each:
                wrong.append(f"{self.clients * self.each - seen.done} jobs were lost")
        if wrong:
            raise VtoonError("; ".join(wrong[:3]))


if __name__ == "__main__":
    sys.exit(guard(tyro.cli(Bench, use_underscores=True).run))
