"""A webhook: what is sent, by which words others know that we sent it, and what counts as taken."""

import json
from collections.abc import Callable

import httpx2
import pytest

from alerts.cause import Again
from alerts.receivers import ReceiverError
from alerts.settings import AlertsSettings
from alerts.webhook import WebhookReceiver, event, event_id, headers
from alerts.wording import Message
from tests.unit.alerts.fakes import began, cause, ended, happened, told
from transport.clock import FakeClock

URL = "https://ci.example/hunter2"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT_MS = 1_614_265_330_500


def key() -> bytes:
    value = json.dumps([{"url": URL, "secret": SECRET}])
    return AlertsSettings.load("alerts", {"DAVYLAMP_ALERTS_WEBHOOKS": value}).webhooks[0].key


class Pipeline:
    """Whoever is sent events, and what it answers."""

    def __init__(self, answer: Callable[[httpx2.Request], httpx2.Response] = lambda _: httpx2.Response(202)) -> None:
        self.got: list[httpx2.Request] = []
        self._answer = answer

    def receiver(self) -> WebhookReceiver:
        def take(request: httpx2.Request) -> httpx2.Response:
            self.got.append(request)
            return self._answer(request)

        clock = FakeClock()
        clock.advance(7)
        return WebhookReceiver("ci", URL, key(), clock, httpx2.MockTransport(take))


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    signed = headers(key(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == {
        "Content-Type": "application/json",
        "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "Webhook-Timestamp": "1614265330",
        "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_an_event_has_its_parts_by_name() -> None:
    message = began("orders/3/approval/2", AT_MS, kind="approval", severity="notice", rollout=3)
    assert event(message) == {
        "type": "approval.began",
        "timestamp": "2021-02-25T15:02:10.500Z",
        "data": {
            "cause": "orders/3/approval/2",
            "kind": "approval",
            "step": "began",
            "severity": "notice",
            "service": "orders",
            "rollout": 3,
            "since": "2021-02-25T15:02:10.500Z",
            "sentence": "It is so.",
            "title": message.title,
            "text": message.body,
        },
    }


async def test_what_is_sent_is_what_is_signed_with_the_time_of_the_attempt() -> None:
    pipeline, message = Pipeline(), ended("k", AT_MS, sentence="Schön.")
    receiver = pipeline.receiver()
    await receiver.send(message)
    (request,) = pipeline.got
    assert (request.method, str(request.url)) == ("POST", URL)
    assert json.loads(request.content) == event(message)
    at_s = int(request.headers["webhook-timestamp"])
    assert at_s * 1000 == FakeClock().now_ms() + 7000
    signed = headers(key(), event_id(message), at_s, request.content)
    assert {name: request.headers[name] for name in signed} == signed


async def test_an_event_that_is_sent_again_has_the_same_id() -> None:
    pipeline, message = Pipeline(), began("k", AT_MS)
    receiver = pipeline.receiver()
    await receiver.send(message)
    await receiver.send(message)
    assert len({request.headers["webhook-id"] for request in pipeline.got}) == 1


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (happened("f", 1), happened("f", 2), True),
        (began("k", 1), began("k", 2), False),
        (began("k", 1), ended("k", 1), False),
        (began("k", 1), told(Again(cause("k")), 1), False),
        (happened("f", 1), happened("g", 1), False),
    ],
)
def test_two_events_have_one_id_if_and_only_if_they_tell_the_same(
    first: Message, second: Message, *, same: bool
) -> None:
    """A fact's time is worked out anew by each process that reads it."""
    assert (event_id(first) == event_id(second)) == same
    assert "." not in event_id(first)


def _refuses(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError(f"no way to {request.url}")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _: httpx2.Response(500), "^it answers 500$"),
        (lambda _: httpx2.Response(302, headers={"location": "https://elsewhere.example"}), "^it answers 302$"),
        (_refuses, "^ConnectError$"),
    ],
)
async def test_what_is_not_taken_is_an_error_without_the_url(
    answer: Callable[[httpx2.Request], httpx2.Response], words: str
) -> None:
    pipeline = Pipeline(answer)
    with pytest.raises(ReceiverError, match=words):
        await pipeline.receiver().send(began("k", AT_MS))
    assert len(pipeline.got) == 1
