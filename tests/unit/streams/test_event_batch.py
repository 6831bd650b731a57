"""What a batch may be: columns of one length, places within its names, positions that rise."""

from typing import Any

import pytest
from pydantic import ValidationError

from davylamp_sdk._event import EventBatch


def batch(**changes: Any) -> EventBatch:
    """Three requests."""
    fields: dict[str, Any] = {
        "producer": "orders-1/1",
        "sequence": 7,
        "service": "orders",
        "version": "v1",
        "instance": "orders-1",
        "names": ["tools/call", "ok"],
        "method": [0, 0, 0],
        "outcome": [1, 1, 1],
        "started_at": [1, 2, 3],
        "duration_ms": [1.0, 2.0, 3.0],
    }
    return EventBatch.model_validate(fields | changes)


def test_a_batch_is_as_long_as_its_columns() -> None:
    assert len(batch()) == 3


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"method": [], "outcome": [], "started_at": [], "duration_ms": []}, "1 to 5000 requests, not 0"),
        ({"outcome": [1, 1]}, "column outcome has 2 values for 3 requests"),
        ({"tool": [0]}, "column tool has 1 values for 3 requests"),
        ({"session_age_ms": [1.0]}, "column session_age_ms has 1 values"),
        ({"method": [0, 0, 2]}, "column method names 2, there are 2 names"),
        ({"session": [-1, -1, 9]}, "column session names 9"),
        ({"first_of_session": [3]}, "first_of_session is not ascending"),
        ({"first_of_session": [1, 1]}, "first_of_session is not ascending"),
        ({"metrics": {"tokens": {"at": [2, 0], "values": [1, 2]}}}, "metric tokens has not a value each"),
        ({"metrics": {"tokens": {"at": [0, 1], "values": [1]}}}, "metric tokens has not a value each"),
        ({"metrics": {"tokens": {"at": [3], "values": [1]}}}, "metric tokens has not a value each"),
        ({"sequence": 2**53}, "sequence"),
        ({"started_at": [1, 2, 2**53]}, "started_at.2"),
        ({"dropped": 2**31}, "dropped"),
        ({"dropped": -1}, "dropped"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        batch(**changes)


def test_positions_may_be_any_of_them() -> None:
    whole = batch(first_of_session=[0, 1, 2], metrics={"tokens": {"at": [0, 2], "values": [1, 2]}})
    assert whole.first_of_session == (0, 1, 2)
    assert whole.metrics["tokens"].at == (0, 2)
