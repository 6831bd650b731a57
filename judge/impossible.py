"""Counts that no traffic can have made: what says such a thing is named and never judged. Pure."""

import json
from collections.abc import Iterator, Mapping

from pydantic import TypeAdapter

from judge.cell_sums import contradiction
from schemas.control import ProxyReport, VersionTotals
from schemas.names import ServiceName
from schemas.windows import CohortWindow

_SERVICE: TypeAdapter[str] = TypeAdapter(ServiceName)


MOST = 2**53
"""More than any proxy counts, and so few that sums of it are exact."""


AHEAD_MS = 60_000
"""A window that begins so long after it was told has not happened: more than clocks of brokers differ. Frontier, and so what
a stage has waited, would be ahead by as much.
"""


class ImpossibleWindowError(ValueError):
    """A window contradicts itself, such as by more failures than there was anything to fail, or has not happened."""


class ImpossibleReportError(ValueError):
    """A proxy counts less than it had counted, more under way than it was sent, or what is no count."""


def refuse_impossible_report(report: ProxyReport) -> None:
    """Raises :class:`ImpossibleReportError` with the place and the numbers.

    More `failed` than `sent` is possible: it may be of connections, and clients that give up take their requests along.
    """
    for place, n in _counts(report):
        if not 0 <= n <= MOST:
            raise ImpossibleReportError(f"{_teller(report)}: {place}: {n} is no count")
    for name, now in report.versions.items():
        if now.active > now.sent:
            raise ImpossibleReportError(
                f"{_teller(report)}: versions.{name}: {now.active} under way of {now.sent} sent"
            )


def _counts(report: ProxyReport) -> Iterator[tuple[str, int]]:
    for name, now in report.versions.items():
        yield from ((f"versions.{name}", n) for n in (now.sent, now.failed))
    yield from ((f"born.{what}", n) for what, n in report.born.items())
    yield from ((f"failures.{what}", n) for what, n in report.failures.items())


def refuse_fallen(before: Mapping[str, VersionTotals], report: ProxyReport) -> None:
    """Raises :class:`ImpossibleReportError` if counts that only rise fell since `before`, of the same router and life.

    What is under way may be given up, so `sent` may fall; what was completed and what failed may not.
    """
    for name, was in before.items():
        now = report.versions.get(name)
        if now is None:
            continue
        for what, earlier, later in (
            ("completed", was.sent - was.active, now.sent - now.active),
            ("failed", was.failed, now.failed),
        ):
            if later < earlier:
                raise ImpossibleReportError(
                    f"{_teller(report)}: versions.{name}: {what} fell from {earlier} to {later}"
                )


def _teller(report: ProxyReport) -> str:
    return f"report of {report.proxy} by {report.router} at {report.at}"


def service_named_in(value: bytes | None) -> str | None:
    """The service that a record is about which is no valid message; None if it does not say."""
    try:
        found = json.loads(value or b"")
        return _SERVICE.validate_python(found["service"]) if isinstance(found, dict) and "service" in found else None
    except (ValueError, RecursionError):  # also pydantic's
        return None


def unreadable(service: str) -> bytes:
    """A record that says no more than that there was an unreadable one about the service."""
    return json.dumps({"service": service}).encode()


def refuse_impossible(window: CohortWindow, told_ms: int | None = None) -> None:
    """Raises :class:`ImpossibleWindowError` with the place and the numbers. Negative counts and NaN are no windows at all.

    One that begins after `told_ms`, when the log took it, would overtake all that are to come.
    """
    if told_ms is not None and _is_ahead(window, told_ms):
        raise ImpossibleWindowError(f"{_place(window)}: it was told at {told_ms}, before it began")
    if window.part > window.parts:
        raise ImpossibleWindowError(f"{_place(window)}: part {window.part} of {window.parts}")
    for place, cell in enumerate(window.cells):
        wrong = contradiction(cell, piece=window.parts > 1)
        if wrong is not None:
            raise ImpossibleWindowError(f"{_place(window)}: cells[{place}].{wrong}")


def ended_at_most(window: CohortWindow, told_ms: int | None) -> int:
    """When a window ended, or was told if it says that it begins after: a hold up to then would not end."""
    return window.window_end if told_ms is None or not _is_ahead(window, told_ms) else told_ms


def _is_ahead(window: CohortWindow, told_ms: int) -> bool:
    return window.window_start > told_ms + AHEAD_MS


def _place(window: CohortWindow) -> str:
    return f"window {window.window_start} of {window.source}-{window.partition}"
