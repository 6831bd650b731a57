"""One request while it runs: what is known of it, and what becomes of that."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Self

from davylamp_sdk._core import Core
from davylamp_sdk._event import Outcome
from davylamp_sdk._exchange import exchange_now
from davylamp_sdk._finished import MAX_METRICS, FinishedRequest, number_of
from davylamp_sdk._names import MAX_NAME
from davylamp_sdk._units import ASSIGNMENT_HEADER, SESSION_HEADER, header_of

Verdict = tuple[Outcome, str | None]
"""Outcome and ``error.type``."""


def verdict_of_error(error: BaseException) -> Verdict:
    """How a request ended that raised: `cancelled` by asyncio or trio, else the server's own error."""
    if isinstance(error, asyncio.CancelledError) or type(error).__name__ == "Cancelled":
        return "cancelled", "cancelled"
    return "server_error", type(error).__qualname__[:MAX_NAME]


class Request:
    """One request, from entering the ``with`` block to leaving it. Set what becomes known; nothing in here raises.

    It ends as :attr:`outcome` says; an exception that leaves the block goes on unchanged and is a ``server_error``, or
    ``cancelled``, unless :attr:`outcome` says something else by then. A request that runs for too long is told as
    ``timeout`` while it runs, and then no more.
    """

    __slots__ = (
        "_began",
        "_core",
        "_headers",
        "_metrics",
        "_session_from_header",
        "_token",
        "_verdict_of_error",
        "error_type",
        "first_of_session",
        "method",
        "outcome",
        "protocol_version",
        "session_id",
        "tool",
    )

    def __init__(
        self,
        core: Core,
        method: str,
        headers: Mapping[str, str] | None = None,
        verdict_of_error: Callable[[BaseException], Verdict] = verdict_of_error,
        *,
        session_from_header: bool = True,
    ) -> None:
        self.method: str = method
        """``mcp.method.name``: `tools/call`, `initialize`, …"""
        self.tool: str | None = None
        """A name that the server registered; never one that a client made up."""
        self.outcome: Outcome = "ok"
        self.error_type: str | None = None
        """``error.type``: a code or a class, never a message."""
        self.protocol_version: str | None = None
        self.session_id: str | None = None
        """The session's id as it is: it is hashed here. By default the ``mcp-session-id`` header."""
        self.first_of_session: bool = False
        self._core = core
        self._headers = headers
        self._verdict_of_error = verdict_of_error
        self._session_from_header = session_from_header
        self._metrics: dict[str, float] = {}
        self._began: tuple[int, float] | None = None
        self._token: Token[Request | None] | None = None

    def metric(self, name: str, value: float) -> None:
        """A number of your own (a rate's are 0 to 1); said twice, the last one counts. What fits no event is left out."""
        number = number_of(name, value)
        if number is None or (len(self._metrics) >= MAX_METRICS and name not in self._metrics):
            self._core.faults.mention("metric_invalid")
        else:
            self._metrics[name] = number

    def __enter__(self) -> Self:
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - telemetry never fails the server it watches
            self._core.faults.add("request_unreadable", error=error)
        self._token = request_now.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            with suppress(ValueError):  # left in another context than entered, as a generator may
                request_now.reset(self._token)
        try:
            if self._began is not None and self._core.watch.end(self):
                self._end(error)
                self._headers = None  # frameworks keep the body of a request behind its headers
        except Exception as fault:  # noqa: BLE001 - telemetry never fails the server it watches
            self._core.faults.add("request_unreadable", error=fault)

    def _begin(self) -> None:
        exchange = exchange_now.get()
        if exchange is not None:
            exchange.told = True
            self._headers = exchange.headers if self._headers is None else self._headers
        if self._session_from_header and self.session_id is None:
            self.session_id = header_of(self._headers)(SESSION_HEADER)
        clock = self._core.clock
        began_s = clock.monotonic_s()
        self._began = clock.now_ms(), began_s
        self._core.watch.begin(self, began_s, self._tell_hung)
        self._core.emitter.start()

    def _end(self, error: BaseException | None) -> None:
        if error is not None and self.outcome == "ok":
            self.outcome, self.error_type = self._verdict_of_error(error)
        self._record(self.outcome, self.error_type)

    def _tell_hung(self) -> None:
        """On the emitter's thread, while the request runs."""
        with self._core.faults.guarded("request_unreadable"):
            self._record("timeout", "timeout")

    def _record(self, outcome: Outcome, error_type: str | None) -> None:
        if self._began is None:
            return
        started_at, began_s = self._began
        ended_s = self._core.clock.monotonic_s()
        header = header_of(self._headers)
        assignment = header(ASSIGNMENT_HEADER)
        kind, session = self._core.units.of(assignment, self.session_id, header)
        metrics, self._metrics = self._metrics, {}
        self._core.emitter.record(
            FinishedRequest(
                method=self.method,
                outcome=outcome,
                started_at=started_at,
                duration_ms=(ended_s - began_s) * 1000,
                ended_s=ended_s,
                session=session,
                kind=kind,
                assignment=assignment,
                tool=self.tool,
                error_type=error_type,
                protocol_version=self.protocol_version,
                first_of_session=self.first_of_session,
                metrics=metrics,
            )
        )


request_now: Final[ContextVar[Request | None]] = ContextVar("davylamp_request", default=None)
"""The request that the running code serves."""


def metric(name: str, value: float) -> None:
    """Add a number of your own to the request that is being served: ``metric("tokens", 812)`` in a handler.

    Outside of a request it does nothing. Works in what the handler awaits, and in threads that ``anyio`` or
    ``asyncio.to_thread`` start for it. See :meth:`Request.metric`.
    """
    request = request_now.get()
    if request is not None:
        request.metric(name, value)
