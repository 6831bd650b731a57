"""Receivers: one contract; the log's lines; apprise without a network."""

import asyncio
import logging
import threading

import httpx2
import pytest

from alerts.cause import Again
from alerts.receivers import AppriseReceiver, LogReceiver, MemoryReceiver, Receiver, ReceiverError
from alerts.webhook import WebhookReceiver
from alerts.wording import Message
from tests.unit.alerts.fakes import began, cause, ended, happened, told
from transport.clock import FakeClock

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""On loading apprise's mail plugin."""


class Gate:
    """Stands for apprise's `notify`: blocks until opened, and answers what it is told to."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.answer = True
        self.seen: list[tuple[str, str]] = []

    def notify(self, body: str, title: str, notify_type: str, **_: object) -> bool:
        self.opened.wait(30)
        self.seen.append((title, notify_type))
        return self.answer


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr("apprise.Apprise.notify", lambda _, *args, **kwargs: gate.notify(*args, **kwargs))
    return gate


def on_the_wire() -> AppriseReceiver:
    return AppriseReceiver("hook", "json://127.0.0.1:9")


def in_a_pipeline() -> WebhookReceiver:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200))
    return WebhookReceiver("hook", "https://ci.example", b"k" * 24, FakeClock(), transport)


@pytest.mark.parametrize("kind", [LogReceiver, MemoryReceiver, on_the_wire, in_a_pipeline])
async def test_a_receiver_takes_every_kind_of_message_and_has_a_name(kind: type[Receiver], gate: Gate) -> None:
    gate.opened.set()
    receiver = kind()
    for message in (began("a", 0), told(Again(cause("a")), 0), ended("a", 0), happened("f", 0, severity="info")):
        await receiver.send(message)
    assert receiver.name in {"log", "memory", "hook"}


@pytest.mark.parametrize(
    ("message", "level", "line"),
    [
        (happened("f", 0), logging.CRITICAL, "ALERT orders rollback: It is so."),
        (happened("f", 0, kind="complete", severity="info"), logging.INFO, "ALERT orders complete: It is so."),
        (began("k", 0), logging.CRITICAL, "ALERT orders blind: It is so."),
        (ended("k", 0), logging.INFO, "RESOLVED orders blind: It is over. It lasted 0s."),
    ],
)
async def test_the_log_has_one_line_a_message(
    message: Message, level: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await LogReceiver().send(message)
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(level, line)]
    assert (caplog.records[0].action, caplog.records[0].cause) == ("alert", message.key)  # type: ignore[attr-defined]  # extra


async def test_apprise_is_told_how_grave_it_is(gate: Gate) -> None:
    gate.opened.set()
    receiver = on_the_wire()
    for message in (began("a", 0), began("b", 0, severity="notice"), began("c", 0, severity="info"), ended("a", 0)):
        await receiver.send(message)
    assert [kind for _, kind in gate.seen] == ["failure", "warning", "info", "success"]


async def test_what_apprise_could_not_deliver_is_an_error_and_can_be_tried_again(gate: Gate) -> None:
    gate.opened.set()
    receiver, message = on_the_wire(), began("a", 0)
    gate.answer = False
    with pytest.raises(ReceiverError, match="could not deliver"):
        await receiver.send(message)
    gate.answer = True
    await receiver.send(message)
    assert len(gate.seen) == 2


async def given_up(receiver: AppriseReceiver, message: Message) -> None:
    """An attempt that is cancelled while apprise blocks."""
    attempt = asyncio.create_task(receiver.send(message))
    await asyncio.sleep(0)
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)


async def test_a_message_that_still_hangs_is_waited_for_not_sent_twice(gate: Gate) -> None:
    receiver, message = on_the_wire(), began("a", 0)
    await given_up(receiver, message)
    await given_up(receiver, message)
    gate.opened.set()
    await receiver.send(message)
    assert len(gate.seen) == 1


async def test_a_message_that_arrived_late_is_not_sent_again_after_another(gate: Gate) -> None:
    receiver, late, other = on_the_wire(), began("a", 0), began("b", 0)
    await given_up(receiver, late)
    gate.opened.set()
    with pytest.raises(ReceiverError, match="earlier message"):
        await receiver.send(other)
    await receiver.send(late)
    await receiver.send(other)
    assert [title for title, _ in gate.seen] == [late.title, other.title]


async def test_a_plugin_that_raises_is_an_error_that_names_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bool:
        raise RuntimeError("json://hunter2")

    monkeypatch.setattr("apprise.Apprise.notify", broken)
    with pytest.raises(ReceiverError, match=r"^RuntimeError in apprise$"):
        await on_the_wire().send(began("a", 0))


def test_what_apprise_logs_quotes_no_part_of_the_url(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="receiver mail: apprise does not understand its URL"):
        AppriseReceiver("mail", "slack://T0%2FKEN/hunter2")
    assert caplog.records
    assert not any(secret in r.getMessage() for r in caplog.records for secret in ("hunter2", "KEN"))
