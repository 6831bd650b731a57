"""What `davylamp doctor` found, as text: what is well, what is not, and what to type next. Pure."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cli.rendering import WIDTH

_NAME = 14
CLOCKS_APART_S = 5.0
"""HTTP tells the time in whole seconds, and an answer takes a moment: less says nothing."""

_NEXT = {
    "requests read": "davylamp run streams",
    "windows closed": "davylamp run streams",
    "unread events": "davylamp dlq list",
    "coverage": "davylamp proxy list",
    "judge looked": "davylamp run judge",
    "proxies": "davylamp proxy list",
    "log": "davylamp topics",
}
"""Station of a service's health → what to type when it is not well."""

_NOTHING = "–"
"""The value of a station of which nothing was ever heard."""
_NONE = "0"
_DROPPED = "could the servers reach Kafka? their logs say why"
"""Where every event could be read: those that servers dropped are no dead letters."""
_FIRST = _NEXT | {
    "unread events": "davylamp run streams",
    "coverage": "does a server send? docs/howto/add-telemetry.md",
    "proxies": "davylamp envoy bootstrap --node NAME, or davylamp run router",
}
"""The same for such a station."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    well: bool | None
    """None: nobody knows."""
    text: str
    next: str = ""
    """What to type where it is not well."""


def render_findings(findings: Sequence[Finding]) -> str:
    """A line each, at most 80 columns; what is not well has the command to type below it."""
    lines = [line for finding in findings for line in _lines(finding)]
    ill, unknown = (sum(finding.well is well for finding in findings) for well in (False, None))
    return "\n".join([*lines, "", _sum(ill, unknown)])


def _lines(finding: Finding) -> list[str]:
    sign = {True: "✔", False: "✖", None: "–"}[finding.well]
    first = f"{sign} {finding.name:<{_NAME}} "
    body = textwrap.wrap(finding.text, WIDTH - len(first)) or [""]
    lines = [first + body[0], *(" " * len(first) + more for more in body[1:])]
    return [*lines, f"{' ' * len(first)}→ {finding.next}"] if finding.next and finding.well is not True else lines


def _sum(ill: int, unknown: int) -> str:
    """What nobody knows is not well."""
    parts = [f"{_things(n)} {word}" for n, word in ((ill, "not well"), (unknown, "not known")) if n]
    return ", ".join(parts) or "everything that was looked at is well"


def _things(n: int) -> str:
    return f"{n} thing is" if n == 1 else f"{n} things are"


def of_topics(problems: Iterable[str]) -> list[Finding]:
    """What is wrong with each topic."""
    found = [Finding("topics", well=False, text=problem, next="davylamp topics") for problem in problems]
    return found or [Finding("topics", well=True, text="all are there, as they must be")]


def of_api(url: str, version: str, own: str) -> list[Finding]:
    """That the status API answers, and whether it is of our version."""
    answers = Finding("status API", well=True, text=f"{url} answers, and follows the log")
    if version == own:
        return [answers, Finding("versions", well=True, text=f"{own} here and there")]
    text = f"{version} there, {own} here: they may not understand each other"
    return [
        answers,
        Finding("versions", well=False, text=text, next="git pull && make install, where the older one runs"),
    ]


def apart_s(asked: datetime, told: datetime, answered: datetime) -> float:
    """How far a clock is ahead of ours at least, or behind (negative), which told its time somewhen between question and answer."""
    return (told - min(max(told, asked), answered)).total_seconds()


def of_clock(apart_s: float) -> Finding:
    """How far this machine's clock is from the API's."""
    if abs(apart_s) <= CLOCKS_APART_S:
        return Finding("clock", well=True, text="this machine and the API agree")
    text = (
        f"{abs(apart_s):.0f} s {'behind' if apart_s > 0 else 'ahead of'} the API's: ages that are shown here are wrong"
    )
    return Finding("clock", well=False, text=text, next="timedatectl set-ntp true")


def of_services(health: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """What is not well with each service, what nobody knows of it, or how all of it stands."""
    if not health:
        return [Finding("services", well=None, text="none is known", next="davylamp service apply FILE")]
    return [finding for one in health for finding in _of_service(one)]


def _of_service(one: Mapping[str, Any]) -> list[Finding]:
    """What the same command mends is one finding."""
    found: dict[tuple[bool | None, str], list[str]] = {}
    for station in one["stations"]:
        if station["health"] in _WELL:
            found.setdefault((_WELL[station["health"]], _next(station)), []).append(_station(station))
    if found:
        items = sorted(found.items(), key=lambda item: item[0][0] is None)
        return [Finding(one["service"], well, "; ".join(texts), command) for (well, command), texts in items]
    text = ", ".join(f"{station['name']} {station['value']}" for station in one["stations"])
    return [Finding(one["service"], well=True, text=text)]


_WELL: dict[str, bool | None] = {"bad": False, "unknown": None}
"""By a station's health, where there is something to say of it."""


def _next(station: Mapping[str, Any]) -> str:
    if station["name"] == "unread events" and station["value"] == _NONE:
        return _DROPPED
    return (_FIRST if station["value"] == _NOTHING else _NEXT).get(station["name"], "davylamp status")


def _station(station: Mapping[str, Any]) -> str:
    if station["value"] == _NOTHING:
        return f"{station['name']}: {station['detail']}"
    detail = f" ({station['detail']})" if station["detail"] else ""
    return f"{station['name']}: {station['value']}{detail}"
