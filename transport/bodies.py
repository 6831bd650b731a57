"""Requests over HTTP that are longer than anything we are asked: refused before they are in memory, whoever sends them."""

import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MOST_BYTES = 1_000_000
"""What Kafka takes as one record unless told otherwise: nothing longer could be written down."""


class TooLongError(Exception):
    """The body is longer than that."""


class Bounded:
    """ASGI middleware: a longer body is answered 413. Frameworks read a body before they ask who sends it."""

    def __init__(self, app: App, most_bytes: int = MOST_BYTES) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _declared(scope) > self._most_bytes:
            await _refuse(send, self._most_bytes)
        else:
            await self._counted(scope, receive, send)

    async def _counted(self, scope: Message, receive: Receive, send: Send) -> None:
        """What the application makes of a body that it did not get is not told."""
        read = 0

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most_bytes:
                raise TooLongError
            return message

        async def telling(message: Message) -> None:
            if read <= self._most_bytes:
                await send(message)

        with contextlib.suppress(TooLongError):
            await self._app(scope, counting, telling)
        if read > self._most_bytes:
            await _refuse(send, self._most_bytes)


def _declared(scope: Message) -> int:
    """As the client says; 0 where it does not."""
    said = [value for name, value in scope["headers"] if name == b"content-length"]
    return max((int(value) for value in said if value.isdigit()), default=0)


async def _refuse(send: Send, most_bytes: int) -> None:
    body = json.dumps(
        {
            "type": "about:blank",
            "title": "Too long",
            "status": 413,
            "detail": f"The body has more than {most_bytes} bytes, and nothing here needs so many.",
        }
    ).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
