"""What the proxies themselves counted: differences of their cumulative reports. Pure: a fold of `proxy-reports`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from judge.impossible import ImpossibleReportError, refuse_fallen, refuse_impossible_report
from schemas.control import ProxyReport, VersionTotals

EVERY_MS = 5_000
"""Differences of one proxy are taken so far apart at least; what is skipped is in the next one."""
KNOWN_AFTER_MS = 3 * EVERY_MS
"""So long after any moment each proxy that reports has told a whole difference which began since: it begins within one
distance of them and the second between two reports, lasts as long again, and the rest is for the way through the log."""
KEPT_MS = 16 * 86_400_000
"""Longer than a rollout may last."""
_PRUNE_EVERY = 4096

Life = tuple[str, int]
"""A proxy, and when it began to count."""

RouterLife = tuple[str, int, str, int]
"""A router, when it began, and the life of the proxy that it tells of."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What one proxy sent to one version between two of its reports."""

    sent: int
    failed: int
    """Unanswered ones (:data:`schemas.control.FailureCause`) among them: each counts as one more sent, too, for it leaves the
    proxy's own count when its client gives it up. So their part is told too small, never too large."""
    answered: int
    """Neither failed nor still under way."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two reports of one proxy: a stratum of its own, for both cohorts met the same load there."""

    start_ms: int
    """Append time of the earlier report."""
    end_ms: int
    versions: Mapping[str, Sent]


@dataclass(frozen=True, slots=True)
class _Base:
    """The report from which the next difference of its proxy is taken."""

    at_ms: int
    """When the log took it."""
    report: ProxyReport

    def is_of(self, report: ProxyReport) -> bool:
        """Whether the same life of the same router told it: of what that told, nothing comes late."""
        return (self.report.router, self.report.epoch) == (report.router, report.epoch)


@dataclass(slots=True)
class ProxyBook:
    """All reports about one service, in the order of their topic."""

    _last: dict[Life, _Base] = field(default_factory=dict)
    _born: dict[RouterLife, Mapping[str, int]] = field(default_factory=dict)
    _unanswered: dict[RouterLife, Mapping[str, int]] = field(default_factory=dict)
    """By version, as last told."""
    _waiting: dict[Life, Counter[str]] = field(default_factory=dict)
    """Unanswered requests by version, told since the proxy's last difference."""
    _heard_ms: dict[RouterLife, int] = field(default_factory=dict)
    """When the log took its newest report."""
    _differences: list[Difference] = field(default_factory=list)
    _pruned: int = 0
    _now_ms: int = 0

    def read(self, report: ProxyReport, at_ms: int) -> None:
        """The next report. The first one of a proxy's life only says from where to count.

        Raises :class:`judge.impossible.ImpossibleReportError`: it is not counted, and the proxy's next one only says from
        where to count again.
        """
        self._now_ms = max(self._now_ms, at_ms)
        life = report.proxy, report.started
        base = self._last.get(life)
        try:
            refuse_impossible_report(report)
            if base is not None and base.is_of(report):
                refuse_fallen(base.report.versions, report)
        except ImpossibleReportError:
            self._last.pop(life, None)
            raise
        self._heard_ms[report.router, report.epoch, *life] = self._now_ms
        self._read_born(report)
        self._read_unanswered(report)
        self._read_totals(base, report)

    def counts_from(self, report: ProxyReport) -> bool:
        """Whether the next difference of its proxy is taken from this very report."""
        base = self._last.get((report.proxy, report.started))
        return base is not None and base.report is report

    def _read_totals(self, base: _Base | None, report: ProxyReport) -> None:
        life, newest = (report.proxy, report.started), _Base(self._now_ms, report)
        if base is None:
            self._last[life] = newest
            self._waiting.pop(life, None)
            return
        before = base.report.versions
        if self._now_ms - base.at_ms < EVERY_MS or _fell(before, report.versions):
            return
        self._last[life] = newest
        waiting = self._waiting.pop(life, Counter())
        versions = {name: _sent(before.get(name), after, waiting[name]) for name, after in report.versions.items()}
        self._differences.append(Difference(base.at_ms, self._now_ms, versions))
        if len(self._differences) % _PRUNE_EVERY == 0:
            self._prune()

    def _read_born(self, report: ProxyReport) -> None:
        """Counts of one life only rise: an older report says nothing new."""
        life = report.router, report.epoch, report.proxy, report.started
        known = self._born.get(life, {})
        self._born[life] = {**known, **{at: max(n, known.get(at, 0)) for at, n in report.born.items()}}

    def _read_unanswered(self, report: ProxyReport) -> None:
        """The first report of a router's life only says from where to count; counts that fall began anew at 0."""
        life = report.router, report.epoch, report.proxy, report.started
        told = {name.removesuffix(_UNANSWERED): n for name, n in report.failures.items() if name.endswith(_UNANSWERED)}
        before = self._unanswered.get(life, told)
        self._unanswered[life] = told
        waiting = self._waiting.setdefault((report.proxy, report.started), Counter())
        for version, n in told.items():
            had = before.get(version, 0)
            waiting[version] += n - had if n >= had else n

    def _prune(self) -> None:
        oldest_ms = self._now_ms - KEPT_MS
        old = next((i for i, d in enumerate(self._differences) if d.end_ms >= oldest_ms), 0)
        del self._differences[:old]
        self._pruned += old
        for gone in [life for life, at_ms in self._heard_ms.items() if at_ms < oldest_ms]:
            del self._heard_ms[gone], self._born[gone], self._unanswered[gone]
        lives = {(proxy, started) for _, _, proxy, started in self._heard_ms}
        self._last = {life: base for life, base in self._last.items() if life in lives}
        self._waiting = {life: counts for life, counts in self._waiting.items() if life in lives}

    def born(self, version: str, label: str) -> int:
        """Sessions that proxies assigned, told by any router; 0 if none was told."""
        return sum(counts.get(f"{version} {label}", 0) for counts in self._born.values())

    def after(self, place: int, since_ms: float) -> tuple[int, Sequence[Difference]]:
        """Differences from a place in the whole row on that end after `since_ms`, and the place behind them."""
        found = self._differences[max(0, place - self._pruned) :]
        return self._pruned + len(self._differences), [d for d in found if d.end_ms > since_ms]

    def answered(self, version: str, since_ms: int) -> int:
        """Requests of a version that were answered since then, as the proxies saw it.

        A difference that began before says nothing of when; that of a proxy which was told of late must not hide the others'.
        """
        total = 0
        for difference in reversed(self._differences):
            if difference.end_ms <= since_ms:
                break
            if difference.start_ms >= since_ms:
                total += difference.versions.get(version, _NOTHING).answered
        return total


_NOTHING = Sent(0, 0, 0)
_UNANSWERED = " unanswered"
"""Ends the name of such a count, after the version's."""


def _fell(before: Mapping[str, VersionTotals], after: Mapping[str, VersionTotals]) -> bool:
    """Another router's word about the same proxy came late."""
    return any(name in after and after[name].sent < totals.sent for name, totals in before.items())


def _sent(before: VersionTotals | None, after: VersionTotals, unanswered: int) -> Sent:
    was = before or VersionTotals(sent=0, failed=0, active=0)
    sent, failed = after.sent - was.sent, max(0, after.failed - was.failed)
    under_way = after.active - was.active
    # What was sent before may fail now: where a version dies more fails than was sent meanwhile, and no more than that counts.
    return Sent(sent + unanswered, min(failed, sent) + unanswered, max(0, sent - failed - under_way))
