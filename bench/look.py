"""What a look of the judge costs, however long the rollout runs: `python -m bench.look [--write]`.

The judge's own state and machine, one service, two telemetry partitions with 5 s windows, every check of the default plan
with ten tools and one custom metric, proxies that report. After ten minutes, two hours and a day of windows in one stage
it is asked what to do: again without news, with an open window that has grown, and with a final window. Beside the look
stands what comes before and after it: folding the final windows into the state as they are read, and working out what
people are told, which the judge does once a second. CPU time of this process, so that a busy machine does not count
against it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.report import machine, write_section
from judge.policies.sequential import Sequential
from judge.rollout.machine import Decision, Machine
from judge.rollout.state import ServiceState
from schemas.control import ProxyReport, ProxyRoute, RouteChange, VersionTotals
from schemas.decisions import Cut, LedgerEntry, Opening, Reason
from schemas.labels import Label
from schemas.plan import Plan
from schemas.policies import USUAL_REVISION
from schemas.service import Service
from schemas.windows import BUCKETS, Bucket, Cell, CohortWindow, Metric, MetricBucket, ToolCount

T0 = 1_700_000_000_000
WINDOW_MS = 5_000
PARTITIONS = 2
LASTS = {"10 min": 120, "2 h": 1_440, "23 h": 16_560}
LOOKS = 200
SEED = "0a" * 16

TITLE = "A look of the judge"
PLAN = Plan.model_validate(
    {
        "service": "orders",
        "canary": "v2",
        "stages": [
            {"share": "4%", "for": "10m", "min_sessions": 10**9},
            {"share": "10%", "for": "30m"},
            {"share": "50%", "for": "60m"},
        ],
        "checks": {"tokens": {"kind": "mean"}},
    }
)
"""The default durations; the first stage never has sessions enough, so that it is looked at as long as one likes."""
SERVICE = Service.model_validate(
    {"service": "orders", "baseline": "v1", "versions": {v: {"endpoints": ["a:1"]} for v in ("v1", "v2")}}
)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU milliseconds a look."""

    median_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"{self.median_ms:.2f} / {self.p99_ms:.2f}"


def _cell(rng: np.random.Generator, version: str, sessions: int) -> Cell:
    """About twelve calls a session in a window, healthy."""
    n = 12 * sessions
    table = np.bincount(rng.integers(0, BUCKETS, n), minlength=BUCKETS)
    bad = {int(b): 1 for b in rng.choice(np.flatnonzero(table), rng.binomial(n, 0.005))}
    bins = (1_000 + rng.normal(0, 60, n)).astype(int).tolist()
    values = Metric(
        n=n,
        micro=n * 100_000_000,
        histogram={i: bins.count(i) for i in set(bins)},
        buckets={i: MetricBucket(n=int(k), micro=int(k) * 100_000_000) for i, k in enumerate(table) if k},
        bucket_histograms={i: {250: int(k)} for i, k in enumerate(table) if k},
    )
    return Cell(
        version=version,
        label=str(Label.make(SEED, 1, 1, version, "session")),
        outcomes={"ok": n - len(bad), "server_error": len(bad)},
        tool_calls=n,
        new_sessions=sessions,
        buckets={
            i: Bucket(n=int(k), err=bad.get(i, 0), tools=int(k), tf=bad.get(i, 0), lat=int(k))
            for i, k in enumerate(table)
            if k
        },
        histogram={i: bins.count(i) for i in set(bins)},
        bucket_histograms={i: {255: 1} for i in bad},
        bucket_floor=252,
        tools={f"tool_{t}": ToolCount(n=len(range(t, n, 10)), bad=len(range(t, len(bad), 10))) for t in range(10)},
        lives={0: {0: sessions}, 6: {6: sessions}, 12: {7: sessions}},
        metrics={"tokens": values},
    )


def _templates() -> list[CohortWindow]:
    """Some windows to repeat: what they say does not matter for the cost."""
    rng = np.random.default_rng(1)
    return [
        CohortWindow(
            service="orders",
            source="mcp-requests",
            partition=i % PARTITIONS,
            partitions=PARTITIONS,
            window_start=0,
            window_ms=WINDOW_MS,
            first_offset=0,
            through=1,
            clock_ms=0,
            final=True,
            instance="s",
            cells=(_cell(rng, "v1", 24), _cell(rng, "v2", 1)),
        )
        for i in range(8 * PARTITIONS)
    ]


class Rollout:
    """A judge's state in the first stage, fed window by window."""

    def __init__(self) -> None:
        self.state, self.machine = ServiceState("orders"), Machine(Sequential(USUAL_REVISION), "bench")
        self.templates, self.windows = _templates(), 0
        self.state.read_service(SERVICE)
        start = LedgerEntry.make(
            after="",
            service="orders",
            kind="start",
            rollout=1,
            stage=1,
            share=PLAN.stages[0].share,
            baseline="v1",
            canary="v2",
            reason=Reason(code="started", sentence="Started."),
            cut=Cut(offsets={}, now=T0),
            plan_hash=PLAN.hash,
            actor="bench",
            code_version="bench",
            opening=Opening(plan=PLAN, service=SERVICE, seed=SEED),
        )
        self.state.read_entry(start, 0)
        proxy = ProxyRoute(proxy="lb0", state="acknowledged", version="1-1")
        change = RouteChange(
            service="orders", router="r", entry=start.id, version="1-1", proxies=(proxy,), acknowledged=True, at=1
        )
        self.state.read_route(change, 0, 0, T0)

    def close(self) -> None:
        """Every partition closes its next window, and the proxies report."""
        self.windows += 1
        for partition in range(PARTITIONS):
            self.state.read_window(self._window(partition, self.windows, final=True))
        totals = VersionTotals(sent=600 * self.windows, failed=self.windows, active=3)
        report = ProxyReport(
            service="orders", router="r", epoch=1, proxy="lb0", started=1, at=0, versions={"v1": totals, "v2": totals}
        )
        self.state.read_report(report, T0 + self.windows * WINDOW_MS)

    def grow(self, step: int) -> None:
        """The open window of each partition is told once more."""
        for partition in range(PARTITIONS):
            window = self._window(partition, self.windows + 1, final=False)
            self.state.read_window(window.model_copy(update={"through": 1 + step}))

    def _window(self, partition: int, number: int, *, final: bool) -> CohortWindow:
        template = self.templates[(number * PARTITIONS + partition) % len(self.templates)]
        end = T0 + number * WINDOW_MS
        return template.model_copy(
            update={"window_start": end - WINDOW_MS, "clock_ms": end, "final": final, "partition": partition}
        )

    def look(self) -> Decision:
        """What the judge would do now."""
        cut = Cut(offsets={"cohort-windows-0": self.windows}, now=T0 + self.windows * WINDOW_MS)
        return self.machine.decide(self.state, cut)


def yardstick_ms() -> float:
    """CPU milliseconds that a million multiplications in a Python loop take now: what a shared machine makes of them."""
    began, total = time.process_time(), 0
    for i in range(1_000_000):
        total += i * i
    return 1000 * (time.process_time() - began)


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a piece of news: to read it (decoded), to look, and to tell people what was seen."""

    read: Cost
    look: Cost
    tell: Cost


def measure(rollout: Rollout, news: Callable[[int], None]) -> Costs:
    """Looks after each piece of news."""
    moments = np.zeros((LOOKS, 4))
    for step in range(LOOKS):
        moments[step, 0] = time.process_time()
        news(step)
        moments[step, 1] = time.process_time()
        decision = rollout.look()
        moments[step, 2] = time.process_time()
        assert decision.view.checks  # noqa: S101 - asked for, so that it is worked out
        moments[step, 3] = time.process_time()
    steps = 1000 * np.diff(moments, axis=1)
    return Costs(*(Cost(float(np.median(column)), float(np.quantile(column, 0.99))) for column in steps.T))


def table() -> str:
    """One row for each length."""
    rollout, rows, yardsticks = Rollout(), [], [yardstick_ms()]
    for length, windows in LASTS.items():
        while rollout.windows < windows:
            rollout.close()
            if rollout.windows % 60 == 0:
                rollout.look()
        rollout.look()
        nothing = measure(rollout, lambda _: None)
        grown = measure(rollout, rollout.grow)
        final = measure(rollout, lambda _: rollout.close())
        looks = f"{nothing.look} | {grown.look} | {final.look}"
        rows.append(f"| {length} | {windows} | {looks} | {final.read} | {final.tell} |")
        yardsticks.append(yardstick_ms())
    head = (
        "| after | windows | look: no news | look: an open window grew | look: a window closed | to fold what closed | to tell people |\n"
        "|---|---|---|---|---|---|---|"
    )
    told = (
        f"CPU milliseconds, median / p99 of {LOOKS} looks; the target of a look is < 1. {machine()}. Meanwhile a million "
        f"multiplications in a Python loop took {statistics.median(yardsticks):.0f} ms. *To fold*: what is done when the final "
        "windows of both partitions and a proxy's report are read, without decoding them. *To tell*: intervals, figures and the "
        "page's picture after such a look, which the judge works out once a second and for an entry."
    )
    return f"{told}\n\n{head}\n" + "\n".join(rows)


def main() -> None:
    """Print the table, and write it down if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    text = table()
    print(text)
    if args.write:
        write_section(TITLE, "python -m bench.look --write", text)


if __name__ == "__main__":
    main()
