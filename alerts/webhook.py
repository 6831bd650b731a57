"""Alerts for programs: events by https://www.standardwebhooks.com, whose libraries verify them in most languages."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import httpx2

from alerts.outside import UntakenError, ask
from alerts.receivers import ReceiverError
from alerts.wording import Message
from transport.clock import Clock


class WebhookReceiver:
    """A URL that is sent each message as JSON, signed with a key that both sides know.

    Whatever is answered 2xx is taken. An event may come more than once, each time under the same id.
    """

    def __init__(
        self, name: str, url: str, key: bytes, clock: Clock, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self.name = name
        self._url = url
        self._key = key
        self._clock = clock
        self._transport = transport

    async def send(self, message: Message) -> None:
        content = json.dumps(event(message), ensure_ascii=False, separators=(",", ":")).encode()
        signed = headers(self._key, event_id(message), self._clock.now_ms() // 1000, content)
        try:
            await ask("POST", self._url, self._transport, content=content, headers=signed)
        except UntakenError as error:
            raise ReceiverError(str(error)) from None


def event(message: Message) -> dict[str, object]:
    """What is sent. Fields may be added, none is taken away."""
    cause = message.cause
    return {
        "type": f"{cause.kind}.{message.step}",
        "timestamp": _moment(message.at_ms),
        "data": {
            "cause": cause.key,
            "kind": cause.kind,
            "step": message.step,
            "severity": cause.severity,
            "service": cause.service,
            "rollout": cause.rollout,
            "since": _moment(message.since_ms),
            "sentence": cause.sentence,
            "title": message.title,
            "text": message.body,
        },
    }


def event_id(message: Message) -> str:
    """The same whenever the same thing is told. A fact is told once for ever; what lasts may begin anew."""
    again = () if message.step == "happened" else (str(message.at_ms),)
    told = "\n".join((message.key, message.step, *again))
    return f"msg_{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}"


def headers(key: bytes, message_id: str, at_s: int, content: bytes) -> dict[str, str]:
    """Who receives it knows by them that we sent it, and when: an old one that comes again is a replay."""
    signature = hmac.digest(key, f"{message_id}.{at_s}.".encode() + content, "sha256")
    return {
        "Content-Type": "application/json",
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(at_s),
        "Webhook-Signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _moment(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
