"""Names: the limit we cut to is the limit the event has."""

import pytest
from mcp_types.methods import SPEC_CLIENT_METHODS
from pydantic import ValidationError

from davylamp_sdk import RequestEvent
from davylamp_sdk._names import MAX_NAME, METHODS, UNKNOWN, known_method


def event(tool: str) -> RequestEvent:
    return RequestEvent(
        producer="p",
        sequence=0,
        service="s",
        version="v",
        instance="i",
        method="tools/call",
        tool=tool,
        outcome="ok",
        started_at=0,
        duration_ms=0,
    )


def test_the_longest_name_fits_an_event_and_one_more_character_does_not() -> None:
    assert event("n" * MAX_NAME).tool == "n" * MAX_NAME
    with pytest.raises(ValidationError, match="tool"):
        event("n" * (MAX_NAME + 1))


def test_the_unknown_tool_is_spelled_as_the_contract_spells_it() -> None:
    assert event(UNKNOWN).tool == "_unknown"
    assert "`_unknown`" in str(RequestEvent.model_fields["tool"].description)


def test_the_methods_are_those_that_mcp_knows() -> None:
    assert METHODS == SPEC_CLIENT_METHODS


@pytest.mark.parametrize("method", ["initialize", "tools/call", "server/discover", "subscriptions/listen", "ping"])
def test_methods_of_the_protocol_keep_their_names(method: str) -> None:
    assert known_method(method) == method


@pytest.mark.parametrize("method", ["tools/destroy", "", "TOOLS/CALL", "x" * 10_000, None])
def test_methods_that_clients_invent_are_unknown(method: str | None) -> None:
    assert known_method(method) == "_unknown"
