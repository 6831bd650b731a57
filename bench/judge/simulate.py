"""Fill the cells, the emptiest first, until the time is up."""

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.judge.faults import FAULTS
from bench.judge.limit import bound_s
from bench.judge.results import Results, Run, Said, append, begin, tuned_line
from bench.judge.rivals import JUDGES, TUNED, TUNING, Tuned, moving, tuned_rule
from bench.judge.traffic import stream
from bench.judge.windows import Rollout

GOALS = {1.0: 100, 10.0: 200, 100.0: 20}
"""Runs of a cell; half as many of one that must be rolled back."""
_TUNING_SEED = 1_000_000


def goal(rate: float, fault: str) -> int:
    """From so many runs on a cell counts."""
    return GOALS[rate] // 2 if FAULTS[fault].is_harmful else GOALS[rate]


def simulate(
    file: Path, rates: tuple[float, ...], going_on: Callable[[], bool], faults: Collection[str] = FAULTS
) -> Results:
    """Runs that are there already are not made again; judges that were added since are asked about their streams first."""
    found = Results.load(file)
    if going_on():
        begin(file, found)
    for rate in rates:
        if rate not in found.tuned and going_on():
            found.tuned[rate] = tuned(rate, TUNING)
            append(file, tuned_line(rate, found.tuned[rate]))
    for place, run in enumerate(found.runs):
        if run.unasked and run.rate in rates and run.fault in faults and going_on():
            found.runs[place] = completed(run, found.tuned[run.rate])
            append(file, found.runs[place].line())
    while going_on():
        cell = emptiest(found, rates, faults)
        if cell is None:
            break
        run = simulated(*cell, found.many(*cell), found.tuned[cell[0]])
        append(file, run.line())
        found.runs.append(run)
    return found


def emptiest(found: Results, rates: tuple[float, ...], faults: Collection[str] = FAULTS) -> tuple[float, str] | None:
    """The cell with the smallest part of its goal; None when all are full."""
    parts = {
        (rate, fault): found.many(rate, fault) / goal(rate, fault)
        for fault in faults
        for rate in rates
        if rate in found.tuned
    }
    cell = min(parts, key=lambda c: parts[c], default=None)
    return cell if cell is not None and parts[cell] < 1 else None


def simulated(rate: float, fault: str, seed: int, limits: Tuned) -> Run:
    """One stream through every judge."""
    return completed(Run(rate, fault, seed, None, 0.0, {}), limits)


def completed(run: Run, limits: Tuned) -> Run:
    """The run's stream through the judges that have not seen it."""
    began = time.process_time()
    rollout = Rollout(stream(run.rate, FAULTS[run.fault], run.seed))
    said = dict(run.said)
    for name in run.unasked:
        verdict = tuned_rule(rollout, limits) if name == TUNED else JUDGES[name](rollout)
        said[name] = Said(verdict, rollout.stream.harmed_by(verdict.at_s))
    bound = bound_s(rollout, FAULTS[run.fault])
    return replace(run, bound_s=bound, cpu_s=run.cpu_s + time.process_time() - began, said=said)


def tuned(rate: float, many: int) -> Tuned:
    """The largest values of the moving minute in so many healthy rollouts."""
    streams = (stream(rate, FAULTS["none"], _TUNING_SEED + i) for i in range(many))
    largest = np.max([moving(Rollout(s)).max(axis=0) for s in streams], axis=0)
    return Tuned(*largest.tolist())
