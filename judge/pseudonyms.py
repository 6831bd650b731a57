"""Other names for what a recording names, the same for the same, and every number as it was. Pure.

Labels are made anew, for their nonces follow from seed and version; a nonce that was nobody's stays nobody's.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.checks import Checks
from schemas.control import Command, ProxyReport, RouteChange
from schemas.decisions import CheckResult, Opening
from schemas.labels import UNJUDGED, Label
from schemas.plan import Plan
from schemas.service import Service, Version
from schemas.topics import Topic
from schemas.windows import OTHER, Cell, CohortWindow

SHARED: Topic = "mcp-requests"
_OWN = f"{SHARED}."
REPLACED = "(replaced)"
"""What stands where somebody's own words stood."""

_KEPT: Mapping[str, frozenset[str]] = {
    "version": frozenset({UNJUDGED, OTHER}),
    "tool": frozenset({OTHER, "_unknown"}),
    "method": frozenset({"_unknown"}),
    "host": frozenset({"*", OTHER}),
    "person": frozenset({"judge", "router"}),
    "topic": frozenset({SHARED}),
}
"""By kind of name: ours, they name nothing of anybody's. A service that is called so is somebody's."""
_DIGITS = 16
"""Of a name, in hex: 64 bits. Of a million sessions no two become one."""

V = TypeVar("V")
Seeds = Mapping[int, tuple[str, str]]
"""By rollout: the seed that it had, and the one that it gets."""


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Names by a key: who has not got it cannot find the old name of a new one by trying."""

    key: bytes
    seeds: Seeds = field(default_factory=dict)
    custom: frozenset[str] = frozenset()
    """Metrics of the plans' own."""

    def of(self, kind: str, name: str) -> str:
        """A name of the same kind is always replaced by the same one."""
        if not name or name in _KEPT.get(kind, ()):
            return name
        return f"{kind}-{self._digest(f'{kind} {name}')[:_DIGITS]}"

    def topic(self, name: str) -> str:
        """Of telemetry. A service's own topic stays that: whose it is decides what counts on it."""
        owner = name.removeprefix(_OWN)
        return self.of("topic", name) if owner == name else f"{_OWN}{self.of('service', owner)}"

    def keys(self, kind: str, content: Mapping[str, V]) -> dict[str, V]:
        """Names as keys."""
        return {self.of(kind, name): value for name, value in content.items()}

    def metric(self, name: str) -> str:
        """A custom metric's, which has no hyphens. One that is called like a check counts for nothing, under another name it would."""
        if name in Checks.model_fields:
            return name
        return f"metric_{self._digest(f'metric {name}')[:_DIGITS]}"

    def label(self, text: str, version: str) -> str:
        """The label of the same sessions under the new names."""
        label = Label.parse(text)
        if label is None:
            return UNJUDGED
        had, gets = self.seeds.get(label.rollout, ("", ""))
        if had and Label.make(had, label.rollout, label.stage, version, label.kind) == label:
            return str(Label.make(gets, label.rollout, label.stage, self.of("version", version), label.kind))
        return str(Label(label.rollout, label.stage, label.kind, self._digest(label.nonce)[:16]))

    def seed(self, had: str) -> str:
        """For a rollout's labels."""
        return self._digest(f"seed {had}")[:32]

    def _digest(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()

    # Messages: everything that names something.

    def plan(self, plan: Plan) -> Plan:
        """With the custom metrics and versions that it names."""
        custom = {self.metric(name): check for name, check in plan.checks.custom.items()}
        checks = plan.checks.model_copy(update={"custom": custom})
        canary = self.of("version", plan.canary)
        return plan.model_copy(update={"service": self.of("service", plan.service), "canary": canary, "checks": checks})

    def service(self, service: Service) -> Service:
        """Where its versions listen is nobody's business: a host of their own each, at port 1."""
        return service.model_copy(
            update={
                "service": self.of("service", service.service),
                "path": f"/{self.of('path', service.path)}",
                "hosts": tuple(self.of("host", host) for host in service.hosts),
                "baseline": self.of("version", service.baseline),
                "versions": {self.of("version", name): self._listens(v) for name, v in service.versions.items()},
                "telemetry": self.topic(service.telemetry),
            }
        )

    def _listens(self, version: Version) -> Version:
        dns = self._endpoint(version.dns) if version.dns else None
        return version.model_copy(update={"endpoints": tuple(map(self._endpoint, version.endpoints)), "dns": dns})

    def _endpoint(self, text: str) -> str:
        return f"{self.of('host', text)}:1"

    def opening(self, opening: Opening) -> Opening:
        """Plan, service and seed, each under its new name."""
        return Opening(
            plan=self.plan(opening.plan), service=self.service(opening.service), seed=self.seed(opening.seed)
        )

    def command(self, command: Command) -> Command:
        """Of a person; the reason is replaced."""
        return command.model_copy(
            update={
                "id": self.of("command", command.id),
                "service": self.of("service", command.service),
                "reason": REPLACED if command.reason else "",
                "actor": self.of("person", command.actor),
                "opening": self.opening(command.opening) if command.opening else None,
                "proxy": self.of("proxy", command.proxy) if command.proxy else None,
            }
        )

    def route(self, change: RouteChange) -> RouteChange:
        """A router's picture; what a proxy said is replaced."""
        proxies = tuple(
            route.model_copy(
                update={"proxy": self.of("proxy", route.proxy), "detail": REPLACED if route.detail else None}
            )
            for route in change.proxies
        )
        return change.model_copy(
            update={
                "service": self.of("service", change.service),
                "router": self.of("host", change.router),
                "proxies": proxies,
                "forgotten": self.keys("proxy", change.forgotten),
            }
        )

    def report(self, report: ProxyReport) -> ProxyReport:
        """A proxy's counts, by versions, labels and causes."""

        def with_label(text: str) -> str:
            version, _, label = text.partition(" ")
            return f"{self.of('version', version)} {self.label(label, version)}"

        def with_cause(text: str) -> str:
            version, _, cause = text.partition(" ")
            return f"{self.of('version', version)} {cause}"

        return report.model_copy(
            update={
                "service": self.of("service", report.service),
                "router": self.of("host", report.router),
                "proxy": self.of("proxy", report.proxy),
                "versions": self.keys("version", report.versions),
                "born": _renamed(report.born, with_label),
                "failures": _renamed(report.failures, with_cause),
            }
        )

    def window(self, window: CohortWindow) -> CohortWindow:
        """Final or open: its cells, and what it says of its source."""
        return window.model_copy(
            update={
                "service": self.of("service", window.service),
                "source": self.topic(window.source),
                "instance": self.of("host", window.instance),
                "dropped": self.keys("host", window.dropped),
                "cells": tuple(map(self.cell, window.cells)),
            }
        )

    def cell(self, cell: Cell) -> Cell:
        """One version and label."""
        return cell.model_copy(
            update={
                "version": self.of("version", cell.version),
                "label": self.label(cell.label, cell.version),
                "tools": self.keys("tool", cell.tools),
                "metrics": _renamed(cell.metrics, self.metric),
            }
        )

    def check(self, check: CheckResult) -> CheckResult:
        """What an entry says of a check, which may be named after a metric or a tool."""
        return check.model_copy(
            update={
                "check": self.check_name(check.check),
                "culprits": tuple(self.of("tool", tool) for tool in check.culprits),
            }
        )

    def check_name(self, name: str) -> str:
        """Built-in ones keep theirs."""
        base, dot, against = name.partition(".")
        return f"{self.metric(base)}{dot}{against}" if base in self.custom else name


def _renamed(content: Mapping[str, V], rename: Callable[[str], str]) -> dict[str, V]:
    return {rename(name): value for name, value in content.items()}
