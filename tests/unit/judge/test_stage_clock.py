"""A stage's clock: data time from the last acknowledgement, without the time held."""

from hypothesis import given
from hypothesis import strategies as st

from judge.rollout.stage_clock import stage_clock, stage_starts
from schemas.decisions import Acknowledgement, LedgerEntry
from tests.builders import entry

T0 = 1_000_000
START = entry("start", now=T0)
PROCEED = entry("proceed", START, now=T0 + 20_000)


def acknowledged(*entries: tuple[LedgerEntry, int]) -> dict[str, Acknowledgement]:
    return {e.id: Acknowledgement(entry=e.id, partition=0, offset=i, at=at) for i, (e, at) in enumerate(entries)}


def test_before_the_acknowledgement_no_time_passes() -> None:
    clock = stage_clock([START], {}, T0 + 50_000)
    assert clock.acknowledged is None
    assert clock.elapsed_s == 0


def test_time_is_that_of_the_windows_not_of_the_machine() -> None:
    acks = acknowledged((START, T0 + 1_000))
    assert stage_clock([START], acks, None).elapsed_s == 0
    assert stage_clock([START], acks, T0).elapsed_s == 0
    assert stage_clock([START], acks, T0 + 6_000).elapsed_s == 5


def test_each_stage_has_a_clock_of_its_own() -> None:
    acks = acknowledged((START, T0), (PROCEED, T0 + 21_000))
    assert stage_clock([START, PROCEED], acks, T0 + 30_000).elapsed_s == 9
    assert stage_starts([START, PROCEED], acks) == (T0, T0 + 21_000)
    assert stage_starts([START, PROCEED], acknowledged((START, T0))) == (T0,)


def test_a_stage_whose_own_route_was_overtaken_counts_from_the_next_entrys() -> None:
    approve = entry("approve", START, now=T0 + 1, approves="2")
    assert stage_clock([START, approve], acknowledged((approve, T0 + 2_000)), T0 + 5_000).elapsed_s == 3


def test_a_retried_stage_counts_anew_and_keeps_its_start() -> None:
    retry = entry("retry", START, now=T0 + 20_000)
    acks = acknowledged((START, T0), (retry, T0 + 21_000))
    assert stage_clock([START, retry], acks, T0 + 25_000).elapsed_s == 4
    assert stage_starts([START, retry], acks) == (T0,)


def test_holds_that_overlap_are_counted_once() -> None:
    first = entry("hold", START, now=T0 + 2_000)
    second = entry("hold", first, now=T0 + 3_000)
    resume = entry("resume", second, now=T0 + 6_000)
    acks = acknowledged((START, T0))
    assert stage_clock([START, first, second], acks, T0 + 5_000).held == second
    assert stage_clock([START, first, second], acks, T0 + 5_000).elapsed_s == 2
    over = stage_clock([START, first, second, resume], acks, T0 + 10_000)
    assert over.held is None
    assert over.elapsed_s == 6


@given(st.lists(st.integers(1, 1000), max_size=8), st.integers(0, 5000))
def test_elapsed_is_never_more_than_what_passed_and_holds_never_make_it_go_back(gaps: list[int], frontier: int) -> None:
    entries, now = [START], T0
    for i, gap in enumerate(gaps):
        now += gap
        entries.append(entry("resume" if i % 2 else "hold", entries[-1], now=now))
    acks = acknowledged((START, T0))
    ends = [T0, T0 + frontier, T0 + frontier + 500]
    elapsed = [stage_clock(entries, acks, end).elapsed_s for end in ends]
    assert elapsed == sorted(elapsed)
    assert all(0 <= e <= (end - T0) / 1000 for e, end in zip(elapsed, ends, strict=True))
