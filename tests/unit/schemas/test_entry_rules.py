"""What an entry must say: every other stage, share or version is void for all readers, with a reason."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from davylamp_sdk._message import canonical_json
from schemas.decisions import EntryKind, LedgerEntry, _id_of
from schemas.entry_rules import RULES
from schemas.ledger import Accepted, ServiceLedger, Void
from schemas.standing import TRANSITIONS
from tests.builders import entry, opening

START = entry("start")
PENDING = entry("start", opening=opening(approve=["start"]))
PROCEED = entry("proceed", START, now=2)
HOLD = entry("hold", PROCEED, now=3)
COMPLETE = entry("complete", PROCEED, now=3)
RETIRE = entry("retire", COMPLETE, now=4)
BACK = entry("rollback", PROCEED, now=3)
DRAINED = entry("drained", BACK, now=4)
FREEZE = entry("freeze", now=1, stage=0)

TO: dict[str, list[LedgerEntry]] = {
    "nothing": [],
    "a freeze": [FREEZE],
    "a start that waits": [PENDING],
    "stage 1": [START],
    "stage 2": [START, PROCEED],
    "a hold": [START, PROCEED, HOLD],
    "100 %": [START, PROCEED, COMPLETE],
    "a retired rollout": [START, PROCEED, COMPLETE, RETIRE],
    "a rollback": [START, PROCEED, BACK],
    "a drained one": [START, PROCEED, BACK, DRAINED],
}


def chain(at: str) -> ServiceLedger:
    ledger = ServiceLedger()
    for offset, item in enumerate(TO[at]):
        ledger, result = ledger.read(item, offset)
        assert isinstance(result, Accepted), result
    return ledger


def reason(at: str, kind: EntryKind, **changes: Any) -> str:
    """Why an entry that would hold, but for `changes`, is void."""
    ledger, last = chain(at), TO[at][-1] if TO[at] else None
    lawful = {"approves": "2"} if kind == "approve" else {}
    assert isinstance(ledger.read(entry(kind, last, now=9, **lawful), 9)[1], Accepted)
    after, result = ledger.read(entry(kind, last, now=9, **{**lawful, **changes}), 9)
    assert isinstance(result, Void)
    assert after is ledger
    return result.reason


@pytest.mark.parametrize(
    ("at", "kind", "changes", "words"),
    [
        ("nothing", "start", {"stage": 0, "share": 0}, "leads to stage 1, not to 0"),
        ("nothing", "start", {"stage": 2, "share": 5_000}, "leads to stage 1, not to 2"),
        ("nothing", "start", {"share": 2_001}, "a share of 2000, not 2001"),
        ("nothing", "start", {"share": 0}, "a share of 2000, not 0"),
        ("nothing", "start", {"opening": opening(approve=["start"]), "stage": 1, "share": 2_000}, "leads to stage 0"),
        ("nothing", "start", {"canary": "v3", "opening": opening("v2")}, "the canary is v2, not v3"),
        ("nothing", "start", {"baseline": "v3"}, "the baseline is v1, not v3"),
        ("nothing", "start", {"opening": opening("v1")}, "canary v1 is the baseline already"),
        ("nothing", "start", {"opening": opening(service="billing")}, "its plan is for billing"),
        ("nothing", "freeze", {"stage": 1}, "there is no rollout"),
        ("nothing", "freeze", {"stage": 0, "share": 100}, "there is no rollout"),
        ("a freeze", "unfreeze", {"share": 100}, "there is no rollout"),
        ("a start that waits", "proceed", {"stage": 2, "share": 5_000}, "leads to stage 1, not to 2"),
        ("a start that waits", "approve", {"stage": 1}, "leads to stage 0"),
        ("stage 1", "proceed", {"stage": 1, "share": 2_000}, "leads to stage 2, not to 1"),
        ("stage 1", "proceed", {"stage": 3, "share": 10_000}, "leads to stage 2, not to 3"),
        ("stage 1", "proceed", {"share": 10_000}, "a share of 5000, not 10000"),
        ("stage 1", "proceed", {"canary": "v3"}, "the canary is v2, not v3"),
        ("stage 1", "complete", {"stage": 2}, "leads to stage 3, not to 2"),
        ("stage 1", "complete", {"share": 5_000}, "a share of 10000, not 5000"),
        ("stage 1", "hold", {"share": 5_000}, "a share of 2000, not 5000"),
        ("stage 1", "hold", {"stage": 2}, "leads to stage 1"),
        ("stage 1", "retry", {"share": 1}, "a share of 2000"),
        ("stage 1", "rollback", {"share": 2_000}, "a share of 0, not 2000"),
        ("stage 1", "rollback", {"baseline": "v2"}, "the baseline is v1, not v2"),
        ("stage 1", "freeze", {"share": 0}, "a share of 2000"),
        ("a hold", "resume", {"stage": 3}, "leads to stage 2"),
        ("a hold", "resume", {"share": 10_000}, "a share of 5000"),
        ("100 %", "rollback", {"baseline": "v2"}, "the baseline is v1, not v2"),
        ("100 %", "retire", {"baseline": "v2"}, "the baseline is v1, not v2"),
        ("100 %", "retire", {"share": 0}, "a share of 10000"),
        ("100 %", "start", {"baseline": "v1"}, "the baseline is v2, not v1"),
        ("100 %", "start", {"opening": opening("v2")}, "canary v2 is the baseline already"),
        ("a retired rollout", "start", {"baseline": "v1"}, "the baseline is v2, not v1"),
        ("a retired rollout", "unfreeze", {"stage": 0}, "leads to stage 3"),
        ("a rollback", "drained", {"share": 5_000}, "a share of 0"),
        ("a rollback", "start", {"baseline": "v3"}, "the baseline is v1, not v3"),
        ("a drained one", "start", {"baseline": "v2"}, "the baseline is v1, not v2"),
    ],
)
def test_whatever_does_not_follow_from_the_plan_is_void_and_says_what_would(
    at: str, kind: EntryKind, changes: dict[str, Any], words: str
) -> None:
    assert words in reason(at, kind, **changes)


def test_no_stage_follows_the_last_one_but_100_percent() -> None:
    ledger = chain("stage 2")
    _, result = ledger.read(entry("proceed", PROCEED, now=9, stage=3, share=10_000), 9)
    assert isinstance(result, Void)
    assert result.reason == "a proceed from stage 2 is not possible: the plan has 2 stages"


def test_a_rollback_by_somebody_who_saw_an_earlier_stage_holds_and_the_stage_is_the_ledgers() -> None:
    ledger, result = chain("stage 2").read(entry("rollback", START, now=9), 9)
    assert isinstance(result, Accepted)
    assert result.entry.stage == 1
    assert (ledger.standing.stage, ledger.standing.share) == (2, 0)
    _, result = ledger.read(entry("drained", result.entry, now=10, stage=2), 10)
    assert isinstance(result, Accepted)


def test_every_kind_of_entry_has_a_rule() -> None:
    assert set(RULES) == set(get_args(EntryKind))


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(get_args(EntryKind)), st.integers(0, 4), st.integers(0, 10_000)), max_size=12
    ),
    waits=st.booleans(),
)
def test_whatever_anybody_writes_the_share_is_the_plans_or_nobodys(
    *, steps: list[tuple[EntryKind, int, int]], waits: bool
) -> None:
    """Writers that make stages and shares up move nothing but what the plan moves by itself."""
    first = PENDING if waits else START
    ledger, _ = ServiceLedger().read(first, 0)
    for now, (kind, stage, share) in enumerate(steps, start=2):
        for drawn in ({"stage": stage, "share": share}, {}):
            approves = {"approves": "2"} if kind == "approve" else {}
            ledger, _ = ledger.read(entry(kind, ledger.head, now=now, **drawn, **approves), now)
            standing = ledger.standing
            assert standing.opening is not None
            assert standing.share in {0, standing.opening.plan.share_of(standing.stage)}
            assert (standing.share > 0) == (standing.phase in ("running", "held", "completed", "retired"))
            assert standing.phase is not None
            assert standing.phase in TRANSITIONS


# Other versions of the code.


def test_an_entry_of_a_newer_version_holds_although_not_all_of_it_is_understood() -> None:
    content = {**START.model_dump(mode="json", exclude_none=True, exclude={"id"}), "mood": "good"}
    newer = LedgerEntry.read(canonical_json({**content, "id": _id_of(content)}))
    assert isinstance(ServiceLedger().read(newer, 0)[1], Accepted)
    tampered = LedgerEntry.read(canonical_json({**content, "mood": "bad", "id": _id_of(content)}))
    _, result = ServiceLedger().read(tampered, 0)
    assert isinstance(result, Void)
    assert result.reason == "its id does not follow from its content"


def test_an_entry_of_an_older_version_holds_although_fields_were_added_since() -> None:
    content = START.model_dump(mode="json", exclude_none=True, exclude={"id", "hold_mode"})
    older = LedgerEntry.read(canonical_json({**content, "id": _id_of(content)}))
    assert older.hold_mode == "drain"
    assert isinstance(ServiceLedger().read(older, 0)[1], Accepted)


def test_an_entry_of_this_version_reads_as_it_was_made() -> None:
    assert LedgerEntry.read(START.dump()) == START
