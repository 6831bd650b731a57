"""All a page may know at one moment: what every region is a pure function of."""

from dataclasses import dataclass
from functools import cached_property

from schemas.control import ProxyRoute, RolloutState, RolloutView
from schemas.decisions import MISSING_DATA, CheckResult, LedgerEntry
from schemas.plan import Plan
from status.page.shown import Row, nearest, row
from status.proxied import Proxied
from status.reach import Reach, everywhere
from status.recent import Recent
from status.series import Series
from status.series import series as series_of
from status.views import Confirmation, RolloutStatus

LIVE: frozenset[RolloutState | None] = frozenset({"pending", "shifting", "collecting", "held"})
"""The rollout may still go up, and a rollback may come any moment."""

BACK: frozenset[RolloutState | None] = frozenset({"rolled_back", "drained"})
PROMOTED: frozenset[RolloutState | None] = frozenset({"completed", "retired"})

BLIND_S = 15.0
"""A judge beats once a second while a rollout runs; one that has not for so long is not looking."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks."""

    actor: str
    may_change: Reach = everywhere
    known: bool = False
    """By a token: there is a session to end."""


@dataclass(frozen=True)  # without slots: what takes time to work out is kept
class Snapshot:
    """One service's page. `recent` and `proxied` are None where nobody follows the telemetry."""

    status: RolloutStatus
    now_ms: int
    viewer: Viewer
    recent: Recent | None = None
    proxied: Proxied | None = None
    proxies: tuple[ProxyRoute, ...] = ()
    """Every proxy that exists, as all routers together know it."""
    away_s: float = 0.0
    """How long the log has not answered."""
    refused: str | None = None
    """Why the word that this viewer has just said was not carried out."""

    @property
    def service(self) -> str:
        return self.status.service

    @cached_property
    def view(self) -> RolloutView:
        """The judge's view, corrected by the ledger; of a service without a rollout an empty one."""
        return self.status.rollout or RolloutView(service=self.service, rollout=0, looked_at=0)

    @property
    def state(self) -> RolloutState | None:
        return self.view.state

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """Of the newest rollout, oldest first."""
        return self.status.ledger

    @property
    def head(self) -> LedgerEntry | None:
        return self.entries[-1] if self.entries else None

    @cached_property
    def plan(self) -> Plan | None:
        return next((e.opening.plan for e in self.entries if e.opening is not None), None)

    @cached_property
    def baseline(self) -> str:
        """The version that the canary is, or was, compared with: after a promotion it serves nobody new."""
        first = self.entries[0] if self.entries else None
        known = first.baseline if first else self.view.baseline
        return known or (self.status.definition.baseline if self.status.definition else "baseline")

    @property
    def canary(self) -> str:
        return self.view.canary or "canary"

    @cached_property
    def frozen_at(self) -> LedgerEntry | None:
        """Of a rollout that is over: the newest entry that quotes checks, which are shown as they were then."""
        return None if self.live else next((e for e in reversed(self.entries) if e.checks), None)

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        """What the decision rests on: the judge's newest look, of an ended rollout the ledger's own."""
        return self.frozen_at.checks if self.frozen_at else self.view.checks

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Every check, in the judge's order."""
        return tuple(self._row(check) for check in self.checks)

    @cached_property
    def nearest(self) -> Row | None:
        """The check nearest to its limit or farthest past it: one of `rows`, without working out the others."""
        check = nearest(self.checks, self.plan)
        return None if check is None else self._row(check)

    def _row(self, check: CheckResult) -> Row:
        tail = self.recent.latencies(self.baseline) if self.recent and check.kind == "latency" else None
        return row(check, self.plan, tail)

    @cached_property
    def held_by(self) -> str | None:
        """The code of the hold that lasts."""
        holds = [e.reason.code for e in self.entries if e.kind == "hold"]
        return holds[-1] if self.state == "held" and holds else None

    @property
    def no_data(self) -> bool:
        """Held because nobody knows how the canary does."""
        return self.held_by in MISSING_DATA

    @property
    def blind_s(self) -> float | None:
        """How long the judge has not looked at a rollout that runs; None while it looks, or has nothing to look at."""
        age_s = (self.now_ms - self.view.looked_at) / 1000
        return age_s if self.live and age_s > BLIND_S else None

    @cached_property
    def series(self) -> Series | None:
        if self.recent is None:
            return None
        cohorts = self.view.model_copy(update={"baseline": self.baseline, "checks": self.checks})
        return series_of(self.service, self.recent, cohorts, self.plan)

    def confirmation(self, entry: LedgerEntry) -> Confirmation | None:
        """When every proxy had acknowledged an entry's route for the first time."""
        return next((told for told in self.status.confirmed if told.entry == entry.id), None)

    @cached_property
    def acknowledged(self) -> tuple[int, int]:
        """Proxies that run the newest route, and all that exist."""
        return sum(proxy.state == "acknowledged" for proxy in self.proxies), len(self.proxies)

    @cached_property
    def decision(self) -> LedgerEntry | None:
        """The newest entry that moved something: a word about a hold or an approval moves nothing."""
        moved = [e for e in self.entries if e.kind not in ("approve", "freeze", "unfreeze")]
        return moved[-1] if moved else None
