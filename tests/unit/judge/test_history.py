"""Failures of a version over time: what was before a rollout, and what is now."""

from hypothesis import given
from hypothesis import strategies as st

from judge.history import KEPT_MS, History
from schemas.windows import Cell


def cell(version: str, ok: int, bad: int = 0, label: str = "-") -> Cell:
    return Cell(version=version, label=label, outcomes={"ok": ok, "rpc_error": bad, "cancelled": 5})


def test_all_sessions_of_a_version_count_whatever_their_label() -> None:
    history = History()
    history.add(1000, [cell("v1", 9, 1), cell("v1", 4, 1, "1.1.session.0123456789abcdef"), cell("v2", 7)])
    history.add(2000, [cell("v1", 10)])
    assert history.failures("v1", 0, 2000) == (25, 2)
    assert history.failures("v1", 1000, 2000) == (10, 0)
    assert history.failures("v1", 0, 1999) == (15, 2)
    assert history.failures("v9", 0, 2000) == (0, 0)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20), st.integers(0, 20)), max_size=20), st.data())
def test_any_stretch_is_the_sum_of_its_windows(steps: list[tuple[int, int, int]], data: st.DataObject) -> None:
    history, now, rows = History(), 0, []
    for gap, ok, bad in steps:
        now += gap
        history.add(now, [cell("v1", ok, bad)])
        rows.append((now, ok + bad, bad))
    start = data.draw(st.integers(0, now + 1))
    end = data.draw(st.integers(start, now + 2))
    inside = [(n, bad) for at, n, bad in rows if start < at <= end]
    assert history.failures("v1", start, end) == (sum(n for n, _ in inside), sum(bad for _, bad in inside))


def test_what_is_older_than_any_rollout_is_let_go_and_sums_stay_right() -> None:
    history, step = History(), KEPT_MS // 1000
    for number in range(1, 8193):
        history.add(number * step, [cell("v1", 1)])
    assert len(history._versions["v1"].end_ms) < 6000
    assert history.failures("v1", 8000 * step, 8192 * step) == (192, 0)


def test_a_version_that_nobody_serves_any_more_is_let_go() -> None:
    history, step = History(), KEPT_MS // 1000
    history.add(step, [cell("v0", 9)])
    for number in range(2, 4097):
        history.add(number * step, [cell("v1", 1)])
    assert list(history._versions) == ["v1"]
    assert history.failures("v0", 0, step) == (0, 0)
    history.add(4097 * step, [cell("v0", 5, 1)])
    assert history.failures("v0", 4096 * step, 4097 * step) == (6, 1)
