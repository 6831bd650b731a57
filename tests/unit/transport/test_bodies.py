"""Bodies are refused once they are longer than anything we are asked, said or not."""

import json
from typing import Any

import pytest

from transport.bodies import Bounded, Message, Receive, Send


class Reads:
    """An application that reads the whole body, and answers what it makes of it."""

    def __init__(self) -> None:
        self.read = b""
        self.asked = 0

    async def __call__(self, _: Message, receive: Receive, send: Send) -> None:
        self.asked += 1
        try:
            while (message := await receive()).get("more_body", False):
                self.read += message["body"]
            self.read += message["body"]
            status = 200
        except Exception:  # noqa: BLE001 - as frameworks do
            status = 400
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def asked(app: Reads, *parts: bytes, length: bytes | None = None) -> list[Message]:
    """What is answered to a body that comes in parts."""
    told: list[Message] = []
    left = list(parts)

    async def receive() -> Message:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: Message) -> None:
        told.append(message)

    headers = [(b"content-length", length)] if length is not None else []
    await Bounded(app, most_bytes=10)({"type": "http", "headers": headers}, receive, send)
    return told


async def test_a_body_that_is_short_enough_is_read_as_it_came() -> None:
    app = Reads()
    told = await asked(app, b"01234", b"56789", length=b"10")
    assert (app.read, told[0]["status"]) == (b"0123456789", 200)


async def test_a_body_that_says_it_is_too_long_never_reaches_the_application() -> None:
    app = Reads()
    told = await asked(app, b"0123456789x", length=b"11")
    assert (app.asked, told[0]["status"]) == (0, 413)


@pytest.mark.parametrize("length", [None, b"3", b"ten"])
async def test_a_body_that_turns_out_too_long_is_refused_whatever_it_said_and_the_application_made_of_it(
    length: bytes | None,
) -> None:
    app = Reads()
    told = await asked(app, b"01234", b"56789", b"x", b"never asked for", length=length)
    assert (app.read, [message["type"] for message in told]) == (
        b"0123456789",
        ["http.response.start", "http.response.body"],
    )
    assert told[0]["status"] == 413
    assert dict(told[0]["headers"])[b"content-type"] == b"application/problem+json"
    assert "10 bytes" in json.loads(told[1]["body"])["detail"]


async def test_what_is_no_request_passes() -> None:
    seen: list[Any] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def nothing(*_: Any) -> Any: ...

    await Bounded(app)({"type": "lifespan"}, nothing, nothing)
    assert seen == [({"type": "lifespan"}, nothing, nothing)]
