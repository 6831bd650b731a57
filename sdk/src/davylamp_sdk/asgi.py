"""What no middleware of an MCP server sees: requests that its HTTP transport refuses, and answers that break."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

from davylamp_sdk._event import Outcome
from davylamp_sdk._exchange import Exchange, exchange_now
from davylamp_sdk._names import SESSION_END, known_method
from davylamp_sdk._recorder import Recorder
from davylamp_sdk._units import SESSION_HEADER

__all__ = ["Transport"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

METHOD_HEADER: Final = "mcp-method"
NOT_ALLOWED: Final = 405
REDIRECTED: Final = 300
BAD_REQUEST: Final = 400
SERVER_ERROR: Final = 500
ENDED: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class Transport:
    """Wraps an ASGI application: ``app = Transport(server.streamable_http_app(), telemetry)``.

    Requests below ``path`` (None: all) that end without a word of ``recorder`` are recorded here: 4xx as ``rejected``
    (an unknown session, a malformed message, a wrong Host), 5xx, exceptions and answers that stop half-way as
    ``server_error``. What the recorder has taken up is not told again, however HTTP then ends. Bodies are not looked
    at: the method is that of the ``Mcp-Method`` header, else ``_unknown``. A 405 to a GET or DELETE is no error: so a
    server says that it has no such stream. A DELETE that succeeds is the end of its session, told as ``ended``: it is no
    request, and who ended a session is not taken for one that fell silent.

    Whoever records within the application without headers of its own is given those of the request. When the
    application's lifespan ends, the recorder is closed.
    """

    def __init__(self, app: App, recorder: Recorder, *, path: str | None = "/mcp") -> None:
        self._app = app
        self._recorder = recorder
        self._path = None if path is None else path.rstrip("/")
        core = recorder._core  # noqa: SLF001 - the recorder's own wrapper
        core.tell_ends()
        self._clock = core.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._closing(send))
        elif scope["type"] == "http" and self._is_watched(scope):
            await self._watched(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_watched(self, scope: Scope) -> bool:
        path = scope.get("path", "")
        return self._path is None or path == self._path or path.startswith(f"{self._path}/")

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(Headers(scope))
        answer = Answer(receive, send)
        began_s = self._clock.monotonic_s()
        token = exchange_now.set(exchange)
        try:
            await self._app(scope, answer.receive, answer.send)
        except Exception as error:
            self._tell(exchange, began_s, ("server_error", type(error).__qualname__))
            raise
        else:
            self._tell(exchange, began_s, verdict(scope.get("method", ""), answer, exchange.headers))
        finally:
            exchange_now.reset(token)

    def _tell(self, exchange: Exchange, began_s: float, found: "tuple[Outcome, str | None] | None") -> None:
        if found is None or exchange.told:
            return
        outcome, error_type = found
        self._recorder.record(
            SESSION_END if outcome == "ended" else known_method(exchange.headers.get(METHOD_HEADER)),
            outcome,
            duration_ms=(self._clock.monotonic_s() - began_s) * 1000,
            headers=exchange.headers,
            error_type=error_type,
        )

    def _closing(self, send: Send) -> Send:
        async def closing(message: Message) -> None:
            if message["type"] in ENDED:
                with suppress(Exception):  # a server's end is not ours to spoil
                    await self._close()
            await send(message)

        return closing

    async def _close(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # under trio: nobody else needs this thread any more
            self._recorder.close()
        else:
            await asyncio.to_thread(self._recorder.close)


class Answer:
    """Passes messages on in both directions and notes how far the response came."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.status: int | None = None
        self.complete: bool = False
        self.client_gone: bool = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.complete:
            self.client_gone = True
        return message

    async def send(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True


def verdict(method: str, answer: Answer, headers: Mapping[str, str]) -> tuple[Outcome, str | None] | None:
    """Outcome and ``error.type`` of an exchange that nobody took up; None if nothing is wrong with it."""
    status = answer.status
    if status is None or (status < BAD_REQUEST and not answer.complete):
        broken = method == "POST" and not answer.client_gone  # a GET is a stream, which ends as it likes
        return ("server_error", "broken") if broken else None
    if status >= SERVER_ERROR:
        return "server_error", str(status)
    if method == "DELETE" and status < REDIRECTED and SESSION_HEADER in headers:
        return "ended", None
    if status < BAD_REQUEST or (status == NOT_ALLOWED and method != "POST"):
        return None
    return "rejected", str(status)


class Headers(Mapping[str, str]):
    """The headers of a scope, by name in lower case; of several the first. Decoded when asked for."""

    def __init__(self, scope: Scope) -> None:
        self._raw: list[tuple[bytes, bytes]] = scope.get("headers", [])

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode("latin-1")
        for key, value in self._raw:
            if key == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({key.decode("latin-1"): None for key, _ in self._raw})

    def __len__(self) -> int:
        return len({key for key, _ in self._raw})
