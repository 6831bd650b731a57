"""A rollout's windows for tests of policies: cells as streams publish them, and the trial that reads them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from judge.trial import Trial, TrialWindow
from schemas.labels import Kind, Label
from schemas.windows import Bucket, Cell, ToolCount
from tests.builders import SEED, opening

T0 = 1_700_000_000_000
"""The rollout's first acknowledgement."""
WINDOW_MS = 1000
ROLLOUT = 1


def trial(**changes: Any) -> Trial:
    """Of the builders' plan of two stages, 20 % and 50 %."""
    return Trial.of(opening(**changes), ROLLOUT, "v1")


def spread(total: int, over: int, first: int = 0) -> list[int]:
    """As evenly as whole numbers can be, what is left over from `first` on."""
    return [total // over + ((i - first) % over < total % over) for i in range(over)]


def cell(  # noqa: PLR0913 - all of a cell that matters
    version: str,
    n: int = 0,
    bad: int = 0,
    *,
    stage: int = 1,
    kind: Kind = "session",
    buckets: int = 16,
    first: int = 0,
    tools: Mapping[str, tuple[int, int]] | None = None,
    latency: Mapping[int, int] | None = None,
    sessions: int = 1,
    **fields: Any,
) -> Cell:
    """`n` requests of which `bad` failed, tool calls by name as (calls, failed), and a histogram, over some buckets.

    `first` is the bucket that gets what is left over.
    """
    tools, latency = tools or {}, latency or {}
    calls, failed = (sum(pair[i] for pair in tools.values()) for i in (0, 1))
    parts = [spread(total, buckets, first) for total in (n, bad, calls, failed, sum(latency.values()))]
    table = zip(*parts, strict=True)
    return Cell(
        version=version,
        label=str(Label.make(SEED, ROLLOUT, stage, version, kind)),
        outcomes={"ok": n - bad, "server_error": bad},
        tool_calls=calls,
        new_sessions=sessions,
        tools={name: ToolCount(n=count, bad=wrong) for name, (count, wrong) in tools.items()},
        buckets={i: Bucket(n=a, err=b, tools=c, tf=d, lat=e) for i, (a, b, c, d, e) in enumerate(table)},
        histogram=dict(latency),
        bucket_histograms=_by_bucket(latency, buckets, first),
        bucket_floor=0 if latency else None,
        **fields,
    )


def _by_bucket(latency: Mapping[int, int], buckets: int, first: int) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    for index, count in latency.items():
        for bucket, n in enumerate(spread(count, buckets, first + index)):
            if n:
                coarse = found.setdefault(bucket, {})
                coarse[index // 4] = coarse.get(index // 4, 0) + n
    return found


def window(of: Trial, number: int, cells: Iterable[Cell]) -> TrialWindow:
    """The window that ends `number` seconds after T0."""
    return of.window(T0 + number * WINDOW_MS, WINDOW_MS, cells)


def windows(of: Trial, seconds: Sequence[Sequence[Cell]], first: int = 1) -> list[TrialWindow]:
    """One window a second."""
    return [window(of, first + i, cells) for i, cells in enumerate(seconds)]
