"""The chain rule, over hand-made cases and random logs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decisions import EntryKind, LedgerEntry
from schemas.ledger import Accepted, Ledger, ServiceLedger, Void
from schemas.standing import TRANSITIONS, Phase
from tests.builders import entry, opening


def read_all(*entries: LedgerEntry) -> tuple[ServiceLedger, list[bool]]:
    chain, accepted = ServiceLedger(), []
    for offset, item in enumerate(entries):
        chain, result = chain.read(item, offset)
        accepted.append(isinstance(result, Accepted))
    return chain, accepted


START = entry("start")


def test_an_entry_that_follows_the_head_becomes_the_head() -> None:
    proceed = entry("proceed", START, now=2)
    chain, accepted = read_all(START, proceed)
    assert accepted == [True, True]
    assert chain.head == proceed
    assert chain.offset == 1


def test_an_entry_that_follows_anything_else_is_void_and_says_why() -> None:
    chain, _ = read_all(START)
    late = entry("proceed", now=2, rollout=1)
    unchanged, result = chain.read(late, 7)
    assert unchanged is chain
    assert isinstance(result, Void)
    assert "the head is" in result.reason


def test_the_second_of_two_rival_entries_is_void() -> None:
    _, accepted = read_all(START, entry("proceed", START, now=2), entry("complete", START, now=3))
    assert accepted == [True, True, False]


def test_a_rollback_is_accepted_at_any_head_of_its_rollout() -> None:
    proceed = entry("proceed", START, now=2)
    chain, accepted = read_all(START, proceed, entry("rollback", START, now=3))
    assert accepted == [True, True, True]
    assert chain.head is not None
    assert chain.head.kind == "rollback"


def test_a_rollout_is_rolled_back_once() -> None:
    _, accepted = read_all(START, entry("rollback", START, now=2), entry("rollback", START, now=3))
    assert accepted == [True, True, False]


def test_a_rollback_of_an_older_rollout_is_void() -> None:
    back = entry("rollback", START, now=2)
    again = entry("start", back, now=3)
    _, accepted = read_all(START, back, again, entry("rollback", START, now=4))
    assert accepted == [True, True, True, False]


def test_a_rollback_before_any_rollout_is_void() -> None:
    assert read_all(entry("rollback"))[1] == [False]


def test_an_entry_whose_id_does_not_follow_from_its_content_is_void() -> None:
    assert read_all(START.model_copy(update={"id": "0" * 32}))[1] == [False]


def test_a_start_without_its_opening_is_void() -> None:
    assert read_all(START.model_copy(update={"opening": None}))[1] == [False]


def test_the_baseline_is_the_canary_after_completion_and_the_old_one_after_a_rollback() -> None:
    assert read_all(START)[0].baseline == "v1"
    assert read_all(START, entry("complete", START, now=2))[0].baseline == "v2"
    assert read_all(START, entry("rollback", START, now=2))[0].baseline == "v1"
    assert ServiceLedger().baseline is None


def test_services_have_chains_of_their_own() -> None:
    other = entry("start", service="billing")
    ledger, first = Ledger().read(START, 0)
    ledger, second = ledger.read(other, 1)
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert ledger.of("orders").head == START
    assert ledger.of("billing").head == other


PENDING = entry("start", opening=opening(approve=["start"]))
COMPLETE = entry("complete", START, now=2)
BACK = entry("rollback", START, now=2)

ROUTES: dict[Phase, list[LedgerEntry]] = {
    "pending": [PENDING],
    "running": [START],
    "held": [START, entry("hold", START, now=2)],
    "rolled_back": [START, BACK],
    "drained": [START, BACK, entry("drained", BACK, now=3)],
    "completed": [START, COMPLETE],
    "retired": [START, COMPLETE, entry("retire", COMPLETE, now=3)],
}
"""One way to each phase."""

KINDS: tuple[EntryKind, ...] = (
    "start",
    "approve",
    "proceed",
    "retry",
    "hold",
    "resume",
    "rollback",
    "drained",
    "complete",
    "retire",
)


def follower(kind: EntryKind, last: LedgerEntry) -> LedgerEntry:
    return entry(kind, last, now=9, approves="2" if kind == "approve" else None)


@pytest.mark.parametrize("phase", ROUTES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_table_does_not_list_is_void_and_what_it_lists_leads_where_it_says(
    phase: Phase, kind: EntryKind
) -> None:
    chain, _ = read_all(*ROUTES[phase])
    assert chain.standing.phase == phase
    after, result = chain.read(follower(kind, ROUTES[phase][-1]), 9)
    if kind in TRANSITIONS[phase]:
        assert isinstance(result, Accepted)
        assert after.standing.phase == TRANSITIONS[phase][kind]
    else:
        assert isinstance(result, Void)
        assert phase in result.reason
        assert after is chain


@pytest.mark.parametrize("phase", ROUTES)
def test_a_frozen_service_takes_no_start_and_everything_else_as_before(phase: Phase) -> None:
    freeze = entry("freeze", ROUTES[phase][-1], now=8)
    chain, _ = read_all(*ROUTES[phase], freeze)
    assert chain.standing.frozen
    assert chain.standing.phase == phase
    for kind in KINDS:
        legal = kind in TRANSITIONS[phase] and kind != "start"
        assert isinstance(chain.read(follower(kind, freeze), 9)[1], Accepted) is legal
    thawed, _ = chain.read(entry("unfreeze", freeze, now=9), 9)
    assert not thawed.standing.frozen


def test_a_version_that_was_rolled_back_is_remembered_until_it_is_started_again() -> None:
    back = entry("rollback", START, now=2)
    assert read_all(START, back)[0].standing.rejected == {"v2"}
    other = entry("start", back, now=3, canary="v3")
    assert read_all(START, back, other)[0].standing.rejected == {"v2"}
    again = entry("start", back, now=3)
    assert read_all(START, back, again)[0].standing.rejected == set()


def test_an_undone_promotion_gives_the_old_baseline_back() -> None:
    complete = entry("complete", START, now=2)
    chain, _ = read_all(START, complete, entry("rollback", complete, now=3))
    assert chain.baseline == "v1"
    assert chain.standing.share == 0


def test_approvals_are_kept() -> None:
    approve = entry("approve", START, now=2, approves="promote")
    assert read_all(START, approve)[0].standing.approved == {"promote"}


def test_an_entry_of_the_wrong_rollout_is_void() -> None:
    assert read_all(START, entry("proceed", START, now=2, rollout=2))[1] == [True, False]
    assert read_all(entry("start", rollout=2))[1] == [False]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 6)), max_size=25))
def test_any_log_gives_every_reader_the_same_chain_and_each_entry_follows_one_it_may_follow(
    steps: list[tuple[EntryKind, int]],
) -> None:
    log: list[LedgerEntry] = []
    for now, (kind, back) in enumerate(steps):
        last = log[-back] if 0 < back <= len(log) else None
        approves = "2" if kind == "approve" else None
        log.append(entry(kind, last, now=now + 1, approves=approves))
    chain, accepted = read_all(*log)
    assert chain.entries == tuple(e for e, ok in zip(log, accepted, strict=True) if ok)
    for previous, item in pairwise(chain.entries):
        assert item.after == previous.id or (item.kind == "rollback" and item.rollout == previous.rollout)
        assert (previous.kind, item.kind) != ("rollback", "rollback")
    assert read_all(*chain.entries)[0].standing == chain.standing
