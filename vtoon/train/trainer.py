"""The training loop: steps, phases, logs, previews, saves. What differs between trainings is in the recipe."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from vtoon.errors import VtoonError
from vtoon.image import save_image
from vtoon.system.signals import handling
from vtoon.train.distributed import any_rank, average_gradients, is_main

Batch = Any
MAX_GRADIENT = 1.0  # norm over a phase's parameters: one odd batch must not undo an hour


@dataclass
class Phase:
    """One optimizer step: its loss terms are weighted already; their sum is minimised."""

    name: str
    loss: Callable[[Batch], dict[str, Tensor]]
    optimizer: Optimizer  # only its parameters get gradients
    every: int = 1  # lazy regularisation: every n-th step, times n
    start: int = 0  # first step that runs it

    def due(self, step: int) -> bool:
        return step >= self.start and step % self.every == 0

    @property
    def parameters(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]


class Recipe(Protocol):
    """What one training is: see vtoon/train/recipes."""

    phases: list[Phase]
    state: dict[str, Any]  # name -> object with state_dict and load_state_dict: everything a resumed run needs
    about: dict[str, str]  # what is trained on what; a run goes on only where all of it is the same

    def next_batch(self, step: int) -> Batch: ...
    def end_step(self, step: int) -> None: ...
    def preview(self) -> np.ndarray: ...
    def export(self, path: Path, step: int) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class TrainOptions:
    """How long, how often and where."""

    folder: Path
    steps: int
    log_every: int = 50
    preview_every: int = 500
    save_every: int = 500


def run_phase(phase: Phase, batch: Batch) -> dict[str, float]:
    """Loss, backward, average over ranks, step. Returns each term's value."""
    phase.optimizer.zero_grad(set_to_none=True)
    for p in phase.parameters:
        p.requires_grad_(True)
    terms = phase.loss(batch)
    (sum(terms.values()) * phase.every).backward()
    average_gradients(phase.parameters)
    torch.nn.utils.clip_grad_norm_(phase.parameters, MAX_GRADIENT)
    phase.optimizer.step()
    for p in phase.parameters:
        p.requires_grad_(False)
    return {f"{phase.name}/{name}": float(value.detach()) for name, value in terms.items()}


def save_state(recipe: Recipe, step: int, path: Path) -> None:
    """Everything of a run, written beside and renamed: a killed run leaves the last complete state."""
    state = {name: part.state_dict() for name, part in recipe.state.items()}
    part = path.with_suffix(".part")
    torch.save({"step": step, "rng": torch.get_rng_state(), "about": recipe.about, "state": state}, part)
    os.replace(part, path)


def load_state(recipe: Recipe, path: Path) -> int:
    """Restore a run; returns the number of steps done. Raises VtoonError where it is another training's."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    for name, wanted in recipe.about.items():
        if (got := saved.get("about", {}).get(name)) != wanted:
            raise VtoonError(f"{path}: a training with {name} {got}, not {wanted}; give yours another --name")
    for name, part in recipe.state.items():
        part.load_state_dict(saved["state"][name])
    torch.set_rng_state(saved["rng"])
    return saved["step"]


def fit(recipe: Recipe, options: TrainOptions) -> int:
    """Train until `options.steps`, resuming from the folder's state if there is one. Returns the steps done.

    SIGTERM and Ctrl-C save and stop; the same command then goes on as if nothing had happened.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    state_file = options.folder / "state.pt"
    step = load_state(recipe, state_file) if state_file.exists() else 0
    log, stop = _Log(options.folder, step), []

    def noted(number: int, _: object) -> None:
        stop.append(number)  # the step that runs is finished first; a second Ctrl-C ends at once
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        with handling(noted):
            step = _steps(recipe, options, step, stop, log)
    finally:
        recipe.close()
        log.close()
    if is_main():
        save_state(recipe, step, state_file)
        recipe.export(options.folder / "model.safetensors", step)
    return step


def _steps(recipe: Recipe, options: TrainOptions, step: int, stop: list, log: _Log) -> int:
    """Whole steps only, from `step` on; returns the number of steps done."""
    while step < options.steps and not any_rank(bool(stop)):
        batch = recipe.next_batch(step)
        terms: dict[str, float] = {}
        for phase in recipe.phases:
            if phase.due(step):
                terms |= run_phase(phase, batch)
        recipe.end_step(step)
        step += 1
        log.add(step, terms, options)
        if is_main() and (step % options.preview_every == 0 or step == options.steps):
            save_image(options.folder / f"preview_{step:06d}.jpg", recipe.preview())
        if is_main() and step % options.save_every == 0:
            save_state(recipe, step, options.folder / "state.pt")
            recipe.export(options.folder / "model.safetensors", step)
    return step


class _Log:
    """Means of the terms since the last line, to the terminal and to TensorBoard where it is installed."""

    def __init__(self, folder: Path, step: int) -> None:
        self.sums: dict[str, list[float]] = {}
        self.started, self.first = time.monotonic(), step
        self.writer = None
        if is_main():
            try:
                from torch.utils.tensorboard import SummaryWriter

                self.writer = SummaryWriter(folder)
            except ImportError:
                print('no TensorBoard: pip install "vtoon[train]" for curves')

    def add(self, step: int, terms: dict[str, float], options: TrainOptions) -> None:
        for name, value in terms.items():
            self.sums.setdefault(name, []).append(value)
        if step % options.log_every and step != options.steps:
            return
        means = {name: float(np.mean(values)) for name, values in self.sums.items()}
        self.sums.clear()
        if not np.isfinite(list(means.values())).all():
            raise VtoonError(f"step {step}: the loss is not finite ({means}); lower --lr or resume an earlier state")
        if not is_main():
            return
        rate = (time.monotonic() - self.started) / (step - self.first)
        print(f"{step:6d}/{options.steps}  {rate:.2f} s/step  " + "  ".join(f"{k} {v:.4f}" for k, v in means.items()))
        for name, value in means.items():
            if self.writer:
                self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self.writer:
            self.writer.close()
