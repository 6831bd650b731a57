"""What the proxies themselves counted of a service lately: a fold of `proxy-reports`. Pure."""

from dataclasses import dataclass, field

from schemas.control import ProxyReport, VersionTotals
from schemas.labels import Label

_NOTHING = VersionTotals(sent=0, failed=0, active=0)


@dataclass(slots=True)
class Proxied:
    """One service. Counts of a proxy are cumulative over its life; what is told here are differences."""

    rollout: int = 0
    _first: dict[tuple[str, int], ProxyReport] = field(default_factory=dict)
    """(proxy, began to count) → its first report within the newest rollout."""
    _newest: dict[tuple[str, int], ProxyReport] = field(default_factory=dict)
    _born: dict[tuple[str, int, str], dict[str, int]] = field(default_factory=dict)
    """(router, its life, proxy) → `<version> <label>` → sessions."""

    def read(self, report: ProxyReport, rollout: int) -> None:
        """Take a report, within the newest rollout."""
        if rollout != self.rollout:
            self.rollout = rollout
            self._first.clear()
            self._born.clear()
        life = report.proxy, report.started
        for older in [known for known in self._newest if known[0] == report.proxy and known[1] < report.started]:
            self._newest.pop(older)
        self._first.setdefault(life, report)
        self._newest[life] = report
        self._born[report.router, report.epoch, report.proxy] = dict(report.born)

    def counts(self, version: str) -> VersionTotals:
        """What all proxies sent to a version since the rollout began, as far as reports tell, and what is under way."""
        sent = failed = active = 0
        for life, newest in self._newest.items():
            now = newest.versions.get(version, _NOTHING)
            before = self._first[life].versions.get(version, _NOTHING) if life in self._first else now
            sent, failed, active = (
                sent + now.sent - before.sent,
                failed + now.failed - before.failed,
                active + now.active,
            )
        return VersionTotals(sent=max(0, sent), failed=max(0, failed), active=active)

    def sessions(self, version: str, stage: int) -> int:
        """How many sessions the proxies assigned to a version in a stage of the newest rollout."""
        return sum(
            n for counts in self._born.values() for key, n in counts.items() if _is(key, version, self.rollout, stage)
        )

    def heard_ms(self) -> int | None:
        """When a proxy was last heard."""
        return max((report.at for report in self._newest.values()), default=None)


def _is(key: str, version: str, rollout: int, stage: int) -> bool:
    named, _, text = key.partition(" ")
    label = Label.parse(text)
    return named == version and label is not None and (label.rollout, label.stage) == (rollout, stage)
