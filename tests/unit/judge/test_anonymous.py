"""Under other names a recording says the same by the same numbers, and nobody's name is in it."""

import json
from typing import Any

import pytest

from judge.anonymous import NamesDecideError, anonymized
from judge.policies.choice import AsPlanned
from judge.pseudonyms import Pseudonyms
from judge.recording import header_of, records_of
from judge.rollout.machine import Machine
from judge.verdicts import ByPerson, Same
from judge.verify import Records, verify
from schemas.checks import Checks
from schemas.decisions import LedgerEntry
from schemas.labels import Label
from schemas.windows import ToolCount
from status.rollback import rollback_entry
from tests.builders import SEED, plan
from tests.records import by_topic
from tests.unit.judge.rollouts import Rollout, broken, cell, promoted, window
from transport.recording import Header

MACHINE = Machine(AsPlanned(), "0.1")
NAMES = {"orders", "v1", "v2", "v3", "anna", "127.0.0.1:8001", "127.0.0.1:8002", "lb0", "zombie", "search", "hm"}


def anonymous(rollout: Rollout, key: bytes = b"key") -> tuple[Header, Records, Header, Records]:
    header = header_of(rollout.tapes, "orders", None)
    records = by_topic(records_of(rollout.tapes, header))
    other, renamed = anonymized(header, records, key, MACHINE)
    return header, records, other, {topic: [*told] for topic, told in renamed.items()}


def texts(content: Any) -> set[str]:
    """Every key and every string in it, and the words of each."""
    if isinstance(content, dict):
        return {*content, *(text for value in content.values() for text in texts(value))}
    if isinstance(content, list):
        return {text for value in content for text in texts(value)}
    return {content, *content.split()} if isinstance(content, str) else set()


def entries(records: Records) -> list[LedgerEntry]:
    return [LedgerEntry.read(record.value or b"") for record in records["rollout-decisions"]]


async def with_tools() -> Rollout:
    rollout = await broken()
    busy = cell("v1", 1, 8, 0).model_copy(update={"tools": {"search": ToolCount(n=3)}, "tool_calls": 3})
    await rollout.put("cohort-windows", window(rollout.clock.now_ms() + 9000, busy, dropped={"s": 1}))
    return rollout


@pytest.mark.parametrize("make", [promoted, broken])
async def test_every_entry_follows_from_its_cut_as_before(make: Any) -> None:
    header, records, other, renamed = anonymous(await make())
    before = verify(records, header.service, 1, MACHINE)
    after = verify(renamed, other.service, 1, MACHINE)
    assert other.anonymized
    assert [type(v) for v in after] == [type(v) for v in before]
    assert {type(v) for v in after} == {Same}


async def test_numbers_are_kept_and_names_are_not() -> None:
    _, records, other, renamed = anonymous(await with_tools())
    assert not NAMES & texts(json.loads(other.dump()))
    for topic, told in renamed.items():
        assert [(r.partition, r.offset, r.timestamp_ms) for r in told] == [
            (r.partition, r.offset, r.timestamp_ms) for r in records.get(topic, ())
        ]
        for record in told:
            assert record.key == other.service.encode()
            assert not NAMES & texts(json.loads(record.value or b"{}")), topic
    for had, has in zip(entries(records), entries(renamed), strict=True):
        assert (had.kind, had.stage, had.share, had.score, had.cut) == (
            has.kind,
            has.stage,
            has.share,
            has.score,
            has.cut,
        )
        assert [check.log_e_breach for check in had.checks] == [check.log_e_breach for check in has.checks]


async def test_a_persons_words_are_left_out_and_the_person_is_another() -> None:
    rollout = Rollout()
    await rollout.start()
    word = rollback_entry(
        rollout.chain, actor="anna", reason="hm", hold_mode=None, now_ms=rollout.clock.now_ms(), code_version="0.1"
    )
    await rollout.put("rollout-decisions", word)
    _, _, other, renamed = anonymous(rollout)
    assert isinstance(verify(renamed, other.service, 1, MACHINE)[-1], ByPerson)
    last = entries(renamed)[-1]
    assert last.reason.sentence == "(replaced)"
    assert last.actor.startswith("person-")


async def test_the_same_name_becomes_the_same_and_another_key_gives_others() -> None:
    rollout = await broken()
    _, _, one, records = anonymous(rollout)
    _, _, same, again = anonymous(rollout)
    _, _, other, _ = anonymous(rollout, b"another")
    assert (one, records) == (same, again)
    assert one.service != other.service
    assert {entry.canary for entry in entries(records)} == {one.plan.canary}


async def test_a_label_that_was_nobodys_stays_nobodys() -> None:
    rollout = await broken()
    forged = cell("v2", 1, 8, 8, nonce_of="v9")
    await rollout.put("cohort-windows", window(rollout.clock.now_ms() + 9000, forged))
    _, _, other, renamed = anonymous(rollout)
    (opening,) = (entry.opening for entry in entries(renamed) if entry.opening)
    assert opening.seed != SEED
    said = json.loads(renamed["cohort-windows"][-1].value or b"")["cells"][0]
    assert said["label"] != str(Label.make(opening.seed, 1, 1, other.plan.canary, "session"))
    assert said["label"].startswith("1.1.session.")


async def test_what_would_be_decided_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from judge.pseudonyms import Pseudonyms

    rollout = await broken()
    monkeypatch.setattr(Pseudonyms, "cell", lambda _, cell: cell)
    with pytest.raises(NamesDecideError, match="would be another one under other names"):
        anonymous(rollout)


def test_a_metric_that_is_called_like_a_check_is_not_made_a_check_by_another_name() -> None:
    rate = {"kind": "rate", "within": "1pp"}
    checks = Checks.model_validate({"custom": {"error_rate": rate, "misses": rate}})
    other = Pseudonyms(b"key", custom=frozenset(checks.custom)).plan(plan(checks=checks)).checks
    assert len(other.enabled) == len(checks.enabled)
    assert "misses" not in other.metrics
