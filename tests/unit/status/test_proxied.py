"""What the proxies counted."""

from schemas.control import ProxyReport, VersionTotals
from status.proxied import Proxied
from tests.unit.status.test_recent import label


def report(at: int, sent: int, failed: int = 0, active: int = 0, **changes: object) -> ProxyReport:
    known: dict[str, object] = {
        "service": "orders",
        "router": "r",
        "epoch": 1,
        "proxy": "edge-0",
        "started": 1,
        "at": at,
        "versions": {"v2": VersionTotals(sent=sent, failed=failed, active=active)},
    }
    return ProxyReport.model_validate({**known, **changes})


def test_counts_are_differences_within_the_rollout() -> None:
    proxied = Proxied()
    proxied.read(report(1, 100, 5), 1)
    proxied.read(report(2, 130, 6, 4), 1)
    assert proxied.counts("v2") == VersionTotals(sent=30, failed=1, active=4)
    proxied.read(report(3, 140, 6), 2)
    assert proxied.counts("v2").sent == 0
    assert proxied.counts("v9") == VersionTotals(sent=0, failed=0, active=0)


def test_proxies_add_up_and_a_restarted_one_counts_anew() -> None:
    proxied = Proxied()
    proxied.read(report(1, 0), 1)
    proxied.read(report(2, 20, active=3), 1)
    proxied.read(report(2, 0, proxy="edge-1"), 1)
    proxied.read(report(3, 7, active=1, proxy="edge-1"), 1)
    assert proxied.counts("v2") == VersionTotals(sent=27, failed=0, active=4)
    proxied.read(report(4, 2, started=9), 1)
    assert proxied.counts("v2").active == 1
    assert proxied.heard_ms() == 4


def test_sessions_are_counted_by_stage_over_the_lives_of_routers() -> None:
    proxied = Proxied()
    born = {f"v2 {label('v2')}": 10, f"v2 {label('v2', 1, 2)}": 7, f"v1 {label('v1')}": 90, "v2 -": 4, "nonsense": 1}
    proxied.read(report(1, 0, born=born), 1)
    proxied.read(report(2, 0, born={**born, f"v2 {label('v2')}": 12}), 1)
    proxied.read(report(3, 0, epoch=2, born={f"v2 {label('v2')}": 3}), 1)
    assert (proxied.sessions("v2", 1), proxied.sessions("v2", 2), proxied.sessions("v1", 1)) == (15, 7, 90)
