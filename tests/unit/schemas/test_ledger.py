"""The chain rule, over hand-made cases and random logs."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.decisions import Cut, EntryKind, LedgerEntry, Opening, Reason
from schemas.ledger import Accepted, Ledger, ServiceLedger, Void
from schemas.plan import Plan
from schemas.service import Service

SERVICE = Service.model_validate(
    {"service": "orders", "baseline": "v1", "versions": {v: {"endpoints": ["127.0.0.1:8001"]} for v in ("v1", "v2")}}
)
OPENING = Opening(plan=Plan(service="orders", canary="v2"), service=SERVICE, seed="00" * 16)


def entry(kind: EntryKind, after: str = "", rollout: int = 1, now: int = 1, service: str = "orders") -> LedgerEntry:
    return LedgerEntry.make(
        after=after,
        service=service,
        kind=kind,
        rollout=rollout,
        stage=1,
        share=0 if kind == "rollback" else 100,
        baseline="v1",
        canary="v2",
        reason=Reason(code="test", sentence="A test."),
        cut=Cut(offsets={"cohort-windows-0": now}, now=now),
        plan_hash=OPENING.plan.hash,
        actor="judge",
        code_version="0",
        opening=OPENING if kind == "start" else None,
    )


def read_all(*entries: LedgerEntry) -> tuple[ServiceLedger, list[bool]]:
    chain, accepted = ServiceLedger(), []
    for offset, item in enumerate(entries):
        chain, result = chain.read(item, offset)
        accepted.append(isinstance(result, Accepted))
    return chain, accepted


START = entry("start")


def test_an_entry_that_follows_the_head_becomes_the_head() -> None:
    proceed = entry("proceed", START.id, now=2)
    chain, accepted = read_all(START, proceed)
    assert accepted == [True, True]
    assert chain.head == proceed
    assert chain.offset == 1


def test_an_entry_that_follows_anything_else_is_void_and_says_why() -> None:
    chain, _ = read_all(START)
    late = entry("proceed", "", now=2)
    unchanged, result = chain.read(late, 7)
    assert unchanged is chain
    assert isinstance(result, Void)
    assert "the head is" in result.reason


def test_the_second_of_two_rival_entries_is_void() -> None:
    _, accepted = read_all(START, entry("proceed", START.id, now=2), entry("complete", START.id, now=3))
    assert accepted == [True, True, False]


def test_a_rollback_is_accepted_at_any_head_of_its_rollout() -> None:
    proceed = entry("proceed", START.id, now=2)
    chain, accepted = read_all(START, proceed, entry("rollback", START.id, now=3))
    assert accepted == [True, True, True]
    assert chain.head is not None
    assert chain.head.kind == "rollback"


def test_a_rollout_is_rolled_back_once() -> None:
    _, accepted = read_all(START, entry("rollback", START.id, now=2), entry("rollback", START.id, now=3))
    assert accepted == [True, True, False]


def test_a_rollback_of_an_older_rollout_is_void() -> None:
    back = entry("rollback", START.id, now=2)
    again = entry("start", back.id, rollout=2, now=3)
    _, accepted = read_all(START, back, again, entry("rollback", START.id, rollout=1, now=4))
    assert accepted == [True, True, True, False]


def test_a_rollback_before_any_rollout_is_void() -> None:
    assert read_all(entry("rollback"))[1] == [False]


def test_an_entry_whose_id_does_not_follow_from_its_content_is_void() -> None:
    assert read_all(START.model_copy(update={"id": "0" * 32}))[1] == [False]


def test_a_start_without_its_opening_is_void() -> None:
    assert read_all(START.model_copy(update={"opening": None}))[1] == [False]


def test_the_baseline_is_the_canary_after_completion_and_the_old_one_after_a_rollback() -> None:
    assert read_all(START)[0].baseline == "v1"
    assert read_all(START, entry("complete", START.id, now=2))[0].baseline == "v2"
    assert read_all(START, entry("rollback", START.id, now=2))[0].baseline == "v1"
    assert ServiceLedger().baseline is None


def test_services_have_chains_of_their_own() -> None:
    other = entry("start", service="billing")
    ledger, first = Ledger().read(START, 0)
    ledger, second = ledger.read(other, 1)
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert ledger.of("orders").head == START
    assert ledger.of("billing").head == other


@given(
    st.lists(st.tuples(st.sampled_from(["start", "proceed", "rollback", "complete"]), st.integers(0, 6)), max_size=25)
)
def test_any_log_gives_every_reader_the_same_chain_and_each_entry_follows_one_it_may_follow(
    steps: list[tuple[EntryKind, int]],
) -> None:
    log: list[LedgerEntry] = []
    for now, (kind, back) in enumerate(steps):
        after = log[-back].id if 0 < back <= len(log) else ""
        log.append(entry(kind, after, rollout=1 + now % 2, now=now + 1))
    chain, accepted = read_all(*log)
    assert chain.entries == tuple(e for e, ok in zip(log, accepted, strict=True) if ok)
    for previous, item in zip(chain.entries, chain.entries[1:], strict=False):
        assert item.after == previous.id or (item.kind == "rollback" and item.rollout == previous.rollout)
        assert (previous.kind, item.kind) != ("rollback", "rollback")
