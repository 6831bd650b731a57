"""What adapters know about one finished request, and what of it fits an event."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, get_args

from davylamp_sdk._event import Outcome
from davylamp_sdk._names import MAX_NAME, UNKNOWN

Kind = Literal["session", "cookie", "principal"]
"""What the proxy assigned, by the label: what `session` in an event is a hash of."""

OUTCOMES: Final = frozenset(get_args(Outcome))
MAX_SESSION: Final = 64
MAX_ASSIGNMENT: Final = 100
MAX_METRICS: Final = 32
DURATION_BELOW_MS: Final = 1e9
AGE_BELOW_MS: Final = 1e12
TIME_BELOW_MS: Final = 2**53
"""As far as every language's numbers are whole."""


class FinishedRequest(NamedTuple):
    """The fields of :class:`RequestEvent` that differ by request, as an adapter found them."""

    method: str
    outcome: Outcome
    started_at: int
    duration_ms: float
    ended_s: float = 0.0
    """By the monotonic clock: what a session's ages are measured with."""
    session: str | None = None
    kind: Kind = "session"
    assignment: str | None = None
    tool: str | None = None
    error_type: str | None = None
    protocol_version: str | None = None
    first_of_session: bool = False
    metrics: Mapping[str, float] = MappingProxyType({})


class Heard(NamedTuple):
    """What the memory of sessions adds to a request."""

    first: bool = False
    age_ms: float | None = None
    gap_ms: float | None = None


class Row(NamedTuple):
    """One request as it stands in a batch: every value is valid."""

    method: str
    outcome: str
    started_at: int
    duration_ms: float
    session: str | None
    assignment: str | None
    tool: str | None
    error_type: str | None
    protocol_version: str | None
    first: bool
    age_ms: float | None
    gap_ms: float | None
    metrics: Mapping[str, float]


def row_of(request: FinishedRequest, heard: Heard) -> Row:
    """What fits an event: names are cut, a foreign tool's name is `_unknown`, what is optional and does not fit is absent.

    Raises ``ValueError``, ``TypeError`` or ``OverflowError`` for what is no event: without a method or a known outcome,
    or with impossible times.
    """
    if request.outcome not in OUTCOMES:
        raise ValueError(f"no such outcome: {request.outcome!r}")
    method = _text(request.method)
    if not method:
        raise ValueError("a request without a method")
    return Row(
        method=method[:MAX_NAME],
        outcome=request.outcome,
        started_at=int(_within(request.started_at, TIME_BELOW_MS)),
        duration_ms=_within(request.duration_ms, DURATION_BELOW_MS),
        session=_fitting(request.session, MAX_SESSION),
        assignment=_fitting(request.assignment, MAX_ASSIGNMENT),
        tool=_fitting(request.tool, MAX_NAME) or (None if request.tool is None else UNKNOWN),
        error_type=_cut(request.error_type),
        protocol_version=_cut(request.protocol_version),
        first=heard.first,
        age_ms=_age(heard.age_ms),
        gap_ms=_age(heard.gap_ms),
        metrics=numbers(request.metrics) if request.metrics else request.metrics,
    )


def numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    """The custom metrics that fit an event, at most 32."""
    fitting: dict[str, float] = {}
    for name, value in list(metrics.items()):  # in one step: a thread of the handler's may still add to it
        number = number_of(name, value)
        if number is not None and len(fitting) < MAX_METRICS:
            fitting[_text(name)] = number
    return fitting


def number_of(name: object, value: object) -> float | None:
    """The value of a custom metric, None if its name or its value fits no event."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # other libraries' numbers
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _within(value: float, below: float) -> float:
    """`value` to a thousandth; of milliseconds nobody reads more. Raises ``ValueError`` outside [0, below)."""
    number = round(float(value), 3)
    if not 0 <= number < below:  # false for NaN, too
        raise ValueError(f"{value} is not from 0 to {below:g}")
    return number


def _age(value: float | None) -> float | None:
    if value is None:
        return None
    number = round(value, 3)
    return number if 0 <= number < AGE_BELOW_MS else None


def _text(value: str) -> str:
    """`value` without what no UTF-8 can say (lone surrogates). Raises ``TypeError`` if it is no string."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _fitting(value: str | None, most: int) -> str | None:
    if not value:
        return None
    text = _text(value)
    return text if len(text) <= most else None


def _cut(value: str | None) -> str | None:
    return _text(value)[:MAX_NAME] if value else None
