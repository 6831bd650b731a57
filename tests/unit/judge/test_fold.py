"""The fold: one state a service, and how far each partition was read."""

import pytest
from pydantic import ValidationError

from judge.fold import INPUTS, LEDGER, Fold
from judge.rollout.state import ServiceState
from schemas.control import Command, RouteChange
from schemas.fleet import SILENT_MS
from schemas.ledger import Void
from tests.builders import SERVICE, entry, route
from transport.log import Record

START = entry("start")


def record(topic: str, value: bytes | None, offset: int = 0, partition: int = 0) -> Record:
    return Record(topic, partition, offset, 1_000, b"orders", value)


def test_a_cut_names_every_input_of_the_service_s_partition_and_no_other() -> None:
    fold = Fold()
    fold.read(record("services", SERVICE.dump(), offset=4, partition=2))
    fold.read(record("route-changes", route("x").dump(), offset=8, partition=2))
    fold.read(record("route-changes", route("x").model_copy(update={"service": "stock"}).dump(), offset=9, partition=1))
    assert fold.cut("orders", 7).offsets == {
        "services-2": 5,
        "rollout-commands-2": 0,
        "route-changes-2": 9,
        "proxy-reports-2": 0,
        "cohort-windows-2": 0,
    }
    assert fold.cut("orders", 7).now == 7


def test_every_input_and_the_ledger_are_read() -> None:
    fold = Fold()
    for topic, value in (
        ("services", SERVICE.dump()),
        (LEDGER, START.dump()),
        ("route-changes", route(START.id).dump()),
    ):
        assert fold.read(record(topic, value)) is None
    state = fold.states["orders"]
    assert state.service == SERVICE
    assert state.chain.head == START
    assert state.route_acknowledged(1_000)


def test_an_entry_that_has_no_effect_is_given_back() -> None:
    fold = Fold()
    fold.read(record(LEDGER, START.dump()))
    again = fold.read(record(LEDGER, START.dump(), offset=1))
    assert isinstance(again, Void)
    assert again.entry == START


@pytest.mark.parametrize("topic", [*INPUTS, LEDGER])
def test_a_record_that_is_not_understood_counts_as_read_and_changes_nothing(topic: str) -> None:
    fold = Fold()
    fold.read(record("services", SERVICE.dump()))
    with pytest.raises(ValidationError):
        fold.read(record(topic, b"{}", offset=5))
    assert fold.states["orders"].service == SERVICE
    assert fold.cut("orders", 1).offsets.get(f"{topic}-0", 6) == 6


def test_a_service_that_was_taken_away_is_known_no_longer() -> None:
    fold = Fold()
    fold.read(record("services", None))
    fold.read(record("services", SERVICE.dump(), offset=1))
    fold.read(record("services", None, offset=2))
    assert fold.states["orders"].service is None


def test_records_of_other_topics_are_passed_over() -> None:
    fold = Fold()
    assert fold.read(record("rollouts", b"{}")) is None
    assert fold.states == {}


def told_again(times: int) -> list[bytes]:
    """One picture, said at other times, as canonical JSON."""
    return [route(START.id).model_copy(update={"at": 1_000 * i, "live": True}).dump() for i in range(times)]


def test_a_picture_that_is_told_again_is_not_parsed_again_and_counts_as_said_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fold, read = Fold(), RouteChange.read
    parsed: list[bytes | str] = []

    def counted(raw: bytes | str) -> RouteChange:
        parsed.append(raw)
        return read(raw)

    monkeypatch.setattr(RouteChange, "read", counted)
    fold.read(record(LEDGER, START.dump()))
    for i, value in enumerate(told_again(20)):
        fold.read(Record("route-changes", 0, i, 1_000 * i, b"orders", value))
    assert len(parsed) == 1
    assert fold.cut("orders", 7).offsets["route-changes-0"] == 20
    assert fold.states["orders"].route_acknowledged(19_000 + SILENT_MS)
    assert not fold.states["orders"].route_acknowledged(19_001 + SILENT_MS)


def test_pictures_are_told_apart_by_everything_but_when_they_were_said() -> None:
    fold = Fold()
    for change in (route(START.id), route("other"), route(START.id, acknowledged=False)):
        assert fold.picture(change.dump()) == change
        assert fold.picture(change.model_copy(update={"at": 77}).dump()) == change


def test_a_picture_that_is_none_is_refused_however_often_it_is_told() -> None:
    fold = Fold()
    for value in (b'{"acknowledged":true,"at":1}', b'{"acknowledged":true,"at":1}', b'{"acknowledged":true,"at":-1}'):
        with pytest.raises(ValidationError):
            fold.picture(value)


def test_pictures_of_the_past_take_bounded_memory() -> None:
    fold = Fold()
    for i in range(2_500):
        fold.picture(route(f"entry {i}").dump())
    assert len(fold._pictures) <= 1_000


def test_commands_that_expired_long_ago_are_put_away() -> None:
    state = ServiceState("orders")
    for hour in range(100):
        command = Command(id=f"c-{hour}", service="orders", kind="hold", seen="", actor="anna")
        state.read_command(command, hour * 3_600_000)
    assert [asked.command.id for asked in state.asked] == ["c-97", "c-98", "c-99"]
