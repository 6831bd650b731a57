"""What gives cause for an alert: a fold of ledger entries, route changes and views. Pure: time comes as an argument."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from alerts.cause import Again, Began, Cause, Ended, Event, Happened, Limits
from alerts.conditions import conditions, ending, fact
from alerts.unreadable import Unreadable, WindowHead
from alerts.watch import Watch
from schemas.control import RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.ledger import Accepted, Void


@dataclass(frozen=True, slots=True)
class Burning:
    """A cause that lasts, and when its alert was last due."""

    cause: Cause
    told_s: float


@dataclass(frozen=True, slots=True)
class Causes:
    """All services, and the telemetry topics. Immutable: each method returns the next state.

    Reading only folds; :meth:`look` says what began, lasts and ended since the last look. Everything in `_s` is on one
    monotonic axis of seconds; `at_s` is when a record was appended, by that axis.
    """

    limits: Limits = field(default_factory=Limits)
    watches: Mapping[str, Watch] = field(default_factory=dict)
    topics: Mapping[str, Unreadable] = field(default_factory=dict)
    burning: Mapping[str, Burning] = field(default_factory=dict)
    """By key: what lasts, as of the last look."""
    back: Mapping[tuple[str, int], float] = field(default_factory=dict)
    """By service and rollout: when data was back whose absence had been a page, while another one would be a notice."""

    def read_entry(self, entry: LedgerEntry, offset: int, at_s: float) -> "tuple[Causes, Happened | Void | None]":
        """The next ledger entry: the fact it states, if on-call wants to know it, or why it has no effect."""
        before = self._watch(entry.service)
        watch, result = before.read_entry(entry, offset, at_s)
        if not isinstance(result, Accepted):
            return self, result
        stated = fact(entry, before.chain.standing, at_s)
        return self._with(watch), None if stated is None else Happened(stated)

    def read_route(self, change: RouteChange, at_s: float, place: tuple[str, int] | None = None) -> "Causes":
        """A router's newest picture of a service's proxies, and where it lies: topic and partition, and offset."""
        return self._with(self._watch(change.service).read_route(change, at_s, place))

    def read_view(self, view: RolloutView, at_s: float) -> "Causes":
        """The judge's newest view: its heartbeat."""
        return self._with(self._watch(view.service).read_view(view, at_s))

    def read_window(self, head: WindowHead, at_s: float) -> "Causes":
        """A final window of any service's."""
        topic = self.topics.get(head.source, Unreadable(head.source)).read(head, at_s, self.limits)
        return replace(self, topics={**self.topics, head.source: topic})

    def look(self, now_s: float, only: Collection[str] | None = None) -> "tuple[Causes, tuple[Event, ...]]":
        """What changed since the last look, for `only` these services or all, and the topics. Ends come before beginnings."""
        names = self.watches.keys() if only is None else self.watches.keys() & set(only)
        watches = {name: self.watches[name].settled(now_s, self.limits) for name in sorted(names)}
        lasting = [c for watch in watches.values() for c in conditions(watch, now_s, self.limits)]
        lasting += [cause for topic in self.topics.values() if (cause := topic.cause()) is not None]
        found = {cause.key: self._as_known(cause, now_s) for cause in lasting}
        mine = {key: b for key, b in self.burning.items() if only is None or _looked_at(b.cause, watches)}
        ended = [self._ended(b.cause, now_s) for key, b in mine.items() if key not in found]
        began = [Began(cause) for key, cause in found.items() if key not in mine]
        again = [Again(found[key]) for key, b in mine.items() if key in found and self._due(b, now_s)]
        others = {key: b for key, b in self.burning.items() if key not in mine}
        burning = {key: _burning(cause, mine.get(key), again, now_s) for key, cause in found.items()}
        back = {rollout: at_s for rollout, at_s in self.back.items() if now_s - at_s < self.limits.repeat_s}
        back |= {_rollout(event.cause): now_s for event in ended if _pages_for_data(event.cause)}
        after = replace(self, watches={**self.watches, **watches}, burning={**others, **burning}, back=back)
        return after, (*ended, *began, *again)

    def woken(self, now_s: float, burning: Iterable[Burning]) -> "Causes":
        """After a time in which nothing was heard because nobody listened: silence is counted from now on.

        Causes that were `burning` before burn on until something is heard that ends them.
        """
        known = {b.cause.key: b for b in burning}
        since = {key: b.cause.since_s for key, b in known.items()}
        watches = {name: watch.woken(now_s, since) for name, watch in self.watches.items()}
        unread = [b.cause for b in known.values() if b.cause.kind == "unreadable"]
        topics = {c.service: self.topics.get(c.service, Unreadable(c.service)).remembered(c.since_s) for c in unread}
        return replace(self, watches=watches, topics={**self.topics, **topics}, burning=known)

    def _watch(self, service: str) -> Watch:
        return self.watches.get(service, Watch(service))

    def _with(self, watch: Watch) -> "Causes":
        return replace(self, watches={**self.watches, watch.service: watch})

    def _as_known(self, cause: Cause, now_s: float) -> Cause:
        """What burns already began when it was first seen, and is as grave as it was then."""
        before = self.burning.get(cause.key)
        if before is not None:
            return replace(cause, since_s=before.cause.since_s, severity=before.cause.severity)
        soon = now_s - self.back.get(_rollout(cause), -math.inf) < self.limits.repeat_s
        return replace(cause, severity="notice") if soon and _pages_for_data(cause) else cause

    def _due(self, burning: Burning, now_s: float) -> bool:
        return burning.cause.severity == "page" and now_s - burning.told_s >= self.limits.repeat_s

    def _ended(self, cause: Cause, now_s: float) -> Ended:
        return Ended(cause, now_s, ending(cause, self._watch(cause.service)))


def _looked_at(cause: Cause, services: Collection[str]) -> bool:
    """Topics always are."""
    return cause.kind == "unreadable" or cause.service in services


def _rollout(cause: Cause) -> tuple[str, int]:
    return cause.service, cause.rollout


def _pages_for_data(cause: Cause) -> bool:
    """It is missing, which may come and go."""
    return cause.kind in {"no_data", "telemetry_lost"} and cause.severity == "page"


def _burning(cause: Cause, before: Burning | None, again: list[Again], now_s: float) -> Burning:
    told_s = now_s if before is None or Again(cause) in again else before.told_s
    return Burning(cause, told_s)
