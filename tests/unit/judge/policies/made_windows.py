"""Makers of cohort windows of a rollout, as streams publishes them."""

from collections.abc import Mapping
from typing import Any

from davylamp_sdk._event import Outcome
from schemas.labels import Label
from schemas.windows import Bucket, Cell, CohortWindow, Metric
from tests.builders import SEED

T0 = 1_000_000
WINDOW_MS = 5_000
ROLLOUT = 1


def cell(  # noqa: PLR0913 - each names what a cell counts
    version: str,
    ok: int,
    bad: int = 0,
    *,
    stage: int = 1,
    rollout: int = ROLLOUT,
    outcome: Outcome = "rpc_error",
    tool_failures: int = 0,
    bin_: int = 1000,
    metrics: Mapping[str, Metric] | None = None,
) -> Cell:
    """So many good and bad requests of one cohort, spread over all buckets, all of them tool calls and equally fast."""
    n = ok + bad
    share = [(n // 64 + (i < n % 64), bad // 64 + (i < bad % 64), tool_failures if i == 0 else 0) for i in range(64)]
    return Cell(
        version=version,
        label=str(Label.make(SEED, rollout, stage, version, "session")),
        outcomes={"ok": ok, outcome: bad} if bad else {"ok": ok},
        tool_calls=n,
        new_sessions=min(n, 1),
        buckets={i: Bucket(n=c, err=e, tools=c, tf=f, lat=c) for i, (c, e, f) in enumerate(share) if c},
        histogram={bin_: n} if n else {},
        metrics=dict(metrics or {}),
    )


def window(
    index: int, *cells: Cell, partition: int = 0, partitions: int = 1, final: bool = True, **more: Any
) -> CohortWindow:
    """The `index`-th window after T0, of one source partition."""
    start = T0 + index * WINDOW_MS
    fields: dict[str, Any] = {
        "service": "orders",
        "source": "mcp-requests",
        "partition": partition,
        "partitions": partitions,
        "window_start": start,
        "window_ms": WINDOW_MS,
        "first_offset": index,
        "through": index + 1,
        "clock_ms": start + WINDOW_MS,
        "final": final,
        "instance": "streams-0",
        "cells": cells,
    }
    return CohortWindow.model_validate(fields | more)


def constant(n: int, baseline: tuple[int, int], canary: tuple[int, int], **more: Any) -> list[CohortWindow]:
    """`n` windows that all say the same: (good, bad) of each cohort."""
    return [window(i, cell("v1", *baseline, **more), cell("v2", *canary, **more)) for i in range(n)]
