"""RequestEvent v1: what a server says about one finished request."""

import itertools
from typing import Annotated, Literal, Self

from pydantic import FailFast, Field, StringConstraints, model_validator
from pydantic_core import from_json

from davylamp_sdk._message import Message

Outcome = Literal[
    "ok",
    "tool_error",  # a result with `isError: true`
    "rpc_error",  # any JSON-RPC error
    "server_error",  # the handler raised, or the transport broke or answered >= 500
    "timeout",  # still running after `hung_after`
    "cancelled",  # by the client
    "input_required",  # the server asked for more input: neither success nor failure
    "rejected",  # 4xx of the transport: unknown session, 421, 413, malformed
    "ended",  # no request: the client ended its session, and the server knew it
]

Name = Annotated[str, StringConstraints(min_length=1, max_length=120)]

WholeNumber = Annotated[int, Field(ge=0, lt=2**53)]
"""One that every language's numbers hold."""


class RequestEvent(Message):
    """One finished request, as the server saw it. Nothing private: no arguments, results or tokens.

    Names follow OpenTelemetry's MCP conventions where they have one: ``method`` is ``mcp.method.name``, ``tool``
    is ``gen_ai.tool.name``, ``error_type`` is ``error.type``.
    """

    v: Literal[1] = 1
    producer: Annotated[Name, Field(description="One per process life of an emitter; with `sequence` the identity.")]
    sequence: Annotated[WholeNumber, Field(description="Counts up by one per event of a producer.")]
    service: Name
    version: Annotated[Name, Field(description="The version the server says it runs.")]
    instance: Annotated[Name, Field(description="Which replica.")]
    session: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="BLAKE2b hash of the session id, never the id itself."
    )
    assignment: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None, description="`<label>;<version>` as the proxy stamped it: the cohort is the assigned version."
    )
    method: Name
    tool: Name | None = Field(default=None, description="A name that the server registered, else `_unknown`.")
    outcome: Outcome
    error_type: Name | None = None
    protocol_version: Name | None = None
    started_at: Annotated[WholeNumber, Field(description="Unix time in milliseconds, by the server's clock.")]
    duration_ms: Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)]
    first_of_session: bool = False
    tells_ends: bool = Field(
        default=False,
        description="Whoever says this says `ended` of each session that its client ends. Without it silence is all there is.",
    )
    session_age_ms: Annotated[float, Field(ge=0, lt=1e12, allow_inf_nan=False)] | None = Field(
        default=None,
        description="From the beginning of the session's first request to the end of this one. Absent if whoever says "
        "it did not see the session begin.",
    )
    session_gap_ms: Annotated[float, Field(ge=0, lt=1e12, allow_inf_nan=False)] | None = Field(
        default=None,
        description="From the end of the session's previous request to the end of this one, so that the session was "
        "last heard at the age `session_age_ms - session_gap_ms`. Absent on its first.",
    )
    metrics: dict[Name, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict, max_length=32)


MAX_BATCH = 5_000
"""Events in one batch at most; the SDK sends up to 500."""

# Of every column the first wrong value is told (`FailFast`): a message of a megabyte can hold half a million.
Places = Annotated[tuple[Annotated[int, Field(ge=-1)], ...], Field(max_length=MAX_BATCH), FailFast()]
"""One a request: an index into `names`, or -1 where the field is absent. An empty column: absent for all."""

Positions = Annotated[tuple[Annotated[int, Field(ge=0)], ...], FailFast()]
"""Of some of the requests, ascending: the first request of the batch is 0."""

Ages = Annotated[tuple[Annotated[float, Field(ge=-1, lt=1e12, allow_inf_nan=False)], ...], FailFast()]
"""One a request, -1 where it is absent. An empty column: absent for all."""


class MetricColumn(Message):
    """The values of one custom metric in a batch."""

    at: Annotated[Positions, Field(description="Positions of the requests that have one, ascending.")]
    values: Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], FailFast()]


class EventBatch(Message):
    """EventBatch v1: finished requests of one producer in one message, as columns. What the SDK sends.

    Request `i` is the :class:`RequestEvent` with sequence ``sequence + i`` and the `i`-th value of each column; strings
    stand once in `names`. A reader tells a batch from a single event by `names`.
    """

    v: Literal[1] = 1
    producer: Annotated[Name, Field(description="One per process life of an emitter.")]
    sequence: Annotated[WholeNumber, Field(description="Of the first request; the others follow without a gap.")]
    dropped: Annotated[
        int,
        Field(
            ge=0, lt=2**31, description="Requests that this producer dropped since its last batch: they are in none."
        ),
    ] = 0
    service: Name
    version: Name
    instance: Name
    tells_ends: Annotated[bool, Field(description="Of every request of the batch.")] = False
    names: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=120)], ...], Field(max_length=3 * MAX_BATCH), FailFast()
    ]
    method: Places
    outcome: Places
    started_at: Annotated[tuple[WholeNumber, ...], Field(description="Unix milliseconds."), FailFast()]
    duration_ms: Annotated[tuple[Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)], ...], FailFast()]
    session: Places = ()
    assignment: Places = ()
    tool: Places = ()
    error_type: Places = ()
    protocol_version: Places = ()
    first_of_session: Annotated[Positions, Field(description="Positions of the requests that began one.")] = ()
    session_age_ms: Annotated[Ages, Field(description="-1: absent. An empty column: absent for all.")] = ()
    session_gap_ms: Annotated[Ages, Field(description="-1: absent. An empty column: absent for all.")] = ()
    metrics: dict[Name, MetricColumn] = Field(default_factory=dict, max_length=32)

    def __len__(self) -> int:
        """How many requests."""
        return len(self.method)

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        n = len(self.method)
        if not 0 < n <= MAX_BATCH:
            raise ValueError(f"a batch holds 1 to {MAX_BATCH} requests, not {n}")
        for name in ("outcome", "started_at", "duration_ms"):
            if len(getattr(self, name)) != n:
                raise ValueError(f"column {name} has {len(getattr(self, name))} values for {n} requests")
        for name in (*_OPTIONAL_PLACES, "session_age_ms", "session_gap_ms"):
            if len(getattr(self, name)) not in (0, n):
                raise ValueError(f"column {name} has {len(getattr(self, name))} values for {n} requests")
        for name in ("method", "outcome", *_OPTIONAL_PLACES):
            column = getattr(self, name)
            if column and max(column) >= len(self.names):
                raise ValueError(f"column {name} names {max(column)}, there are {len(self.names)} names")
        return self

    @model_validator(mode="after")
    def _positions_fit(self) -> Self:
        n = len(self.method)
        if not _ascending(self.first_of_session, n):
            raise ValueError(f"first_of_session is not ascending positions of {n} requests")
        for name, metric in self.metrics.items():
            if len(metric.at) != len(metric.values) or not _ascending(metric.at, n):
                raise ValueError(f"metric {name} has not a value each for ascending positions of {n} requests")
        return self


def _ascending(positions: tuple[int, ...], n: int) -> bool:
    return all(a < b for a, b in itertools.pairwise((*positions, n)))


_OPTIONAL_PLACES = ("session", "assignment", "tool", "error_type", "protocol_version")

_PLACED = ("method", "outcome", *_OPTIONAL_PLACES)
_AGES = ("session_age_ms", "session_gap_ms")


def events_in(value: bytes | str) -> tuple[RequestEvent, ...]:
    """The events of one message, be it a batch or a single one. Raises ``pydantic.ValidationError``, a ``ValueError``."""
    document = from_json(value)
    if not isinstance(document, dict) or "names" not in document:
        return (RequestEvent.read(value),)
    batch = EventBatch.read(value)
    return tuple(_event_at(batch, at) for at in range(len(batch)))


def _event_at(batch: EventBatch, at: int) -> RequestEvent:
    named = {name: getattr(batch, name)[at] for name in _PLACED if getattr(batch, name)}
    ages = {name: getattr(batch, name)[at] for name in _AGES if getattr(batch, name)}
    metrics = {name: column.values[column.at.index(at)] for name, column in batch.metrics.items() if at in column.at}
    return RequestEvent.model_validate(
        {
            "producer": batch.producer,
            "sequence": batch.sequence + at,
            "service": batch.service,
            "version": batch.version,
            "instance": batch.instance,
            "started_at": batch.started_at[at],
            "duration_ms": batch.duration_ms[at],
            "first_of_session": at in batch.first_of_session,
            "tells_ends": batch.tells_ends,
            "metrics": metrics,
            **{name: batch.names[place] for name, place in named.items() if place >= 0},
            **{name: age for name, age in ages.items() if age >= 0},
        }
    )
