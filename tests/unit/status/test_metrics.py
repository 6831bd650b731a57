"""What Prometheus is told."""

import re
from dataclasses import replace
from typing import get_args

import httpx2

from schemas.control import ProxyRoute, RouteChange
from schemas.decisions import CheckResult, Count, Cut
from status.metrics import METRICS, Counted, MetricName, render
from status.recent import Losses
from status.views import Confirmation
from tests.builders import entry, route
from tests.page_pictures import snapshot
from tests.unit.status.scene import api, applied
from transport.memory_log import MemoryLog

LINE = re.compile(r'^(davylamp_[a-z_]+)(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? (-?[0-9.e+-]+)$')
CHECK = CheckResult(
    check="error_rate",
    verdict="breached",
    baseline=Count(n=9, bad=0),
    canary=Count(n=9, bad=9),
    margin=0.005,
    log_e_breach=9.0,
    log_e_within=0.0,
)


def samples(text: str) -> dict[str, float]:
    """Each line's name and labels → value; every line must be of the text format."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("# "):
            assert LINE.match(line), line
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def test_every_name_has_a_type_and_a_help() -> None:
    assert set(METRICS) == set(get_args(MetricName))
    text = render([snapshot("rolled_back")], Counted(), followed=True, away_s=0.0)
    for name, (kind, about) in METRICS.items():
        assert f"# HELP {name} {about}\n# TYPE {name} {kind}\n" in text
        assert name.endswith("_total") == (kind == "counter")


def test_gauges_are_what_the_page_shows() -> None:
    found = samples(render([snapshot("collecting")], Counted(), followed=True, away_s=1.5))
    service = 'service="billing-mcp"'
    assert found[f'davylamp_rollout_state{{{service},state="collecting"}}'] == 1
    assert found[f'davylamp_rollout_state{{{service},state="held"}}'] == 0
    assert found[f"davylamp_rollout_share_ratio{{{service}}}"] == 0.1
    assert found[f"davylamp_rollout_score{{{service}}}"] == 96
    assert found[f'davylamp_check_verdict{{{service},check="latency_p99",verdict="undecided"}}'] == 1
    assert found[f'davylamp_proxies{{{service},state="acknowledged"}}'] == 3
    assert found[f"davylamp_judge_age_seconds{{{service}}}"] == 0.4
    assert found["davylamp_log_away_seconds"] == 1.5
    assert found["davylamp_log_followed"] == 1


def test_what_is_counted_all_the_same_is_not_called_lost() -> None:
    shown = snapshot("collecting")
    assert shown.recent is not None
    losses = Losses(malformed=1, dropped=2, holes=3, duplicates=4, folded=5, stale=6)
    found = samples(
        render([replace(shown, recent=replace(shown.recent, losses=losses))], Counted(), followed=True, away_s=0.0)
    )
    lost, suspect = (
        {
            name.partition('reason="')[2].rstrip('"}'): n
            for name, n in found.items()
            if name.startswith(f"davylamp_events_{kind}")
        }
        for kind in ("lost", "suspect")
    )
    assert lost == {"malformed": 1, "dropped": 2, "holes": 3}
    assert suspect == {"duplicates": 4, "folded": 5, "stale": 6}


def test_no_data_is_a_missing_sample_and_never_a_number() -> None:
    found = samples(render([snapshot("no_data")], Counted(), followed=True, away_s=0.0))
    assert not [name for name in found if name.startswith("davylamp_rollout_score")]
    assert found['davylamp_check_verdict{service="billing-mcp",check="error_rate",verdict="no_data"}'] == 1
    assert not [name for name in found if name.startswith("davylamp_judge_age") and "new" in name]


def test_the_time_from_evidence_to_decision_is_measured_whichever_is_read_first() -> None:
    counted = Counted()
    start = entry("start")
    cut = Cut(offsets={"cohort-windows-0": 8, "route-changes-0": 3}, now=5)
    back = entry("rollback", start, cut=cut, checks=(CHECK,))
    counted.window("cohort-windows-0", 7, 10_000)
    counted.entry(back, 10_300)
    early = entry("rollback", start, cut=Cut(offsets={"cohort-windows-0": 9}, now=6), checks=(CHECK,))
    counted.entry(early, 10_500)
    counted.window("cohort-windows-0", 8, 10_450)
    found = samples(render([], counted, followed=True, away_s=0.0))
    name = "davylamp_evidence_to_decision_seconds"
    assert found[f'{name}_count{{service="orders"}}'] == 2
    assert found[f'{name}_sum{{service="orders"}}'] == 0.35
    assert found[f'{name}_bucket{{service="orders",le="0.05"}}'] == 1
    assert found[f'{name}_bucket{{service="orders",le="0.5"}}'] == 2
    assert found[f'{name}_bucket{{service="orders",le="+Inf"}}'] == 2


def test_peoples_words_rest_on_no_evidence() -> None:
    counted = Counted()
    counted.window("cohort-windows-0", 7, 1)
    cut = Cut(offsets={"cohort-windows-0": 8}, now=5)
    counted.entry(entry("rollback", entry("start"), actor="anna", cut=cut, checks=(CHECK,)), 9)
    counted.entry(entry("hold", entry("start"), actor="judge", cut=cut, checks=(CHECK,), command="c1"), 9)
    found = samples(render([], counted, followed=True, away_s=0.0))
    assert found['davylamp_decisions_total{service="orders",kind="rollback",by="person"}'] == 1
    assert found['davylamp_decisions_total{service="orders",kind="hold",by="judge"}'] == 1
    assert not [key for key in found if key.startswith("davylamp_evidence_to_decision_seconds_count")]


def test_an_acknowledgement_counts_once_an_entry() -> None:
    counted = Counted()
    proxies = (ProxyRoute(proxy="a", state="acknowledged"),)
    change = RouteChange(
        service="orders", router="r", entry="e", version="1", proxies=proxies, acknowledged=True, at=1, took_ms=12.0
    )
    told = Confirmation(entry="e", proxies=1, at=1, took_ms=12.0)
    counted.route(change, None)
    counted.route(change, told)
    counted.route(change, told)
    counted.route(change.model_copy(update={"entry": "f"}), Confirmation(entry="f", proxies=1, at=2))
    found = samples(render([], counted, followed=True, away_s=0.0))
    assert found['davylamp_decision_to_acknowledged_seconds_count{service="orders"}'] == 1
    assert found['davylamp_decision_to_acknowledged_seconds_bucket{service="orders",le="0.025"}'] == 1


async def test_it_is_served_in_the_text_format_and_counts_news_but_no_history() -> None:
    log = MemoryLog()
    start = entry("start")
    await applied(log, start)
    async with api(log) as client:
        before = await client.get("/metrics")
        assert before.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert not [key for key in samples(before.text) if key.startswith("davylamp_decisions_total")]
        back = entry("rollback", start, now=2, actor="anna")
        await log.writer().append("rollout-decisions", "orders", back.dump())
        await log.put("route-changes", 0, route(back.id).dump())
        found = await until(client, 'davylamp_proxies{service="orders",state="acknowledged"}', 1)
        assert found['davylamp_decisions_total{service="orders",kind="rollback",by="person"}'] == 1


async def until(client: httpx2.AsyncClient, name: str, value: float) -> dict[str, float]:
    """The metrics, once one of them has a value."""
    while True:
        found = samples((await client.get("/metrics")).text)
        if found.get(name) == value:
            return found
