"""What the doctor says, line by line."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.diagnosis import Finding, apart_s, of_api, of_clock, of_services, of_topics, render_findings
from cli.rendering import WIDTH
from status.page.figures import plain
from status.page.health import ELSEWHERE_MS, items
from status.page.snapshot import Snapshot, Viewer
from status.recent import Recent
from status.views import RolloutStatus
from tests.unit.status.test_recent import cell, window


def station(name: str, health: str, value: str = "2 s ago", detail: str = "") -> dict[str, str]:
    return {"name": name, "health": health, "value": value, "detail": detail}


def test_what_is_not_well_has_the_command_to_type_below_it() -> None:
    findings = [
        Finding("Kafka", well=True, text="127.0.0.1:9092 answers"),
        *of_topics([]),
        *of_api("http://127.0.0.1:8642", "1.0", "1.0"),
        of_clock(0.4),
        *of_services(
            [
                {
                    "service": "billing",
                    "stations": [station("requests read", "good"), station("judge", "idle", "at rest")],
                },
                {
                    "service": "orders",
                    "stations": [
                        station("requests read", "good"),
                        station("windows closed", "bad", "2 min 43 s ago", "0 lost to retention"),
                        station("unread events", "bad", "3", "0 dropped by servers"),
                        station("coverage", "unknown", "–", "no request lately"),
                        station("proxies", "bad", "1 of 3", "run the newest route"),
                    ],
                },
            ]
        ),
    ]
    assert render_findings(findings).splitlines() == [
        "✔ Kafka          127.0.0.1:9092 answers",
        "✔ topics         all are there, as they must be",
        "✔ status API     http://127.0.0.1:8642 answers, and follows the log",
        "✔ versions       1.0 here and there",
        "✔ clock          this machine and the API agree",
        "✔ billing        requests read 2 s ago, judge at rest",
        "✖ orders         windows closed: 2 min 43 s ago (0 lost to retention)",
        "                 → davylamp run streams",
        "✖ orders         unread events: 3 (0 dropped by servers)",
        "                 → davylamp dlq list",
        "✖ orders         proxies: 1 of 3 (run the newest route)",
        "                 → davylamp proxy list",
        "– orders         coverage: no request lately",
        "                 → does a server send? docs/howto/add-telemetry.md",
        "",
        "3 things are not well, 1 thing is not known",
    ]


def test_events_that_only_servers_dropped_are_not_looked_for_among_dead_letters() -> None:
    losses = [station("unread events", "bad", value, "4 dropped by servers, 0 sent twice") for value in ("0", "1", "–")]
    found = [of_services([{"service": "orders", "stations": [lost]}])[0].next for lost in losses]
    assert found == ["could the servers reach Kafka? their logs say why", "davylamp dlq list", "davylamp run streams"]


def never_heard() -> list[dict[str, str]]:
    """The stations of a service that was registered, and nothing else happened."""
    status = RolloutStatus(service="tickets", definition=None, rollout=None, route=None, ledger=())
    snapshot = Snapshot(status, now_ms=1_795_485_600_000, viewer=Viewer("api"))
    return [
        {"name": i.name, "health": i.health, "value": plain(i.value), "detail": plain(i.detail)}
        for i in items(snapshot)
    ]


def test_of_a_service_that_was_never_heard_nothing_is_well_and_each_command_is_told_once() -> None:
    assert render_findings(of_services([{"service": "tickets", "stations": never_heard()}])).splitlines() == [
        "– tickets        requests read: no worker was heard; windows closed: none has",
        "                 closed; unread events: nothing is followed",
        "                 → davylamp run streams",
        "– tickets        coverage: no request lately",
        "                 → does a server send? docs/howto/add-telemetry.md",
        "– tickets        proxies: none is known",
        "                 → davylamp envoy bootstrap --node NAME, or davylamp run router",
        "",
        "3 things are not known",
    ]


def test_of_requests_that_are_sent_to_another_topic_it_is_told_for_a_while_that_nobody_counts_them() -> None:
    status, recent = RolloutStatus(service="orders", definition=None, rollout=None, route=None, ledger=()), Recent()
    recent.pass_over(window(1, cell()))
    details = [
        items(Snapshot(status, now_ms=10_000 + age_ms, viewer=Viewer("api"), recent=recent))[0].detail
        for age_ms in (0, ELSEWHERE_MS)
    ]
    assert details == ["no worker was heard; some on mcp-requests are not counted", "no worker was heard"]


def test_old_telemetry_of_a_service_at_rest_has_its_age_and_what_to_type() -> None:
    stations = [
        station("requests read", "unknown", "3 d 2 h ago", "4 of 4 partitions"),
        station("log", "good", "entry 9"),
    ]
    assert render_findings(of_services([{"service": "orders", "stations": stations}])).splitlines()[:2] == [
        "– orders         requests read: 3 d 2 h ago (4 of 4 partitions)",
        "                 → davylamp run streams",
    ]


def test_one_thing_is_one_thing_and_none_is_said() -> None:
    assert render_findings([of_clock(90.0)]).splitlines()[-1] == "1 thing is not well"
    assert render_findings([of_clock(0.0)]).splitlines()[-1] == "everything that was looked at is well"


def test_a_clock_that_is_off_is_told_which_way() -> None:
    assert "90 s behind the API's" in of_clock(90.0).text
    assert "90 s ahead of the API's" in of_clock(-90.0).text


def test_versions_that_differ_are_named() -> None:
    found = of_api("http://x", "2.0", "1.0")[1]
    assert (found.well, found.text) == (False, "2.0 there, 1.0 here: they may not understand each other")


def test_long_words_are_wrapped_at_eighty_columns() -> None:
    problem = (
        "route-changes: message.timestamp.type is CreateTime, davylamp needs LogAppendTime: kafka-configs.sh --alter"
    )
    lines = render_findings(of_topics([problem])).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[1].startswith(" " * 17)


def test_without_a_service_it_says_what_comes_first() -> None:
    assert "→ davylamp service apply FILE" in render_findings(of_services([]))


@pytest.mark.parametrize(("told_s", "apart"), [(-9, -9), (0, 0), (7, 0), (20, 0), (26, 6)])
def test_a_slow_answer_says_nothing_about_clocks(told_s: int, apart: float) -> None:
    asked = datetime(2026, 1, 31, 14, 5, tzinfo=UTC)
    assert apart_s(asked, asked + timedelta(seconds=told_s), asked + timedelta(seconds=20)) == apart
