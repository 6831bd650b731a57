"""One client that fails all at once is added to traffic that is healthy, and to nothing else of it."""

from collections.abc import Iterator

import numpy as np
import pytest

from bench.judge import one_client
from bench.judge.faults import FAULTS
from bench.judge.one_client import FIRST, MANY, ends, table, with_client
from bench.judge.traffic import STARTS_S, WINDOW_S, Cuts, stream

HEALTHY = stream(1.0, FAULTS["none"], 0)


def test_its_calls_are_in_one_bucket_of_one_minute_of_the_canarys_last_stage() -> None:
    added = with_client(HEALTHY, 400, seed=7).table - HEALTHY.table
    windows, cells, buckets, columns = np.nonzero(added)
    assert added[..., 0].sum() == added[..., 1].sum() == 400
    assert (windows.min(), windows.max()) == (FIRST, FIRST + MANY - 1)
    assert STARTS_S[-1] + 3000 == FIRST * WINDOW_S
    assert {*cells.tolist()} == {5}
    assert len({*buckets.tolist()}) == 1
    assert {*columns.tolist()} == {0, 1}


def test_no_calls_are_no_client() -> None:
    assert np.array_equal(with_client(HEALTHY, 0, seed=7).table, HEALTHY.table)


def test_the_policy_looks_from_the_clients_minute_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_client, "FIRST", 12)
    short = Cuts(horizon_s=120.0)
    outage, healthy = (stream(10.0, FAULTS[name], 0, short.horizon_s, short) for name in ("outage", "none"))
    assert ends(outage, 0, (0,), 1) == [True]
    assert ends(healthy, 0, (0,), 2) == [False]


def test_a_row_counts_the_rollouts_of_a_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    told: Iterator[list[bool]] = iter([[True, True], [False, True]] * 2)
    monkeypatch.setattr(one_client, "ends", lambda *_: next(told))
    monkeypatch.setattr(one_client, "stream", lambda *_: HEALTHY)
    assert [*table(2, (0.05,), (0, 400))] == [
        "| both versions fail | revision | no such client | 400 calls |",
        "|---|---|---|---|",
        "| 5.0% | 1 | 1 of 2 | 2 of 2 |",
        "| 5.0% | 2 | 1 of 2 | 2 of 2 |",
    ]
