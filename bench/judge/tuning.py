"""`python -m bench.judge.tuning [--minutes 5] [--variants …] [--faults …] [--write]`: what costs time against Wald's bound.

Each variant of the policy sees the same streams (10 new sessions a second). What must be found is simulated for half an hour,
what must not be for the whole rollout. Runs are kept in `docs/statistics/tuning.jsonl`, and gone on with.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import groupby
from pathlib import Path

import numpy as np

from bench.judge.faults import FAULTS
from bench.judge.limit import bound_s
from bench.judge.looks import Filling, ours_filling, third_session
from bench.judge.rivals import Verdict, ours
from bench.judge.tables import error_of_median, markdown, percent
from bench.judge.traffic import HORIZON_S, Cuts, stream
from bench.judge.variants import LOOKS, VARIANTS, Variant, changed
from bench.judge.windows import Rollout

RATE = 10.0
SHIPPED = "shipped"
BEST = "nu0"
"""Of what one could run, until revision 2 was made: the one that was run on most streams."""
FOUND_S = 1800.0
"""So long a fault that must be found is simulated: all of these are found by then."""
TIMED = ("outage", "errors+20", "errors+5")
QUIET = ("none", "margin", "margin-1%", "p99x1.1", "heavy")
WHOLE = (*QUIET, "errors+1")
"""Over the whole rollout; the last one must not be promoted."""
ALL = {**VARIANTS, **LOOKS}
FRESH = 1000
"""From this seed on streams were simulated after the variants had been chosen."""
FOLDER = Path(__file__).parents[2] / "docs" / "statistics"
FILE = FOLDER / "tuning.jsonl"
PAGE = FOLDER / "tuning.md"
TEXT = Path(__file__).with_name("tuning.md")


@dataclass(frozen=True, slots=True)
class Tried:
    """One variant on one stream."""

    variant: str
    fault: str
    seed: int
    end: str
    at_s: float
    bound_s: float | None


def try_out(fault: str, seed: int, variants: Sequence[str]) -> Iterator[list[Tried]]:
    """The same sessions for all; those together whose windows and shares are the same."""
    for cuts, names in groupby(sorted(variants, key=_cuts), _cuts):
        horizon_s = HORIZON_S if fault in WHOLE else FOUND_S
        rollout = Rollout(stream(RATE, FAULTS[fault], seed, horizon_s, Cuts(*cuts)))
        bound = bound_s(rollout, FAULTS[fault])
        seconds = cache(partial(_seconds, fault, seed, horizon_s, Cuts(*cuts)))
        verdicts = [(name, _verdict(ALL[name], rollout, fault, seconds)) for name in names]
        yield [Tried(name, fault, seed, verdict.end, verdict.at_s, bound) for name, verdict in verdicts]


def _cuts(variant: str) -> tuple[float, float, tuple[float, ...]]:
    cuts = ALL[variant].cuts
    return cuts.window_s, cuts.horizon_s, cuts.shares


def _seconds(fault: str, seed: int, until_s: float, cuts: Cuts) -> Filling:
    return Filling(stream(RATE, FAULTS[fault], seed, until_s, replace(cuts, window_s=1.0)))


def _verdict(variant: Variant, rollout: Rollout, fault: str, seconds: Callable[[], Filling]) -> Verdict:
    if variant.third is not None:
        return third_session(seconds(), variant.third)
    with changed(variant, rollout, FAULTS[fault]):
        return ours_filling(rollout, seconds(), variant.late_s) if variant.looks_open else ours(rollout)


def load(file: Path) -> list[Tried]:
    """What was tried so far; a line that was cut off by a kill is passed over."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        for variant, (end, at_s) in content["said"].items():
            found.append(Tried(variant, content["fault"], content["seed"], end, at_s, content["bound"]))
    return found


def append(file: Path, tried: Sequence[Tried]) -> None:
    """One line for all variants of one stream."""
    one = tried[0]
    bound = None if one.bound_s is None else round(one.bound_s, 1)
    content = {
        "fault": one.fault,
        "seed": one.seed,
        "bound": bound,
        "said": {t.variant: (t.end, t.at_s) for t in tried},
    }
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(content, separators=(",", ":")) + "\n")


def go_on(file: Path, faults: Sequence[str], variants: Sequence[str], seeds: Iterable[int], end: float) -> None:
    """Seed by seed, until every fault has its runs or the time is up."""
    known = {(t.variant, t.fault, t.seed) for t in load(file)}
    for seed in seeds:
        for fault in faults:
            missing = [v for v in variants if (v, fault, seed) not in known]
            if missing and time.monotonic() < end:
                for together in try_out(fault, seed, missing):
                    append(file, together)


def times(tried: Sequence[Tried], of: Mapping[str, Variant] = VARIANTS) -> str:
    """A row a variant: median and its standard error, and how many times the bound that is."""
    rows = []
    for name, variant in of.items():
        cells = [_time([t for t in tried if t.fault == fault], name) for fault in TIMED]
        if any(cell != "–" for cell in cells):
            rows.append([variant.title, *cells])
    return markdown(["", *(FAULTS[fault].title for fault in TIMED)], rows)


def _time(tried: Sequence[Tried], variant: str) -> str:
    shipped = {t.seed: t.at_s for t in tried if t.variant == SHIPPED}
    runs = [t for t in tried if t.variant == variant]
    if not runs:
        return "–"
    at = [t.at_s if t.end == "rolled_back" else np.inf for t in runs]
    median, bound = float(np.median(at)), float(np.median([t.bound_s for t in runs if t.bound_s is not None]))
    error = error_of_median(at) if np.isfinite(at).all() else ""
    sooner = [t.at_s - shipped[t.seed] for t in runs if t.seed in shipped]
    told = f"{median:.0f} s{error} ({len(runs)}), {median / bound:.1f} ×"
    return told if variant == SHIPPED or not sooner else f"{told}, {_mean(sooner)}"


def _mean(differences: Sequence[float]) -> str:
    """Of pairs, with its standard error."""
    error = float(np.std(differences, ddof=1)) / len(differences) ** 0.5
    return f"{np.mean(differences):+.0f} ± {error:.0f} s"


def quiet(tried: Sequence[Tried], of: Mapping[str, Variant] = VARIANTS) -> str:
    """A row a variant that was tried on them: rolled back where nothing is beyond a margin, proceeded where something is."""
    rows = []
    for name, variant in of.items():
        by_fault = {fault: [t.end for t in tried if (t.variant, t.fault) == (name, fault)] for fault in WHOLE}
        if any(by_fault.values()):
            out = [_share(by_fault[fault], "rolled_back") for fault in QUIET]
            rows.append([variant.title, *out, *(_share(by_fault[f], "proceeded") for f in ("margin", "errors+1"))])
    heads = [f"{FAULTS[fault].title}: rolled back" for fault in QUIET]
    return markdown(["", *heads, "errors on the margin: proceeded", f"{FAULTS['errors+1'].title}: proceeded"], rows)


def _share(ends: Sequence[str], end: str) -> str:
    return f"{percent(ends.count(end) / len(ends), len(ends))} of {len(ends)}" if ends else "–"


def _both_kinds(tried: Sequence[Tried], variant: str, fault: str, end: str) -> str:
    """Over chosen and fresh streams."""
    return _share([t.end for t in tried if (t.variant, t.fault) == (variant, fault)], end)


def page(tried: Sequence[Tried]) -> str:
    """The text beside this file with its tables."""
    text, seen, fresh = (
        TEXT.read_text(encoding="utf-8"),
        [t for t in tried if t.seed < FRESH],
        [t for t in tried if t.seed >= FRESH],
    )
    tables = {
        "times": times(seen),
        "quiet": quiet(seen),
        "fresh_times": times(fresh),
        "fresh_quiet": quiet(fresh),
        "looks_times": times(seen, {SHIPPED: VARIANTS[SHIPPED], **LOOKS}),
        "looks_quiet": quiet(seen, LOOKS),
        "healthy": _both_kinds(tried, BEST, "none", "rolled_back"),
        "beyond": _both_kinds(tried, BEST, "errors+1", "proceeded"),
        "margins": ", ".join(
            f"{_both_kinds(tried, BEST, fault, 'rolled_back')} of *{FAULTS[fault].title}*" for fault in QUIET[1:]
        ),
    }
    for name, table in tables.items():
        text = text.replace(f"{{{{{name}}}}}", table)
    return text


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.judge.tuning", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long to simulate at most; 0: not at all")
    parser.add_argument("--runs", type=int, default=40, help="of each fault")
    parser.add_argument("--first", type=int, default=0, help="the first run's seed")
    parser.add_argument("--variants", nargs="+", default=[*VARIANTS], choices=ALL)
    parser.add_argument("--faults", nargs="+", default=[*TIMED], choices=(*TIMED, *WHOLE))
    parser.add_argument("--results", type=Path, default=FILE, help="where runs are kept, and gone on with")
    parser.add_argument("--write", action="store_true", help="write docs/statistics/tuning.md")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.runs)
    go_on(options.results, options.faults, options.variants, seeds, time.monotonic() + 60 * options.minutes)
    tried = load(options.results)
    print(times(tried, ALL), quiet(tried, ALL), sep="\n\n")
    if options.write:
        PAGE.write_text(page(tried), encoding="utf-8")


if __name__ == "__main__":
    main()
