"""From a record to what it says."""

import json
from collections.abc import Callable
from typing import get_origin

import pytest
from pydantic import ValidationError

from davylamp_sdk._event import EventBatch, RequestEvent
from streams.batches import Batch
from streams.decoding import BadEvent, Tick, decode
from tests.telemetry import batch, event, record, tick


def changed(**changes: object) -> bytes:
    return json.dumps(json.loads(event().dump()) | changes).encode()


def refused(value: bytes | None, topic: str = "mcp-requests") -> BadEvent:
    said = decode(record(0, 1, value, topic=topic))
    assert isinstance(said, BadEvent)
    return said


def test_an_event_is_read_back_as_it_was_written() -> None:
    assert decode(record(0, 1, event(7, outcome="timeout"))) == event(7, outcome="timeout")


def test_what_a_newer_sdk_adds_is_ignored() -> None:
    assert decode(record(0, 1, changed(from_the_future=1))) == event()


def test_a_batch_is_told_from_a_single_event_by_its_names() -> None:
    said = decode(record(0, 1, batch([event(7), event(8)])))
    assert isinstance(said, Batch)
    assert (said.sequence, len(said.columns)) == (7, 2)


def test_a_single_event_may_speak_of_names() -> None:
    assert decode(record(0, 1, event(tool="names"))) == event(tool="names")
    assert decode(record(0, 1, changed(metrics={"names": 1}))) == event(metrics={"names": 1.0})


def test_a_batch_is_one_however_its_keys_are_spelled() -> None:
    raw = batch([event()]).dump().replace(b'"names"', b'"n\\u0061mes"')
    assert isinstance(decode(record(0, 1, raw)), Batch)


def test_a_bad_request_of_a_batch_is_named() -> None:
    raw = batch([event(), event(1, outcome="timeout")]).dump().replace(b'"timeout"', b'"slow"')
    said = refused(raw)
    assert said.reason == "invalid"
    assert said.detail.startswith("request 1 of 2: outcome: ")


def test_a_batch_on_the_topic_of_another_service_is_bad() -> None:
    assert refused(batch([event()]).dump(), topic="mcp-requests.stock").reason == "foreign_service"


def test_an_empty_message_with_the_ticks_header_is_a_tick() -> None:
    assert decode(tick(0, 1)) == Tick()


def test_no_value_at_all_may_be_a_tick_too() -> None:
    headers = {"content-type": b"application/vnd.davylamp.tick"}
    assert decode(record(0, 1, None, headers=headers)) == Tick()


@pytest.mark.parametrize("value", [None, b""])
def test_an_empty_message_without_it_is_bad(value: bytes | None) -> None:
    assert refused(value) == BadEvent("empty")


def test_an_event_under_the_ticks_header_is_an_event() -> None:
    headers = {"content-type": b"application/vnd.davylamp.tick"}
    assert isinstance(decode(record(0, 1, event(), headers=headers)), RequestEvent)


@pytest.mark.parametrize("value", [b"{", b"\xff\xfe", b'{"session": "\\ud800"}', b"[" * 5000, b"nonsense"])
def test_what_is_not_json_is_bad(value: bytes) -> None:
    assert refused(value).reason == "not_json"


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_an_unknown_version_is_bad_whatever_else_it_holds(version: object) -> None:
    assert refused(changed(v=version)).reason == "unknown_version"
    assert refused(json.dumps({"v": version, "events": []}).encode()).reason == "unknown_version"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"outcome": "fine"}, "outcome"),
        ({"duration_ms": "long"}, "duration_ms"),
        ({"duration_ms": -1}, "duration_ms"),
        ({"duration_ms": 1e9}, "duration_ms"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": 1.5}, "sequence"),
        ({"session": 5}, "session"),
        ({"service": ""}, "service"),
        ({"metrics": {"tokens": "many"}}, "metrics.tokens"),
    ],
)
def test_a_wrong_field_is_bad_and_named(changes: dict[str, object], where: str) -> None:
    said = refused(changed(**changes))
    assert said.reason == "invalid"
    assert said.detail.startswith(f"{where}: ")


def test_a_missing_field_is_bad() -> None:
    assert refused(b"{}").reason == "invalid"


@pytest.mark.parametrize("value", [b"1", b"[]", b"null", b'"text"'])
def test_json_that_is_no_object_is_bad(value: bytes) -> None:
    assert str(refused(value)).startswith("invalid: event: ")


@pytest.mark.parametrize("service", ["Orders", "orders/../x", "-orders", "o" * 41, "orders|1"])
def test_a_service_that_no_window_can_bear_is_bad(service: str) -> None:
    assert str(refused(changed(service=service))) == f"unnamed_service: {service!r}"


def test_a_service_on_the_topic_of_another_is_bad() -> None:
    said = refused(event().dump(), topic="mcp-requests.stock")
    assert str(said) == "foreign_service: orders on the topic of stock"


def test_a_service_on_its_own_topic_is_welcome() -> None:
    assert decode(record(0, 1, event(), topic="mcp-requests.orders")) == event()


def wrong(**columns: object) -> bytes:
    return json.dumps(json.loads(batch([event()]).dump()) | columns).encode()


COLUMNS = [name for name, field in EventBatch.model_fields.items() if get_origin(field.annotation) is tuple]
BAD: list[object] = [{}] * 4000


@pytest.mark.parametrize(
    "raw", [*(wrong(**{name: BAD}) for name in COLUMNS), wrong(metrics={"tokens": {"at": BAD, "values": BAD}})]
)
def test_of_a_column_of_wrong_values_the_first_is_told_and_no_other_looked_at(raw: bytes) -> None:
    with pytest.raises(ValidationError) as told:
        EventBatch.read(raw)
    assert told.value.error_count() <= 2
    assert ".0: " in refused(raw).detail


def test_every_column_is_one_of_these() -> None:
    assert {"names", "method", "started_at", "session_gap_ms", "first_of_session"} < set(COLUMNS)
    assert len(COLUMNS) == 13


@pytest.mark.parametrize("pack", [changed, wrong])
def test_many_wrong_metrics_are_counted_and_not_listed(pack: Callable[..., bytes]) -> None:
    metrics = {f"m{i}": "?" for i in range(4000)}
    assert refused(pack(metrics=metrics)).detail == "4000 values are not what the schema says"
    assert refused(pack(metrics=metrics, v=2)).reason == "unknown_version"


def test_a_reason_is_short_whatever_it_quotes() -> None:
    assert len(str(refused(changed(metrics={"x" * 100_000: "?"})))) < 600
