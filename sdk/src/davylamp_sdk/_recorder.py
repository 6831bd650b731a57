"""Recorder: one event per request of any server, whatever its framework."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Unpack

from davylamp_sdk._core import Core, Options
from davylamp_sdk._emitter import Stats
from davylamp_sdk._event import Outcome
from davylamp_sdk._finished import FinishedRequest
from davylamp_sdk._request import Request
from davylamp_sdk._units import ASSIGNMENT_HEADER, SESSION_HEADER, header_of


class Recorder:
    """Records requests: ``with recorder.request(method="tools/call", headers=headers) as request: …``.

    ``service`` and ``version`` say who answers, as the service file calls them; ``instance`` which replica (by default
    the host's name); ``bootstrap`` where Kafka is, and ``topic`` what it is to be told in. ``key`` is the service's
    secret that principals and cookies are hashed with; ``hung_after_s`` when a running request is told as ``timeout``;
    ``sink`` replaces Kafka. What is not given comes from the environment (``DAVYLAMP_SERVICE``, …). Raises
    ``ValueError`` if a setting is missing; after that nothing in here ever fails or delays a request.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        self._core = Core(options)

    def request(self, method: str, headers: Mapping[str, str] | None = None) -> Request:
        """A request that begins when its ``with`` block is entered.

        ``headers`` are those of HTTP, which say session and assignment; without them they are those that
        :class:`davylamp_sdk.asgi.Transport` saw, if it wraps the application.
        """
        return Request(self._core, method, headers)

    def record(  # noqa: PLR0913 - the columns of an event, by name
        self,
        method: str,
        outcome: Outcome = "ok",
        *,
        duration_ms: float,
        headers: Mapping[str, str] | None = None,
        session_id: str | None = None,
        tool: str | None = None,
        error_type: str | None = None,
        protocol_version: str | None = None,
        first_of_session: bool = False,
        metrics: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Record a request that has just ended; the fields are those of :class:`Request`. Never raises."""
        with self._core.faults.guarded("request_unreadable"):
            header = header_of(headers)
            assignment = header(ASSIGNMENT_HEADER)
            kind, session = self._core.units.of(assignment, session_id or header(SESSION_HEADER), header)
            clock = self._core.clock
            self._core.emitter.record(
                FinishedRequest(
                    method=method,
                    outcome=outcome,
                    started_at=clock.now_ms() - round(duration_ms),
                    duration_ms=duration_ms,
                    ended_s=clock.monotonic_s(),
                    session=session,
                    kind=kind,
                    assignment=assignment,
                    tool=tool,
                    error_type=error_type,
                    protocol_version=protocol_version,
                    first_of_session=first_of_session,
                    metrics=dict(metrics),
                )
            )

    def stats(self) -> Stats:
        """What became of the requests so far; cheap, from any thread."""
        return self._core.stats()

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits, for at most ``timeout_s`` and half a second; what is recorded later is dropped and counted.

        Runs by itself when the interpreter exits, and when an application ends that
        :class:`davylamp_sdk.asgi.Transport` wraps; a signal alone may prevent the former. Blocks: from a coroutine, use
        ``asyncio.to_thread``.
        """
        self._core.emitter.close(timeout_s)
