"""The training loop: steps, phases, logs, previews, saves. What differs between trainings is in the recipe."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from vtoon.errors import VtoonError
from vtoon.image import save_image
from vtoon.system.signals import handling
from vtoon.system.target import Target
from vtoon.train.distributed import any_rank, average_gradients, is_main
from vtoon.train.log import Log, spared
from vtoon.train.state import load_state, save_state

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
    max_norm: float | None = MAX_GRADIENT  # of its gradient; None: as it is
    scaler: torch.amp.GradScaler | None = None  # of the loss, where gradients are in fp16; part of the recipe's state

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
    def export(self, folder: Path, step: int) -> None: ...  # what inference takes, complete or not at all
    def close(self) -> None: ...

    # where there is more to log than the terms: def figures(self) -> dict[str, float]


@dataclass(frozen=True)
class TrainOptions:
    """How long, how often and where."""

    folder: Path  # of the run: its state, log.jsonl, curves, what is exported
    steps: int
    log_every: int = 50
    preview_every: int = 500
    save_every: int = 500  # steps between two exports
    save_begin: int = 0  # no export before this step; the state is kept all the same
    state_every: int | None = None  # steps between two states; None: as exports
    start: int = 0  # steps that were done before, where the folder has no state yet: schedules stand there
    accumulate: int = 1  # parts that a batch is gone through in: less memory, the same gradient
    previews: str = "preview_{step:06d}.jpg"  # in the logs' folder
    state: str = "state.pt"  # in the folder
    logs: Path | None = None  # folder of log.jsonl, curves, previews; None: the run's
    resume: bool = True
    minutes: float | None = None  # of the clock, after which the run saves and ends; None: all steps
    preview_minutes: float | None = None  # a preview, a save at least so often, besides those by steps
    save_minutes: float | None = None
    images: int = 0  # of a step, over all processes: the log then counts kimg

    @property
    def log_folder(self) -> Path:
        return self.logs or self.folder


class Due:
    """What happens every so many steps, and every so many minutes of the clock where they are given."""

    def __init__(self, steps: int, minutes: float | None) -> None:
        self.steps, self.minutes, self.last = steps, minutes, time.monotonic()

    def __call__(self, step: int) -> bool:
        late = self.minutes is not None and time.monotonic() - self.last >= 60 * self.minutes
        if late or step % self.steps == 0:
            self.last = time.monotonic()
            return True
        return False


def tune_device(device: torch.device) -> None:
    """For the whole process: tensor cores also for fp32, and the fastest convolutions for the sizes that come again."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


def run_phase(phase: Phase, batch: Batch, accumulate: int = 1) -> dict[str, Tensor]:
    """Loss, backward, average over ranks, step. Returns each term's value, which nothing has waited for."""
    phase.optimizer.zero_grad(set_to_none=True)
    for p in phase.parameters:
        p.requires_grad_(True)
    values: dict[str, Tensor] = {}
    for part in parts_of(batch, accumulate):
        terms = phase.loss(part)
        loss = sum(terms.values()) * (phase.every / accumulate)
        (phase.scaler.scale(loss) if phase.scaler else loss).backward()
        for name, value in terms.items():
            values[name] = values.get(name, 0.0) + value.detach().float() / accumulate
    _step(phase)
    for p in phase.parameters:
        p.requires_grad_(False)
    return {f"{phase.name}/{name}": value for name, value in values.items()}


def _step(phase: Phase) -> None:
    average_gradients(phase.parameters)
    if phase.scaler:
        phase.scaler.unscale_(phase.optimizer)
    if phase.max_norm is not None:
        torch.nn.utils.clip_grad_norm_(phase.parameters, phase.max_norm)
    if phase.scaler:
        phase.scaler.step(phase.optimizer)
        phase.scaler.update()
    else:
        phase.optimizer.step()


def parts_of(batch: Batch, count: int) -> Iterator[Batch]:
    """Every `count`-th sample of a dataclass of tensors, tuples of them and the like dataclasses, beginning with the
    first, the second, ...

    Taken so, a discriminator's groups of four (sample i is in group i mod N / 4) stay together: parts of four samples
    give the gradient of the whole.
    """
    if count == 1:
        yield batch
        return
    if not is_dataclass(batch):
        raise TypeError(f"a batch that is gone through in parts must be a dataclass, got {type(batch).__name__}")
    for k in range(count):
        yield _part(batch, k, count)


def _part(value: Any, k: int, count: int) -> Any:
    if isinstance(value, Tensor) and value.ndim:
        return value[k::count]
    if isinstance(value, tuple) and any(isinstance(item, Tensor) for item in value):
        return tuple(_part(item, k, count) for item in value)
    if is_dataclass(value):
        return replace(value, **{f.name: _part(getattr(value, f.name), k, count) for f in fields(value)})
    return value


def fit(recipe: Recipe, options: TrainOptions) -> int:
    """Train until `options.steps`, resuming from the folder's state if there is one. Returns the steps done.

    SIGTERM and Ctrl-C save and stop; the same command then goes on as if nothing had happened.
    """
    state_file = options.folder / options.state
    _make_places(options, state_file)
    step = load_state(recipe, state_file) if options.resume and state_file.exists() else options.start
    log, stop = Log(options.log_folder, step, options.steps, options.log_every, options.images), []

    def noted(number: int, _: object) -> None:
        stop.append(number)  # the step that runs is finished first; a second Ctrl-C ends at once
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        with handling(noted):
            step = _steps(recipe, options, step, stop, log)
    finally:
        recipe.close()
    if is_main():
        save_state(recipe, step, state_file)
        if step >= min(options.save_begin, options.steps):
            recipe.export(options.folder, step)
    return step


def _steps(recipe: Recipe, options: TrainOptions, step: int, stop: Sequence[int], log: Log) -> int:
    """Whole steps only, from `step` on; returns the number of steps done."""
    previews = Due(options.preview_every, options.preview_minutes)
    states = Due(options.state_every or options.save_every, options.save_minutes)
    exports = Due(options.save_every, options.save_minutes)
    end = time.monotonic() + 60 * options.minutes if options.minutes is not None else float("inf")
    log.end = end
    while step < options.steps and not any_rank(bool(stop) or time.monotonic() > end):
        batch = recipe.next_batch(step)
        terms: dict[str, Tensor] = {}
        for phase in recipe.phases:
            if phase.due(step):
                terms |= run_phase(phase, batch, options.accumulate)
        recipe.end_step(step)
        terms |= getattr(recipe, "figures", dict)()
        step += 1
        log.add(step, terms)
        if is_main() and (previews(step) or step == options.steps):
            _show(recipe, options, step)
        if is_main() and step < options.steps:
            if states(step):
                save_state(recipe, step, options.folder / options.state)
            if exports(step) and step >= options.save_begin:
                recipe.export(options.folder, step)
    if is_main() and options.minutes is not None and step < options.steps:
        _show(recipe, options, step)
    return step


def _show(recipe: Recipe, options: TrainOptions, step: int) -> None:
    picture = recipe.preview()
    with spared(options.log_folder):
        save_image(options.log_folder / options.previews.format(step=step), picture)


def _make_places(options: TrainOptions, state_file: Path) -> None:
    """A place that cannot be written is known before the first step."""
    for folder in (options.folder, (options.log_folder / options.previews).parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VtoonError(f"{folder}: the folder cannot be made ({error.strerror})") from None
    if is_main():
        target = Target(state_file, overwrite=True)
        target.create()
        target.discard()
