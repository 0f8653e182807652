"""How long each training is: as published, as asked for, or what a budget of time allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

from vtoon.chain.costs import START, Costs
from vtoon.chain.plan import DUAL_BATCH, STUDENT_BATCH, VTOONIFY_BATCH, Facts, Lengths
from vtoon.chain.stage import Stage
from vtoon.chain.wish import Wish, shown
from vtoon.errors import VtoonError

# Of the time that is left when all that has a fixed cost is done. Faces from nothing take the most; the fine-tuning of
# a few drawings is best stopped early.
SHARES = {
    "base": 5.0,
    "gan": 2.0,
    "one": 2.0,
    "code": 1.0,
    "dual": 4.0,
    "pretrain": 2.0,
    "vtoonify": 3.0,
    "student": 3.0,
}


def asked(wish: Wish) -> Lengths:
    """As published, but for what is asked for."""
    names = Lengths.__dataclass_fields__
    return replace(Lengths(), **{n: getattr(wish, n) for n in names if getattr(wish, n, None) is not None})


def within(budget: float, wish: Wish, facts: Facts, stages: Sequence[Stage], costs: Costs) -> Lengths:
    """Lengths that take `budget` seconds, never longer than those asked for or published. `stages`: the plan at those
    lengths. Raises VtoonError where not even the shortest fit."""
    full = asked(wish)
    parts = [work for stage in stages for work in stage.work]
    trained = {work.unit for work in parts} & SHARES.keys()
    fixed = len(stages) * START + sum(costs.time(work) for work in parts if work.unit not in SHARES)
    left = 0.92 * budget - fixed
    if left <= 0:
        raise VtoonError(f"--budget {shown(budget)}: all that is not training takes about {shown(fixed)} here")
    total = sum(SHARES[unit] for unit in trained)
    seconds = {unit: left * SHARES[unit] / total for unit in trained}
    units = {unit: seconds[unit] / costs.seconds[unit] for unit in trained}
    lengths = {
        "base_kimg": _round(units.get("base", 0) / 1000),
        "kimg": _round(units.get("gan", 0) / 1000),
        "one_iter": int(units.get("one", 0) / 2 / max(1, len(facts.drawings))),
        "code_iter": int(units.get("code", 0) * 3 / 4 / max(1, len(facts.drawings))),
        "dual_iter": int(units.get("dual", 0) / 3 / DUAL_BATCH),
        "pretrain_iter": int(units.get("pretrain", 0) / VTOONIFY_BATCH),
        "iter": int(units.get("vtoonify", 0) / VTOONIFY_BATCH / (2 if facts.road == "dual" else 1)),
        "student_iter": int(units.get("student", 0) / STUDENT_BATCH),
    }
    least = 2 * wish.batch / 1000
    chosen = {}
    for name, value in lengths.items():
        wanted = getattr(full, name)
        given = getattr(wish, name, None) is not None
        chosen[name] = wanted if given else min(wanted, max(value, least if "kimg" in name else 2))
    return Lengths(**chosen)


def _round(kimg: float) -> float:
    """To two digits, down."""
    if kimg <= 0:
        return 0.0
    unit = 10 ** (math.floor(math.log10(kimg)) - 1)
    return math.floor(kimg / unit) * unit


def table(stages: Sequence[Stage], costs: Costs) -> list[str]:
    """The plan as lines: each stage, its time, its memory, its command; and the whole."""
    times = [costs.of(stage) for stage in stages]
    lines = [
        f"{i:2d} {stage.name:13} {shown(seconds):>8}  {costs.held(stage) / 2**30:5.1f} GB  {stage.text}"
        for i, (stage, seconds) in enumerate(zip(stages, times, strict=True), 1)
    ]
    most = max(costs.held(stage) for stage in stages) / 2**30
    return [*lines, f"in all about {shown(sum(times))} on this machine, {most:.1f} GB of memory at most"]


def as_content(lengths: Lengths) -> dict:
    return asdict(lengths)
