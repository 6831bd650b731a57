"""What the router makes of the records it reads."""

import pytest
from pydantic import ValidationError

from router.fold import Fold
from router.snapshot import Offsets
from schemas.ledger import Accepted, Void
from schemas.service import Version
from tests.builders import SERVICE, entry
from transport.log import Record


def record(topic: str, offset: int, value: bytes | None, key: bytes = b"orders", partition: int = 0) -> Record:
    return Record(topic, partition, offset, 1, key, value)


START = entry("start")
MOVED = SERVICE.model_copy(update={"versions": {"v1": Version(endpoints=("127.0.0.1:9001",))}})


def fold(*records: Record) -> Fold:
    state = Fold()
    for item in records:
        state, _ = state.read(item)
    return state


def test_entries_and_services_are_folded_with_the_offsets_they_reach() -> None:
    state = fold(record("services", 3, SERVICE.dump()), record("rollout-decisions", 7, START.dump()))
    assert state.services == {"orders": SERVICE}
    assert state.ledger.of("orders").head == START
    assert state.offsets == Offsets(ledger=8, services=4)


def test_the_newest_file_of_a_service_holds() -> None:
    state = fold(record("services", 0, SERVICE.dump()), record("services", 1, MOVED.dump()))
    assert state.services == {"orders": MOVED}


def test_a_tombstone_takes_a_service_away() -> None:
    state = fold(record("services", 0, SERVICE.dump()), record("services", 1, None))
    assert state.services == {}
    assert state.offsets.services == 2


def test_a_void_entry_has_no_effect_and_is_told() -> None:
    before = fold(record("rollout-decisions", 0, START.dump()))
    after, result = before.read(record("rollout-decisions", 1, entry("proceed", entry("start", now=999)).dump()))
    assert after is before
    assert isinstance(result, Void)


def test_an_accepted_entry_is_told() -> None:
    _, result = Fold().read(record("rollout-decisions", 0, START.dump()))
    assert result == Accepted(START)


def test_an_empty_record_of_the_ledger_means_nothing() -> None:
    assert Fold().read(record("rollout-decisions", 0, None)) == (Fold(), None)


@pytest.mark.parametrize("topic", ["services", "rollout-decisions"])
@pytest.mark.parametrize("value", [b"", b"{}", b"\xff\xfe", b'{"v": 2}', b"[" * 10_000])
def test_what_is_not_understood_is_refused_by_name(topic: str, value: bytes) -> None:
    with pytest.raises(ValidationError):
        Fold().read(record(topic, 0, value))


def test_an_unknown_field_of_a_newer_writer_is_ignored() -> None:
    newer = START.dump()[:-1] + b',"mood":"good"}'
    state, _ = Fold().read(record("rollout-decisions", 0, newer))
    assert state.ledger.of("orders").head == START


def test_with_several_partitions_offsets_only_rise() -> None:
    records = [
        record("rollout-decisions", 5, START.dump(), partition=0),
        record("rollout-decisions", 0, entry("start", service="billing").dump(), b"billing", partition=1),
        record("rollout-decisions", 6, entry("proceed", START).dump(), partition=0),
    ]
    seen, state = [], Fold()
    for item in records:
        state, _ = state.read(item)
        seen.append(state.offsets.ledger)
    assert seen == [6, 7, 8]
