"""A batch is read as columns, and is what the models say it is: no more, no less, for the same reason."""

import json
import os
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import from_json

from davylamp_sdk._event import EventBatch, RequestEvent
from streams.batches import BadRequestError, Batch, read_batch
from tests.mutations import mutated
from tests.rows import made_event, row, rows
from tests.telemetry import batch, event, events_in

EXAMPLES = int(os.environ.get("DAVYLAMP_FUZZ", "2000")) // 4


def made(seed: int) -> EventBatch:
    dice = Random(seed)
    first = dice.choice([0, 7, 2**53 - 2])
    return batch([made_event(first + i, dice) for i in range(dice.randint(1, 4))], dropped=dice.choice([0, 2]))


def modelled(raw: bytes) -> tuple[EventBatch, list[RequestEvent]] | str:
    """What the models make of it: a batch and its events, or why not."""
    try:
        sent = EventBatch.read(raw)
    except ValidationError as error:
        return _first(error)
    for i in range(len(sent)):
        try:
            events_in(sent, (i,))
        except ValidationError as error:
            return f"request {i} of {len(sent)}: {_first(error)}"
    return sent, events_in(sent)


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def as_read(raw: bytes, fields: Mapping[str, Any]) -> Batch | str:
    try:
        return read_batch(raw, fields)
    except ValidationError as error:
        return _first(error)
    except BadRequestError as error:
        return str(error)


def assert_read_as_modelled(raw: bytes) -> None:
    try:
        fields = from_json(raw)
    except ValueError:
        return  # no batch: `decode` knows what else
    if not isinstance(fields, dict):
        return
    read, model = as_read(raw, fields), modelled(raw)
    if isinstance(model, str):
        assert read == model
        return
    sent, events = model
    assert isinstance(read, Batch), read
    assert (read.producer, read.sequence, read.service, read.instance, read.dropped) == (
        *(sent.producer, sent.sequence, sent.service, sent.instance, sent.dropped),
    )
    assert rows(read.columns) == [row(said) for said in events]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**32))
def test_a_batch_is_read_as_its_events(seed: int) -> None:
    assert_read_as_modelled(made(seed).dump())


@settings(max_examples=3 * EXAMPLES, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_a_changed_batch_is_accepted_or_refused_for_the_reason_of_the_models(seed: int, change: int) -> None:
    assert_read_as_modelled(mutated(made(seed).dump(), change))


TWO = json.loads(batch([event(7, metrics={"tokens": 1.5}), event(8, metrics={"tokens": 2.0})]).dump())


def changed(*path: str | int, to: Any) -> bytes:
    value = json.loads(json.dumps(TWO))
    within = value
    for key in path[:-1]:
        within = within[key]
    within[path[-1]] = to
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (changed("names", 1, to="fine"), "request 0 of 2: outcome: Input should be 'ok'"),
        (changed("method", 1, to=-1), "request 1 of 2: method: Field required"),
        (changed("session_age_ms", to=[-1, -0.5]), "request 1 of 2: session_age_ms: Input should be greater"),
        (changed("sequence", to=2**53 - 1), "request 1 of 2: sequence: Input should be less"),
        (changed("names", 2, to="x" * 65), "request 0 of 2: session: String should have at most 64"),
        (changed("names", 3, to="x" * 101), "request 0 of 2: assignment: String should have at most 100"),
        (changed("names", 4, to=""), "request 0 of 2: tool: String should have at least 1"),
        (changed("method", to=[]), "Value error, a batch holds 1 to 5000 requests, not 0"),
        (changed("duration_ms", 1, to=float("nan")), "duration_ms.1: Input should be a finite number"),
        (changed("metrics", "tokens", "at", to=[1, 1]), "Value error, metric tokens has not a value each"),
    ],
)
def test_a_bad_request_is_named_and_refuses_its_batch(raw: bytes, why: str) -> None:
    assert why in str(as_read(raw, from_json(raw)))
    assert_read_as_modelled(raw)


def test_what_the_model_turns_into_numbers_is_welcome() -> None:
    raw = changed("started_at", to=["17", 18.0])
    read = as_read(raw, from_json(raw))
    assert isinstance(read, Batch)
    assert read.columns.started_at.tolist() == [17, 18]


def twice(raw: bytes, metric: bytes) -> bytes:
    return raw.replace(b'"metrics":{', b'"metrics":{' + metric + b",")


@pytest.mark.parametrize("metric", [b'"tokens":{"at":[0],"values":["x"]}', b'"t\\u006fkens":{"at":[-1],"values":[1]}'])
def test_a_metric_named_twice_is_refused_if_either_is_bad(metric: bytes) -> None:
    raw = twice(json.dumps(TWO, separators=(",", ":")).encode(), metric)
    assert isinstance(as_read(raw, from_json(raw)), str)
    assert_read_as_modelled(raw)


def test_what_is_written_as_the_sdk_writes_it_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse: Callable[..., Any] = lambda *_: pytest.fail("by way of the model")  # noqa: E731
    monkeypatch.setattr(EventBatch, "read", refuse)
    raw = json.dumps(TWO).encode()
    assert isinstance(as_read(raw, from_json(raw)), Batch)


def test_the_largest_batch_is_read() -> None:
    raw = batch([event(i) for i in range(5000)]).dump()
    assert isinstance(read := as_read(raw, from_json(raw)), Batch)
    assert len(read.columns) == 5000
