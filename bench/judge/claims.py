"""Claims against Kayenta, measured on rare errors: `python -m bench.judge.claims` writes docs/statistics/claims.md.

Both judges see the same windows: 20 calls a minute and side, 0.5 % of which fail (0.1 errors a minute), for an hour. Ours looks at
every window and allows no difference at all (`within: 0pp`); Kayenta's judge, as it stands behind our port, looks once.
A claim is won only where the exact bound of its share shows it (:mod:`bench.judge.bounds`).
"""

import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.judge.bounds import at_least, at_most, lower, together, upper
from bench.judge.few import Few, few_values, without_data
from bench.judge.rare import MINUTES, Caught, by_ours, measure, windows
from bench.judge.shapes import (
    ERRORS,
    METRICS,
    SHAPES,
    TIMES,
    WIDTHS_S,
    Found,
    caught,
    false_alarms,
    trial,
    verdicts_by_width,
)
from bench.judge.tables import markdown, percent
from bench.report import machine
from judge.policies.sequential import Sequential
from schemas.policies import USUAL_REVISION

RUNS = 40
POWER_TIMES, QUIET_TIMES = 4, 8
"""So many times as many runs of errors, and where nothing is wrong or little is: few say little."""
WIDTH_PART = 0.75
"""And so many of windows of each width, which take longest. (Of fewer the runs in which narrow windows see less would be left out by
chance, and the claim be won by that.)"""
SHARP = (1, 3, 10)
"""Factors at which a claim lies close to what is measured."""
CLUMP = 5
FACTORS = (1, 2, 3, 5, 6, 8, 10, 15, 30)
TARGETS = {3: 0.25, 5: 0.85, 10: 0.99}
STRICT = 0.002
"""The alpha that bounds false alarms at the rate that Kayenta's have on plain data."""
A_SECOND = 60
"""Calls a minute and side of the claim about time."""
SMALL_DROP = 0.02
PAGE = Path(__file__).parents[2] / "docs" / "statistics" / "claims.md"

TRIAL, PLAN = ERRORS, ERRORS.plan


def page(runs: int) -> str:
    """Everything, measured now."""
    began = time.process_time()
    quiet = runs * QUIET_TIMES
    power = {factor: measure(factor, MINUTES, quiet if factor in SHARP else runs * POWER_TIMES) for factor in FACTORS}
    strict_trial = trial("error_rate", margin="0pp", alpha=STRICT)
    strict = {factor: by_ours(factor, runs * POWER_TIMES, strict_trial) for factor in TARGETS}
    few, clumped = few_values(quiet), by_ours(1, quiet, clump=CLUMP)
    shapes = {name: caught(shape, quiet if name == "nothing" else runs) for name, shape in SHAPES.items()}
    rows = [*_of_power(power, strict), *_of_no_data(), *_of_few(few, quiet), *_of_looks(power[1][0], clumped)]
    rows += [
        *_of_shapes(shapes),
        *_of_widths(round(runs * WIDTH_PART)),
        *_of_time(runs * POWER_TIMES),
        *_of_many(quiet),
        *_of_the_judge(),
    ]
    cpu_s = time.process_time() - began
    return _TEXT.format(
        runs=runs,
        power_times=POWER_TIMES,
        quiet_times=QUIET_TIMES,
        width_percent=f"{WIDTH_PART:.0%}".replace("%", " %"),
        strict=f"{STRICT:.1%}".replace("%", " %"),
        cpu=f"{cpu_s:.0f}",
        machine=machine(),
        power=_power_table(power, strict),
        shapes=markdown(["canary", "runs", "ours rolled back", "by"], _shape_rows(shapes)),
        small=_few_table(few, quiet),
        claims=markdown(["claim", "asked for", "measured", ""], sorted([*rows, *map(list, _ELSEWHERE)], key=_number)),
    )


Measured = Mapping[int, tuple[Caught, Caught]]


def _power_table(power: Measured, strict: Mapping[int, Caught]) -> str:
    head = [
        "errors",
        "runs",
        "ours rolled back",
        "ours, median minute",
        f"ours at alpha {STRICT:g}",
        "Kayenta rolled back",
    ]
    rows = [
        [
            f"×{factor:g}",
            str(ours.runs),
            _percent(ours),
            _minute(ours, 0.5),
            _of_runs(strict[factor].share, strict[factor].runs) if factor in strict else "",
            _percent(theirs),
        ]
        for factor, (ours, theirs) in power.items()
    ]
    return markdown(head, rows)


def _few_table(few: Mapping[int, Few], runs: int) -> str:
    head = [
        "minutes",
        "runs",
        "ours rolled back",
        "Kayenta failed",
        "undecided checks",
        "say why",
        "say how many sessions more",
    ]
    return markdown(
        head,
        [
            [
                str(n),
                str(runs),
                percent(one.ours / runs, runs),
                percent(one.theirs / runs, runs),
                f"{one.undecided} of {one.checks}",
                str(one.why),
                str(one.sessions),
            ]
            for n, one in few.items()
        ],
    )


def _of_power(power: Measured, strict: Mapping[int, Caught]) -> list[list[str]]:
    """B1: what was asked for, what was found, and whether that is enough."""
    ours = {factor: found for factor, (found, _) in power.items()}
    quiet = at_most(len(ours[1].minutes), ours[1].runs, _ALARMS)
    asked = "25, 85, 99 % at ×3, ×5, ×10"
    return [
        [
            "B1 rare errors",
            f"{asked}, A/A ≤ 1 %",
            f"{_at_targets(ours)}; A/A {_of_runs(ours[1].share, ours[1].runs)}",
            together([quiet, *_enough(ours)]),
        ],
        [
            f"B1 the same at alpha {STRICT:g}",
            "told: power at Kayenta's own A/A, 0.2 %",
            f"{_at_targets(strict)}; alpha bounds A/A",
            "told",
        ],
        [
            "B1 never fewer as errors grow",
            "within 2 points, ×1 to ×30",
            f"{_of_runs(ours[30].share, ours[30].runs)} at ×30",
            together([_grows(before, after) for before, after in pairwise(ours.values())]),
        ],
    ]


def _at_targets(found: Mapping[int, Caught]) -> str:
    return ", ".join(f"{_of_runs(found[factor].share, found[factor].runs)} at ×{factor}" for factor in TARGETS)


def _enough(found: Mapping[int, Caught]) -> list[str]:
    return [at_least(len(found[factor].minutes), found[factor].runs, target) for factor, target in TARGETS.items()]


def _grows(before: Caught, after: Caught) -> str:
    """Whether a share falls by little at most, by the bounds of both."""
    (seen, runs), (later, later_runs) = ((len(one.minutes), one.runs) for one in (before, after))
    if upper(seen, runs) - lower(later, later_runs) <= SMALL_DROP:
        return "won"
    return (
        "lost" if lower(seen, runs) - upper(later, later_runs) > SMALL_DROP else f"not shown ({min(runs, later_runs)})"
    )


def _of_no_data() -> list[list[str]]:
    ours, theirs = without_data()
    *missing, enough = ours
    proved, passed = ([name for name in missing if judge[name]] for judge in (ours, theirs))
    told = f"within in {len(proved)} of {len(missing)} cases ({', '.join(missing)}), Kayenta passes {', '.join(passed) or 'none'}; {enough}: {'within' if ours[enough] else 'undecided'}"
    return [["B2 no data is never good news", "hold, never proceed", told, _won(ok=not proved and ours[enough])]]


def _of_few(few: Mapping[int, Few], runs: int) -> list[list[str]]:
    worst = max(few.values(), key=lambda one: one.ours)
    undecided, why, sessions = (
        sum(getattr(one, name) for one in few.values()) for name in ("undecided", "why", "sessions")
    )
    checks, explained = (few[max(few)].checks, few[max(few)].explained)
    return [
        [
            "B3 false rollbacks at few values",
            "≤ 1 % at every n",
            f"{_of_runs(worst.ours / runs, runs)}; Kayenta {percent(few[2].theirs / runs, runs)} at n = 2",
            at_most(worst.ours, runs, _ALARMS),
        ],
        [
            "B3 says that data is missing",
            "about k more sessions",
            f"of {undecided} undecided checks {why} say why, {sessions} how many sessions more",
            _won(ok=sessions == undecided),
        ],
        [
            "B9 explained",
            "interval, effect, n, evidence, threshold",
            f"after {max(few)} minutes {explained} of {checks} checks have counts, rates, difference and both bounds; evidence and margin all",
            _won(ok=explained == checks),
        ],
    ]


def _of_time(runs: int) -> list[list[str]]:
    found = by_ours(5, runs, calls=A_SECOND)
    told = f"minute {_minute(found, 0.5)}, 90 % by minute {_minute(found, 0.9)}, at {A_SECOND} sessions a minute and side, of {found.runs} runs; Kayenta's is the end, {MINUTES}"
    return [["B10 time to a verdict", "told: median and 90 % quantile, ×5 at a call a second and side", told, "told"]]


def _of_the_judge() -> list[list[str]]:
    distinct = _distinct_answers()
    short_ms, long_ms = (_look_ms(minutes) for minutes in (60, 1440))
    return [
        [
            "B12 speed",
            "< 1 ms a metric, flat in the length",
            f"{short_ms:.2f} ms after 60 windows, {long_ms:.2f} ms after 1,440 (add one, look once)",
            _won(ok=max(short_ms, long_ms) < 1 and long_ms < 2 * short_ms),
        ],
        ["B14 deterministic", "identical bytes, 1,000 times", f"{distinct} different answer", _won(ok=distinct == 1)],
    ]


def _number(row: Sequence[str]) -> int:
    return int(row[0].split()[0][1:])


_ALARMS = 0.01
_TAILS = 0.9
_NARROW = "variance / 5 (kayenta#780, case 1)"


def _of_looks(plain: Caught, clumped: Caught) -> list[list[str]]:
    return [
        [title, asked, _of_runs(seen.share, seen.runs), at_most(len(seen.minutes), seen.runs, limit)]
        for title, asked, seen, limit in (
            ("B4 looks are free", "≤ alpha (5 %) over 60 looks", plain, PLAN.alpha),
            (f"B4 {CLUMP} calls a session, all failing or none", "≤ 2 alpha over 60 looks", clumped, 2 * PLAN.alpha),
        )
    ]


def _shape_rows(shapes: dict[str, Found]) -> list[list[str]]:
    return [
        [
            name,
            str(one.runs),
            percent(one.share, one.runs),
            ", ".join(f"`{c}`" for c in sorted(set(one.culprits))) or "–",
        ]
        for name, one in shapes.items()
    ]


def _of_shapes(shapes: dict[str, Found]) -> list[list[str]]:
    tails, others = list[tuple[str, Found]](), list[tuple[str, Found]]()
    for name, one in shapes.items():
        (tails if name.startswith("10 %") else others).append((name, one))
    quiet = shapes["nothing"]
    both = ", ".join(f"{_of_runs(one.share, one.runs)} ({name.rpartition(' ')[2]})" for name, one in tails)
    worse = [one for name, one in others if name not in {"nothing", _NARROW}]
    return [
        ["B6 tails", "≥ 90 % of 10 % of calls ×5, ×20", both, _mostly([one for _, one in tails])],
        [
            "B6 nothing wrong",
            "≤ 1 %",
            _of_runs(quiet.share, quiet.runs),
            at_most(len(quiet.culprits), quiet.runs, _ALARMS),
        ],
        [
            "B7 variance, two peaks",
            "reported as a shift of a quantile",
            f"{_of_runs(min(o.share for o in worse), worse[0].runs)} of the worst shape above, by p90 or p99",
            _mostly(worse),
        ],
        [
            "B7 a variance that falls",
            "reported",
            _of_a_better_tail(shapes[_NARROW]),
            _mostly([shapes[_NARROW]]),
        ],
        [
            "B7 negative values",
            "reported",
            "there are none: counts, latencies and metrics are 0 or more",
            "by construction",
        ],
    ]


def _mostly(found: Sequence[Found]) -> str:
    return together([at_least(len(one.culprits), one.runs, _TAILS) for one in found])


def _of_a_better_tail(found: Found) -> str:
    rolled_back = f"{_of_runs(found.share, found.runs)}: a tail that gets better is no breach"
    if not found.p99_ms:
        return rolled_back
    baseline, canary = np.median(np.array(found.p99_ms), axis=0).tolist()
    shown = f"its p99 ({canary:.0f} ms) beside the baseline's ({baseline:.0f} ms)"
    return f"{rolled_back}; an entry shows {shown}, and says nothing of it"


def _of_widths(runs: int) -> list[list[str]]:
    rows = []
    for title, calls_a_s, factor, joined in (
        ("10 calls a second and side", 10.0, 1.5, False),
        ("20 calls a minute and side", 1 / 3, 5.0, False),
        ("the same, windows joined until both have calls (not shipped)", 1 / 3, 5.0, True),
    ):
        verdicts = [verdicts_by_width(calls_a_s, factor, seed, joined=joined) for seed in range(runs)]
        same = sum(len(set(v.values())) == 1 for v in verdicts)
        out = ", ".join(f"{sum(v[width] for v in verdicts)} at {width} s" for width in WIDTHS_S)
        told = f"the same in {same} of {runs} runs (errors ×{factor:g}; rolled back {out})"
        rows.append([f"B8 slots of 1, 10, 60 s: {title}", "the same verdict", told, _won(ok=same == runs)])
    return rows


def _of_many(runs: int) -> list[list[str]]:
    found = {n: false_alarms(n, runs, PLAN.alpha) for n in METRICS}
    return [
        [
            f"B11 {n} metrics at once",
            "one false alarm in ≤ alpha (5 %) of runs",
            f"{_of_runs(alarms / runs, runs)}, the statistics alone: calls that are independent, dispersion 1; a plan holds 8",
            at_most(alarms, runs, PLAN.alpha),
        ]
        for n, alarms in found.items()
    ]


_ELSEWHERE = (
    (
        "B5 unit free",
        "the same verdict",
        "rates are of whole counts: there is no unit; latency is compared by rank",
        "by construction",
    ),
    (
        "B13 config errors",
        "refused or warned, with the path",
        "`tests/unit/cli/test_judge.py`, `tests/unit/schemas/test_policies.py`",
        "tested",
    ),
)


def _won(*, ok: bool) -> str:
    return "won" if ok else "lost"


def _look_ms(minutes: int) -> float:
    """Processor time of one more window and a look, the median of many."""
    told, comparison = windows(np.random.default_rng(1), 1, minutes + _LOOKS), Sequential(USUAL_REVISION).begin(TRIAL)
    for window in told[:minutes]:
        comparison.add(window)
    comparison.assess((), TIMES)
    took = list[float]()
    for window in told[minutes:]:
        began = time.process_time()
        comparison.add(window)
        comparison.assess((), TIMES)
        took.append(time.process_time() - began)
    return float(np.median(took)) * 1000


_LOOKS = 50


def _distinct_answers(times: int = 1000) -> int:
    """Of one input, asked so often."""
    told = windows(np.random.default_rng(1), 5, 5)
    answers = set()
    for _ in range(times):
        comparison = Sequential(USUAL_REVISION).begin(TRIAL)
        for window in told:
            comparison.add(window)
        answers.add(repr(comparison.assess((), TIMES)))
    return len(answers)


def _percent(caught: Caught) -> str:
    return percent(caught.share, caught.runs)


def _of_runs(share: float, runs: int) -> str:
    return f"{percent(share, runs)} of {runs} runs"


def _minute(caught: Caught, quantile: float) -> str:
    """By which so many of all runs were rolled back."""
    found = caught.by(quantile)
    return "–" if found is None else str(found)


_TEXT = """# Claims against Kayenta's judge

Written by `python -m bench.judge.claims` ({runs} runs a row, {power_times} times as many of rare errors, {quiet_times} times where nothing is wrong or a claim is
close, {width_percent} of windows of each width; {cpu} s of one core; {machine}). 20 calls a minute and side, of which 0.5 % fail on the baseline: 0.1 errors a minute. Ours looks at every
window and allows no difference; Kayenta's judge looks once, at the end, at one value a minute. Standard errors are of the shares. ×1 is nothing
wrong: what is rolled back there is a false alarm. Medians are of all runs.

A claim is *won* where the exact 95 % bound of what was measured shows it, *lost* where the other one refutes it, and else *not shown*, with
the number of runs. At alpha {strict} false alarms are bounded at what Kayenta's are measured to be on plain data.

## An hour

{power}

Kayenta's judge on rare counts may find fewer where there are more, by its own rule: on tied values the estimate jumps before the bound does.

## A few minutes, nothing wrong

A hundred calls a minute and side, lognormal latency; ours by `latency_p99` and `latency_p90` within 10 %, at every window. Kayenta's judge has a mean a
minute, and settings left as they are: on two values a side it is known to fail one canary in four. (Of 0.1 errors a minute nobody could tell anything
in so short a time.)

{small}

## The shape of latency

A hundred calls a minute and side for an hour, lognormal on the baseline, `latency_p99` and `latency_p90` within 10 %, a look each minute:

{shapes}

## The claims, one by one

{claims}

B8 is lost where windows hold few calls: one in which a cohort is empty compares nothing and is passed over, so very narrow windows see less. They
never see more than there is: nothing here makes a false alarm of that. The shipped width is 5 s. Windows joined until both cohorts have
calls win most of it back, as the last row of B8 shows, and not all: how calls are divided into windows is part of the evidence. It is not shipped. What is won in
a joined window has an expectation of at most 1 only if the baseline's rate was the same in all its parts, for the cohorts' calls are divided over the
parts in other proportions. Where an incident that both share falls into a part with calls of the canary alone it was not the same, whatever the joining is
decided by: the canary would be blamed for it. A wider window in the settings asks for the same trust, and says so.

B5 holds by construction, and B13 is of mistakes of which each is a case of its own: there is nothing to sample, so a test for each is the measure.
B11 is of the statistics as such. That calls come in clumps, and are told in buckets, is B4's second row; a rollout of 300 metrics cannot be written.

What this does not show: unequal traffic, other metrics ([the bench](../statistics.md) has those). Kayenta's
rate of false alarms on plain data of ten values or more is very low, and nothing here claims to be lower there.
"""


if __name__ == "__main__":
    PAGE.write_text(page(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS), encoding="utf-8")
