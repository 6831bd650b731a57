"""What proxies saw, and when it is told."""

from dataclasses import replace
from typing import Any

import pytest

from router import witness as module
from router.snapshot import ServiceRoute
from router.witness import IDLE_EVERY_MS, SILENT_MS, UNANSWERED_AFTER_S, Witness
from schemas.control import ProxyReport, VersionTotals
from schemas.service import Version
from tests.unit.router.proxy_words import STARTED_MS, STARTED_NS, entry, of_cluster, push

PLACE = Version(endpoints=("127.0.0.1:8001",))
ORDERS = ServiceRoute("orders", "e1", "/mcp", ("*",), {"v1": PLACE, "v2": PLACE}, (), (), ("v1",), home="v1")
BILLING = replace(ORDERS, service="billing")
LABEL, OLDER, NEWER = (f"{n}.1.session.0123456789abcdef" for n in (2, 1, 3))


class Watch:
    """A witness and a clock."""

    def __init__(self) -> None:
        self.witness = Witness("router-1", epoch=7)
        self.now = 1_000

    def pushed(self, completed: int, proxy: str = "lb0", cluster: str = "orders.v2", **changes: Any) -> "Watch":
        self.witness.push(proxy, push(of_cluster(cluster, completed=completed), **changes), self.now)
        return self

    def log(self, *entries: Any, proxy: str = "lb0") -> "Watch":
        self.witness.log(proxy, entries)
        return self

    def due(self, *routes: ServiceRoute, live: bool = True, after: int = 1_000) -> list[ProxyReport]:
        self.now += after
        routes = routes or (ORDERS,)
        return self.witness.due(routes, {r.service for r in routes} if live else set(), self.now)

    def one(self, *routes: ServiceRoute) -> ProxyReport:
        """The one report that is due after one more push."""
        self.pushed(1)
        (report,) = self.due(*routes)
        return report


def test_a_report_says_of_every_version_what_the_proxy_counted_and_whose_lives_it_is_about() -> None:
    (report,) = Watch().pushed(5).due()
    assert report == ProxyReport(
        service="orders",
        router="router-1",
        epoch=7,
        proxy="lb0",
        started=STARTED_MS,
        at=1_000,
        versions={"v1": VersionTotals(sent=0, failed=0, active=0), "v2": VersionTotals(sent=5, failed=0, active=0)},
    )


def test_each_service_hears_of_its_own_clusters_from_every_proxy() -> None:
    watch = Watch().pushed(5, "lb1").pushed(6, cluster="billing.v1")
    reports = watch.due(ORDERS, BILLING)
    assert [(r.proxy, r.service, r.versions["v1"].sent, r.versions["v2"].sent) for r in reports] == [
        ("lb0", "orders", 0, 0),
        ("lb0", "billing", 6, 0),
        ("lb1", "orders", 0, 5),
        ("lb1", "billing", 0, 0),
    ]


def test_only_the_newest_push_is_told_and_only_once() -> None:
    watch = Watch().pushed(5).pushed(6)
    assert [r.versions["v2"].sent for r in watch.due()] == [6]
    assert watch.due() == []


def test_while_a_rollout_lives_every_push_is_told_so_that_a_silent_proxy_is_noticed() -> None:
    watch = Watch()
    told = [watch.pushed(5).due() for _ in range(3)]
    assert [[r.at for r in reports] for reports in told] == [[1_000], [2_000], [3_000]]


def test_outside_a_rollout_what_is_new_is_told_seldom_and_what_is_not_new_never() -> None:
    watch = Watch()
    assert len(watch.pushed(5).due(live=False)) == 1
    assert watch.pushed(6).due(live=False) == []
    assert len(watch.pushed(7).due(live=False, after=IDLE_EVERY_MS)) == 0
    assert [r.versions["v2"].sent for r in watch.pushed(8).due(live=False)] == [8]
    assert watch.pushed(8).due(live=False, after=2 * IDLE_EVERY_MS) == []
    assert watch.pushed(8).due(live=False) == []


def test_what_was_not_told_is_told_when_a_rollout_begins() -> None:
    watch = Watch()
    watch.pushed(5).due(live=False)
    watch.pushed(6).due(live=False)
    assert [r.versions["v2"].sent for r in watch.due(live=True)] == [6]


def test_a_proxy_that_began_again_has_another_life_and_counts_from_0() -> None:
    watch = Watch()
    (before,) = watch.pushed(50).due()
    (after,) = watch.pushed(2, started_ns=STARTED_NS + 9_000_000_000).due()
    assert (before.started, before.versions["v2"].sent) == (STARTED_MS, 50)
    assert (after.started, after.versions["v2"].sent) == (STARTED_MS + 9_000, 2)


def test_pushes_that_were_lost_cost_nothing() -> None:
    watch = Watch()
    watch.pushed(10).due()
    watch.now += 12_000
    assert [r.versions["v2"].sent for r in watch.pushed(460).due()] == [460]


def test_sessions_are_counted_as_they_are_drawn_whatever_comes_of_them() -> None:
    drawn = [entry(f"{LABEL};v2", code=code, route="orders draws", request=str(code)) for code in (200, 503)]
    drawn.append(entry(f"{LABEL};v1", code=200, route="orders draws", request="3"))
    report = Watch().log(*drawn, entry(f"{LABEL};v2", code=200)).one()
    assert report.born == {f"v2 {LABEL}": 2, f"v1 {LABEL}": 1}
    assert report.failures == {"v2 status_5xx": 1}


def test_a_label_of_no_rollout_is_nobody_s_session_and_no_fault_of_the_witness() -> None:
    drawn = entry("0.1.session.0123456789abcdef;v2", code=503, route="orders draws")
    report = Watch().log(drawn).one()
    assert (report.born, report.failures) == ({}, {"v2 status_5xx": 1})


def test_sums_are_of_one_proxy_and_one_service() -> None:
    watch = (
        Watch().log(entry(f"{LABEL};v2", code=500), proxy="lb1").log(entry(f"{LABEL};v2", code=500, route="billing"))
    )
    assert watch.one(ORDERS).failures == {}
    assert watch.one(BILLING).failures == {"v2 status_5xx": 1}


def test_a_request_that_hangs_is_counted_once_however_often_it_is_logged() -> None:
    hung = entry(f"{LABEL};v2", ended=False, route="orders draws")
    left = entry(f"{LABEL};v2", flags=("downstream_connection_termination",), route="orders draws")
    watch = Watch().log(hung, hung).log(hung).log(left)
    report = watch.one()
    assert report.failures == {"v2 hung": 1}
    assert report.born == {f"v2 {LABEL}": 1}
    assert watch.log(left).one().failures == {"v2 hung": 1, "v2 abandoned": 1}


def test_a_request_without_an_answer_for_a_minute_is_counted_once_and_a_slow_answer_never() -> None:
    watch = Watch()
    for seconds in range(5, 200, 5):
        watch.log(*(entry(f"{LABEL};v2", ended=False, request=str(code), code=code) for code in (0, 200)))
        counted = {"v2 unanswered": 1} if seconds >= UNANSWERED_AFTER_S else {}
        assert watch.one().failures == {"v2 hung": 2, **counted}
    slow = [entry(f"{LABEL};v1", ended=False, request="slow")] * 11
    watch.log(*slow, entry(f"{LABEL};v1", code=200, request="slow"))
    assert watch.one().failures == {"v2 hung": 2, "v2 unanswered": 1, "v1 hung": 1}


def test_sums_are_of_the_newest_rollout() -> None:
    watch = Watch().log(entry(f"{LABEL};v2", code=500, route="orders draws"))
    newer = watch.log(entry(f"{NEWER};v2", code=200, route="orders draws", request="2")).one()
    assert (newer.born, newer.failures) == ({f"v2 {NEWER}": 1}, {})
    late = watch.log(entry(f"{OLDER};v2", code=200, route="orders draws", request="3")).one()
    assert late.born == {f"v2 {NEWER}": 1}


def test_unjudged_requests_are_nobodys_birth_but_their_failures_count() -> None:
    report = Watch().log(entry("-;v1", code=500, route="orders draws")).one()
    assert (report.born, report.failures) == ({}, {"v1 status_5xx": 1})


def test_a_proxy_that_says_nothing_is_not_spoken_for_and_keeps_its_sums() -> None:
    watch = Watch().log(entry(f"{LABEL};v2", code=500))
    watch.one()
    watch.pushed(5)
    assert watch.due(after=SILENT_MS + 1) == []
    assert watch.one().failures == {"v2 status_5xx": 1}


def test_of_proxies_that_come_and_go_for_ever_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_KEPT", 2)
    watch = Watch()
    for number in range(4):
        name = f"pod-{number}"
        watch.pushed(1, name).log(entry(f"{LABEL};v2", route="orders draws"), proxy=name)
        watch.due()
        watch.due(after=SILENT_MS + 1)
    born = {}
    for number in (3, 2, 1, 0):
        name = f"pod-{number}"
        (report,) = watch.pushed(1, name).due()
        born[name] = sum(report.born.values())
        watch.due(after=SILENT_MS + 1)
    assert born == {"pod-3": 1, "pod-2": 1, "pod-1": 0, "pod-0": 0}
