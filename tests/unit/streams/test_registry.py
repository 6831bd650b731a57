"""Which services are registered on our telemetry."""

import logging

import pytest

from schemas.service import Service
from streams.registry import Registry
from tests.builders import SERVICE
from transport.log import Record


def said(service: Service | bytes | None, key: str = "orders") -> Record:
    value = service.dump() if isinstance(service, Service) else service
    return Record("services", 0, 0, 1, key.encode(), value)


def test_a_service_is_registered_from_its_first_word_on() -> None:
    registry = Registry("mcp-requests")
    assert registry.services() == frozenset()
    registry.read(said(SERVICE))
    registry.read(said(SERVICE))
    assert registry.services() == {"orders"}


def test_a_service_that_speaks_elsewhere_is_not_ours() -> None:
    registry = Registry("mcp-requests")
    registry.read(said(SERVICE))
    registry.read(said(SERVICE.model_copy(update={"telemetry": "mcp-requests.orders"})))
    assert registry.services() == frozenset()


def test_a_removed_service_is_gone() -> None:
    registry = Registry("mcp-requests")
    registry.read(said(SERVICE))
    registry.read(said(SERVICE.model_copy(update={"service": "stock"}), key="stock"))
    registry.read(said(None))
    assert registry.services() == {"stock"}


def test_what_nobody_can_read_is_skipped_and_told(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry("mcp-requests")
    with caplog.at_level(logging.WARNING):
        registry.read(said(b"{"))
    assert registry.services() == frozenset()
    assert [r.__dict__["service"] for r in caplog.records] == ["orders"]


def test_the_set_that_was_given_out_does_not_change() -> None:
    registry = Registry("mcp-requests")
    before = registry.services()
    registry.read(said(SERVICE))
    assert before == frozenset()
