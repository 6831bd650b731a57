"""A server reads the ledger as everybody else does: the same entries hold, and it is told where the rollout stands."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from davylamp_sdk import Rollout
from davylamp_sdk._entry import Entry
from davylamp_sdk._message import canonical_json
from davylamp_sdk._rollout import ServiceFold
from schemas.control import RolloutView
from schemas.decisions import EntryKind, LedgerEntry, _id_of
from schemas.ledger import Accepted, Ledger
from tests.builders import entry, opening
from tests.unit.schemas.test_ledger import KINDS

START = entry("start")
PROCEED = entry("proceed", START, now=2)


def folded(*records: LedgerEntry | bytes) -> ServiceFold:
    fold = ServiceFold("orders")
    for record in records:
        fold = fold.read_entry(record if isinstance(record, bytes) else record.dump())
    return fold


def told(*entries: LedgerEntry) -> Rollout:
    return folded(*entries).rollout


def test_before_the_first_rollout_there_is_nothing_to_tell() -> None:
    assert told() == Rollout(service="orders")


def test_a_server_is_told_stage_share_versions_and_why() -> None:
    assert told(START, PROCEED) == Rollout(
        service="orders",
        number=1,
        phase="running",
        stage=2,
        share=5_000,
        baseline="v1",
        canary="v2",
        reason="It is a proceed.",
        actor="judge",
        decided_at=2,
    )


def test_after_a_promotion_the_canary_is_the_baseline_and_after_a_rollback_it_is_not() -> None:
    complete = entry("complete", PROCEED, now=3)
    assert (told(START, PROCEED, complete).phase, told(START, PROCEED, complete).baseline) == ("completed", "v2")
    back = told(START, PROCEED, entry("rollback", START, now=3))
    assert (back.phase, back.baseline, back.canary, back.share) == ("rolled_back", "v1", "v2", 0)


def test_a_freeze_is_told() -> None:
    assert told(START, entry("freeze", START, now=2)).frozen


def test_another_services_entries_change_nothing() -> None:
    assert folded(entry("start", service="billing")) == ServiceFold("orders")


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b"{not json",
        b"[" * 100_000,
        START.dump().replace(b'"kind":"start"', b'"kind":"begin"'),
        START.dump().replace(b'"v":1', b'"v":2'),
        START.dump().replace(b'"share":2000', b'"share":20000'),
        START.dump().replace(b'"stage":1', b'"stage":-1'),
        START.dump().replace(b'"rollout":1', b'"rollout":true'),
        START.dump().replace(b'"20%"', b'"a fifth"'),
        START.dump().replace(b'"baseline":"v1"', b'"baseline":7'),
    ],
)
def test_what_is_no_entry_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the parser says
        folded(garbage)


def test_an_entry_of_a_later_version_of_the_code_holds_by_the_id_of_what_was_written() -> None:
    content = {key: value for key, value in json.loads(START.dump()).items() if key != "id"} | {"new": {"a": [1.5]}}
    newer = canonical_json(content | {"id": _id_of(content)})
    assert folded(newer).rollout.phase == "running"
    assert isinstance(Ledger().read(LedgerEntry.read(newer), 0)[1], Accepted)


def view(**changes: Any) -> bytes:
    fields = {"service": "orders", "rollout": 1, "score": 71.5, "waiting_for": "more sessions", "looked_at": 5}
    return RolloutView.model_validate(fields | changes).dump()


def test_the_judges_score_and_what_it_waits_for_are_told_beside_the_ledger() -> None:
    rollout = folded(START).read_view(view()).rollout
    assert (rollout.score, rollout.waiting_for, rollout.looked_at) == (71.5, "more sessions", 5)


def test_what_the_judge_said_of_an_older_rollout_or_another_service_is_not_told() -> None:
    fold = folded(START)
    assert fold.read_view(view(rollout=0)).rollout == fold.rollout
    assert fold.read_view(view(service="billing")) is fold


def test_that_the_judge_has_looked_again_is_no_change() -> None:
    fold = folded(START)
    assert fold.read_view(view()).rollout == fold.read_view(view(looked_at=9)).rollout
    assert fold.read_view(view()).rollout != fold.read_view(view(score=70)).rollout


@pytest.mark.parametrize("garbage", [b"", b"{}", b"[]", b'{"service": "orders", "rollout": "x", "looked_at": 1}'])
def test_what_is_no_view_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the parser says
        folded().read_view(garbage)


steps = st.lists(
    st.tuples(
        st.sampled_from((*KINDS, "freeze", "unfreeze")),
        st.integers(0, 5),
        st.sampled_from(
            [
                {},
                {},
                {},
                {},
                {"stage": 2},
                {"share": 5_000},
                {"canary": "v3"},
                {"baseline": "v2"},
                {"rollout": 2},
                {"approves": "promote"},
                {"opening": opening("v3", approve=["start"])},
                {"service": "billing"},
            ]
        ),
        st.sampled_from(["as it is", "as it is", "as it is", "forged"]),
    ),
    max_size=14,
)


@given(steps)
@example([("start", 0, {}, "as it is"), ("proceed", 1, {}, "as it is"), ("complete", 1, {}, "as it is")])
def test_whatever_the_log_holds_a_server_accepts_what_everybody_accepts(
    log: list[tuple[EntryKind, int, dict[str, Any], str]],
) -> None:
    written: list[LedgerEntry] = []
    ledger, fold = Ledger(), ServiceFold("orders")
    for now, (kind, back, changes, how) in enumerate(log):
        last = written[-back] if 0 < back <= len(written) else None
        lawful = {"approves": "2"} if kind == "approve" else {}
        item = entry(kind, last, now=now + 1, **{**lawful, **changes})
        if how == "forged":
            item = item.model_copy(update={"share": 9_999})
        written.append(item)
        ledger, result = ledger.read(LedgerEntry.read(item.dump()), now)
        after = fold.read_entry(item.dump())
        if item.service == "orders":
            assert (after is not fold) == isinstance(result, Accepted)
        fold = after
    everybodys = ledger.of("orders")
    assert (fold.head.id if fold.head else "") == everybodys.head_id
    standing = everybodys.standing
    assert [getattr(fold.standing, name) for name in PLAIN] == [getattr(standing, name) for name in PLAIN]


PLAIN = ("phase", "rollout", "stage", "share", "baseline", "own_baseline", "canary", "approved", "frozen", "rejected")


@pytest.mark.parametrize("item", [START, PROCEED, entry("start", opening=opening(approve=["start", "2", "promote"]))])
def test_a_plan_says_the_same_of_its_stages_as_the_contracts_does(item: LedgerEntry) -> None:
    read = Entry.read(item.dump())
    assert read.derived_id() == item.derived_id() == item.id
    if item.opening is not None:
        assert read.opening is not None
        plan = item.opening.plan
        assert [read.opening.plan.share_of(n) for n in range(6)] == [plan.share_of(n) for n in range(6)]
        assert read.opening.plan.approve == set(plan.approve)
