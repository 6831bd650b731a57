"""What proxies saw of the services, and when it is told (`proxy-reports`). Pure: time comes in as an argument."""

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from router.bootstrap_reports import HUNG_AFTER_S
from router.open_requests import OpenRequests
from router.proxy_log import Logged, logged
from router.proxy_totals import Totals, totals
from router.snapshot import ServiceRoute
from schemas.control import ProxyReport, VersionTotals
from schemas.labels import Label

IDLE_EVERY_MS = 10_000
"""Outside a rollout a service is told of so often, if anything about it is new."""
SILENT_MS = 60_000
"""A proxy that pushed nothing for so long is forgotten until it does again."""
SILENT_KEPT = 1_000
"""Of so many proxies that are silent the sums stay; of more, those that were silent first count anew if they come back."""
UNANSWERED_AFTER_S = 60.0
"""As long as the SDK waits before it calls a request timed out: what may be slow there may be slow here."""

_NOTHING = VersionTotals(sent=0, failed=0, active=0)


@dataclass(slots=True)
class _Pushed:
    totals: Totals
    at_ms: int
    told: set[str] = field(default_factory=set)
    """Services that were told of it."""


@dataclass(slots=True)
class _Sums:
    """From the log of one proxy, about one service, in its newest rollout."""

    born: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


class Witness:
    """One router's. `epoch` is when it began, Unix milliseconds."""

    def __init__(self, router: str, epoch: int, unanswered_after_s: float = UNANSWERED_AFTER_S) -> None:
        self._router = router
        self._epoch = epoch
        self._unanswered_after = round(unanswered_after_s / HUNG_AFTER_S)
        self._pushed: dict[str, _Pushed] = {}
        self._silent: dict[str, None] = {}
        """Proxies that log and push nothing, the last to fall silent last."""
        self._rollouts: dict[str, int] = {}
        self._sums: dict[str, dict[str, _Sums]] = {}
        self._open: dict[str, OpenRequests] = {}
        self._last: dict[tuple[str, str], ProxyReport] = {}

    def push(self, proxy: str, request: Any, now_ms: int) -> None:
        """A proxy's totals came (`ExportMetricsServiceRequest`); they stand for all that came before."""
        newest = totals(request)
        if newest is not None:
            self._pushed[proxy] = _Pushed(newest, now_ms)
            self._silent.pop(proxy, None)

    def log(self, proxy: str, entries: Iterable[Any]) -> None:
        """Entries of a proxy's log came (`HTTPAccessLogEntry`)."""
        if proxy not in self._pushed:
            self._fell_silent(proxy)
        for entry in entries:
            one = logged(entry)
            if one is not None:
                self._read(proxy, one)

    def due(self, routes: Iterable[ServiceRoute], lively: Container[str], now_ms: int) -> list[ProxyReport]:
        """What is to be told now: of each service and proxy what was pushed and not told yet.

        Of a `lively` service always, so that its readers know that the proxy is there; of another one seldom, and only
        if something is new.
        """
        for proxy in [name for name, pushed in self._pushed.items() if now_ms - pushed.at_ms > SILENT_MS]:
            self._forget(proxy)
        listed = list(routes)
        found = [self._due(r, name, r.service in lively) for name in sorted(self._pushed) for r in listed]
        return [report for report in found if report is not None]

    def _due(self, route: ServiceRoute, proxy: str, live: bool) -> ProxyReport | None:  # noqa: FBT001
        pushed, key = self._pushed[proxy], (route.service, proxy)
        if route.service in pushed.told:
            return None
        report, last = self._report(route, proxy, pushed), self._last.get(key)
        if not (live or last is None or _is_new(report, last)):
            return None
        pushed.told.add(route.service)
        self._last[key] = report
        return report

    def _report(self, route: ServiceRoute, proxy: str, pushed: _Pushed) -> ProxyReport:
        sums = self._sums.get(route.service, {}).get(proxy, _Sums())
        return ProxyReport(
            service=route.service,
            router=self._router,
            epoch=self._epoch,
            proxy=proxy,
            started=pushed.totals.started,
            at=pushed.at_ms,
            versions={v: pushed.totals.clusters.get(route.cluster(v), _NOTHING) for v in route.versions},
            born=dict(sums.born),
            failures=dict(sums.failures),
        )

    def _read(self, proxy: str, one: Logged) -> None:
        now_ms = self._pushed[proxy].at_ms if proxy in self._pushed else 0
        times = self._open.setdefault(proxy, OpenRequests()).read(one, now_ms)
        if times == 1:
            self._count(proxy, one)
        if times == self._unanswered_after and not one.ended and not one.answered:
            self._of(proxy, one).failures[f"{one.version} unanswered"] += 1

    def _count(self, proxy: str, one: Logged) -> None:
        label = Label.parse(one.label)
        if label is not None and label.rollout > self._rollouts.get(one.service, 0):
            self._rollouts[one.service] = label.rollout
            self._sums.pop(one.service, None)
        sums = self._of(proxy, one)
        if one.draws and label is not None and label.rollout == self._rollouts.get(one.service):
            sums.born[f"{one.version} {one.label}"] += 1
        if one.cause is not None:
            sums.failures[f"{one.version} {one.cause}"] += 1

    def _of(self, proxy: str, one: Logged) -> _Sums:
        return self._sums.setdefault(one.service, {}).setdefault(proxy, _Sums())

    def _forget(self, proxy: str) -> None:
        """Its sums stay: they are of the newest rollouts only, and must not fall if it comes back."""
        del self._pushed[proxy]
        self._open.pop(proxy, None)
        self._fell_silent(proxy)
        self._last = {key: report for key, report in self._last.items() if key[1] != proxy}

    def _fell_silent(self, proxy: str) -> None:
        self._silent.pop(proxy, None)
        self._silent[proxy] = None
        if len(self._silent) > SILENT_KEPT:
            gone = next(iter(self._silent))
            del self._silent[gone]
            self._open.pop(gone, None)
            for sums in self._sums.values():
                sums.pop(gone, None)


def _is_new(report: ProxyReport, last: ProxyReport) -> bool:
    if report.at - last.at < IDLE_EVERY_MS:
        return False
    return report.model_copy(update={"at": last.at}) != last
