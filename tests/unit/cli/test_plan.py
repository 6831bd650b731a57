"""`davylamp plan`: what it says of a plan's stages, and of a service's own windows."""

import asyncio
import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from typer.testing import CliRunner

from cli import plan as command
from cli import plan_reading, words
from cli.client import Client
from cli.main import app
from cli.plan_outlook import StageOutlook, outlook, slowdown
from cli.plan_rendering import render_outlook, warnings
from cli.plan_traffic import Traffic, measured_traffic
from schemas.plan import Plan
from schemas.windows import Cell, CohortWindow
from tests.builders import ONLY_ERRORS, entry, plan
from tests.unit.judge.trials import cell
from transport import kafka_log
from transport.memory_log import MemoryLog

DOCUMENT = Plan(service="orders", canary="v2")
FILE = str(Path(__file__).parents[3] / "examples/orders/plan.yaml")
MINUTE_MS = 60_000


def stages(sessions_per_minute: float, wanted: Plan = DOCUMENT, **more: Any) -> tuple[StageOutlook, ...]:
    return outlook(wanted, Traffic(sessions_per_minute, 12.0, **more))


def window(number: int, *cells: Cell, final: bool = True) -> CohortWindow:
    start = number * MINUTE_MS
    fields: dict[str, Any] = {
        "service": "orders",
        "source": "mcp-requests",
        "partition": 0,
        "partitions": 1,
        "final": final,
    }
    times = {"window_start": start, "window_ms": MINUTE_MS, "clock_ms": start + MINUTE_MS}
    return CohortWindow.model_validate(
        {**fields, **times, "first_offset": number, "through": number + 1, "instance": "a", "cells": cells}
    )


@pytest.mark.parametrize(
    ("per_minute", "stage", "calls", "caught", "ruled_out"),
    [
        (60, 1, 54, 0.38, 0.35),
        (60, 2, 1_980, 0.034, 0.022),
        (60, 3, 20_700, 0.0147, 0.0055),
        (600, 1, 543, 0.071, 0.057),
        (6000, 1, 5_433, 0.020, 0.011),
        (6000, 3, 2_070_000, 0.0058, 0.00055),
    ],
)
def test_errors_are_caught_and_ruled_out_as_the_published_table_says(
    per_minute: float, stage: int, calls: float, caught: float, ruled_out: float
) -> None:
    found = stages(per_minute)[stage - 1]
    assert found.calls == pytest.approx(calls, rel=0.01)
    assert found.checks[0].caught == pytest.approx(caught, rel=0.06)
    assert found.checks[0].ruled_out == pytest.approx(ruled_out, rel=0.06)


@pytest.mark.parametrize(("per_minute", "stage", "factor"), [(60, 2, 1.51), (600, 1, 1.82), (6000, 3, 1.12)])
def test_slowdowns_are_caught_as_the_published_table_says(per_minute: float, stage: int, factor: float) -> None:
    assert stages(per_minute)[stage - 1].checks[2].caught == pytest.approx(factor, rel=0.03)


def test_a_first_stage_with_little_traffic_catches_and_proves_nothing() -> None:
    first = stages(6)[0]
    assert all(math.isinf(check.caught) and math.isinf(check.ruled_out) for check in first.checks)
    assert first.unproven == first.checks


def test_the_suggested_duration_proves_what_the_planned_one_does_not() -> None:
    first = stages(60)[0]
    assert first.unproven
    longer = plan(stages=[{"share": "1%", "for": f"{first.suggested_s:.0f}s"}, {"share": "10%", "for": "30m"}])
    assert stages(60, longer)[0].unproven == ()
    assert stages(60, longer)[0].suggested_s == first.suggested_s


def test_no_stage_longer_than_a_day_is_suggested() -> None:
    assert stages(6)[2].suggested_s == math.inf
    assert any("take a larger one" in sentence for sentence in warnings(stages(6)))


def test_a_stage_is_suggested_to_be_as_long_as_its_sessions_take() -> None:
    few = plan(stages=[{"share": "50%", "for": "10m", "min_sessions": 6_000}], checks=ONLY_ERRORS)
    assert stages(60, few)[0].suggested_s == pytest.approx(12_000)


def test_more_traffic_never_catches_later_nor_proves_less() -> None:
    for less, more in zip(stages(60), stages(120), strict=True):
        for slow, fast in zip(less.checks, more.checks, strict=True):
            assert fast.caught <= slow.caught
            assert fast.ruled_out <= slow.ruled_out
            assert fast.proof_s < slow.proof_s
            assert all(a[1] <= b[1] for a, b in zip(fast.speeds, slow.speeds, strict=True))


def test_a_check_that_is_off_is_not_planned_for() -> None:
    assert [check.check for check in stages(60, plan(checks=ONLY_ERRORS))[0].checks] == ["error_rate"]


def test_an_outage_takes_three_sessions_whatever_the_evidence() -> None:
    outage, seconds = stages(600, error_dispersion=1.0)[0].checks[0].speeds[0]
    assert outage == 0.995
    assert seconds == pytest.approx(27, abs=1)


def test_an_excess_of_slow_requests_is_told_as_a_slowdown() -> None:
    traffic = Traffic(60, 12)
    assert slowdown(traffic, 0.0, 0.1) == pytest.approx(1.1)
    assert slowdown(traffic, 0.0225, 0.1) > slowdown(traffic, 0.0025, 0.1) > 1.1
    assert slowdown(traffic, -0.01, 0.1) == 1.0


def test_what_is_said_names_every_stage_and_what_was_assumed() -> None:
    told = render_outlook(DOCUMENT, Traffic(60, 12, measured=frozenset({"error_rate"})), stages(60))
    for stage in ("Stage 1 (1% for 10m)", "Stage 2 (10% for 30m)", "Stage 3 (50% for 1h)"):
        assert stage in told
    assert "measured: 0.5% of calls fail\n" in told
    assert "assumed:  in clumps of 3" in told
    assert "waits for 20 canary sessions: 33 min" in told
    assert "errors         catches +39pp; an outage in" in told
    assert "cannot prove errors, tool failures, p99: `for: 115m` would" in told


def test_a_warning_is_one_sentence_a_stage_that_proves_too_little() -> None:
    found = list(warnings(stages(60)))
    assert [w.split(":")[0] for w in found] == [
        f"Stage {n} ({s})" for n, s in ((1, "1% for 10m"), (2, "10% for 30m"), (3, "50% for 1h"))
    ]
    assert "sees about 54 canary calls, catches only errors from +39pp" in found[0]
    assert list(warnings(stages(6000))) == []


class TestMeasured:
    def test_sessions_calls_and_rates_are_the_windows(self) -> None:
        cells = [cell("v1", 900, 18, tools={"a": (450, 45)}, sessions=90), cell("v2", 100, 50, sessions=10)]
        found = measured_traffic([window(i, *cells) for i in range(4)], None, None)
        assert found is not None
        assert (found.sessions_per_minute, found.calls_per_session) == (100, 10)
        assert (found.error_rate, found.tool_share, found.tool_failure_rate) == (0.02, 0.5, 0.1)
        assert {"error_rate", "tool_share", "error_dispersion"} <= found.measured

    def test_only_final_windows_and_the_rollout_that_is_meant_count(self) -> None:
        other = cell("v1", 900, 900, sessions=90).model_copy(update={"label": "9.1.session.0123456789abcdef"})
        said = [window(0, cell("v1", 900, 9, sessions=90), other), window(1, cell("v1", 5, 5), final=False)]
        found = measured_traffic(said, "v1", 1)
        assert found is not None
        assert (found.sessions_per_minute, found.error_rate) == (90, 0.01)
        assert measured_traffic(said, "v1", 7) is None
        assert measured_traffic([], None, None) is None

    def test_of_a_handful_of_requests_only_the_traffic_is_believed(self) -> None:
        found = measured_traffic([window(0, cell("v1", 50, 50, sessions=5))], None, None)
        assert found == Traffic(5, 10, measured=frozenset({"traffic"}))

    def test_failures_that_clump_are_measured_as_such(self) -> None:
        even = measured_traffic([window(0, cell("v1", 6400, 640, buckets=64))], None, None)
        heavy = cell("v1", 3200, 10, buckets=32)
        lumps = {i: b.model_copy(update={"err": 20 if i % 3 == 0 else 0}) for i, b in heavy.buckets.items()}
        clumped = measured_traffic([window(0, heavy.model_copy(update={"buckets": lumps}))], None, None)
        assert even is not None
        assert clumped is not None
        assert even.error_dispersion == 1.0
        assert clumped.error_dispersion > 10

    def test_the_slow_end_and_the_length_of_sessions_are_the_windows(self) -> None:
        latency = {1000: 890, 1064: 90, 1128: 20}
        lives = {0: {0: 100, 1: 100, 2: 100}, 1: {3: 50}}
        found = measured_traffic([window(0, cell("v1", 1000, 1, latency=latency, lives=lives))], None, None)
        assert found is not None
        assert found.latency_spread == pytest.approx(math.log(2) / 1.0447, rel=0.05)
        assert found.session_s == pytest.approx(2 + 0.75 * 3 + 0.25 * 5)


class TestCommand:
    def run(self, *arguments: str) -> Any:
        return CliRunner().invoke(app, ["plan", FILE, *arguments])

    def test_a_persons_own_numbers_are_enough(self) -> None:
        got = self.run("--sessions-per-minute", "60", "--calls-per-session", "12")
        assert got.exit_code == 0, got.output
        assert "at 60 sessions a minute of 12 calls" in got.stdout

    def test_for_programs_it_is_json_without_infinities(self) -> None:
        got = self.run("--sessions-per-minute", "6", "--calls-per-session", "12", "--json")
        found = json.loads(got.stdout)
        assert found["traffic"]["sessions_per_minute"] == 6
        assert found["stages"][0]["checks"][0]["caught"] is None

    @pytest.mark.parametrize("numbers", [("inf", "12"), ("nan", "12"), ("60", "inf"), ("60", "1e12")])
    def test_endless_numbers_are_refused(self, numbers: tuple[str, str]) -> None:
        got = CliRunner().invoke(
            app, ["plan", FILE, "--sessions-per-minute", numbers[0], "--calls-per-session", numbers[1]]
        )
        assert (got.exit_code, got.stdout) == (2, "")

    def test_without_any_traffic_it_says_what_to_say(self) -> None:
        got = self.run("--sessions-per-minute", "60")
        assert got.exit_code == 2
        assert "--from 7" in got.stderr

    def test_what_is_said_overrules_what_was_measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        measured = Traffic(100, 10, error_rate=0.04, measured=frozenset({"traffic", "error_rate"}))
        monkeypatch.setattr(plan_reading, "traffic_of_rollout", lambda *_: measured)
        got = self.run("--from", "3", "--calls-per-session", "20")
        assert got.exit_code == 0, got.output
        assert "100 sessions a minute of 20 calls" in got.stdout
        assert "measured: 4% of calls fail" in got.stdout


class TestWarn:
    def test_a_start_is_warned_of_each_stage(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(plan_reading, "recent_traffic", lambda *_: Traffic(60, 12))
        command.warn(CLIENT, DOCUMENT)
        assert capsys.readouterr().err.count("Warning: Stage") == 3

    def test_unknown_traffic_is_no_word_about_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def away(*_: Any) -> list[CohortWindow]:
            raise OSError("no log")

        monkeypatch.setattr(plan_reading, "read_windows", away)
        assert plan_reading.recent_traffic(CLIENT, "orders") is None
        command.warn(CLIENT, DOCUMENT)
        assert capsys.readouterr().err == ""

    def test_a_start_has_started_before_it_warns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(words, "connect", lambda _: contextlib.nullcontext(Api()))
        monkeypatch.setattr(plan_reading, "recent_traffic", lambda *_: Traffic(60, 12))
        got = CliRunner().invoke(app, ["start", FILE])
        assert (got.exit_code, got.stdout) == (0, "orders has started.\n")
        assert "Warning: Stage 1 (1% for 10m): at this traffic it sees about 54 canary calls" in got.stderr


class Api:
    """A status API that lets everything start, and knows one rollout."""

    def start(self, *_: Any, **__: Any) -> str:
        return "orders has started."

    def history(self, _: str) -> list[dict[str, Any]]:
        return [json.loads(entry("start", now=MINUTE_MS).dump())]

    def rollout(self, _: str) -> dict[str, Any]:
        return {"telemetry": "mcp-requests"}


CLIENT = cast("Client", Api())


class TestReading:
    def test_the_windows_of_a_rollout_are_read_from_its_start_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        log, asked = MemoryLog(), list[int]()
        windows = [window(i, cell("v1", 900, 18, sessions=90), final=i < 3) for i in range(4)]
        foreign = window(1, cell("v1", 900, 18, sessions=900)).model_copy(update={"service": "other"})
        stray = window(1, cell("v1", 90_000, 90_000, sessions=9_000)).model_copy(
            update={"source": "t", "partitions": 9}
        )
        for one in (*windows, foreign, stray):
            asyncio.run(log.writer().append("cohort-windows", one.service, one.dump()))

        def reader(_: Any, __: str, topics: tuple[Any, ...], *, since_ms: int) -> Any:
            asked.append(since_ms)
            return log.reader(*topics)

        monkeypatch.setattr(kafka_log, "KafkaReader", reader)
        found = plan_reading.traffic_of_rollout(CLIENT, "orders", 1, 5.0)
        assert asked == [MINUTE_MS]
        assert (found.sessions_per_minute, found.error_rate) == (90, 0.02)
        assert plan_reading.recent_traffic(CLIENT, "orders") == replace(found)

    def test_a_rollout_that_never_was_and_one_without_windows_are_told(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(kafka_log, "KafkaReader", lambda *_, **__: MemoryLog().reader("cohort-windows"))
        for rollout in (7, 1):
            with pytest.raises(typer.Exit):
                plan_reading.traffic_of_rollout(CLIENT, "orders", rollout, 5.0)
        told = capsys.readouterr().err
        assert "orders has had no rollout 7." in told
        assert "No window of rollout 1 of orders holds a session" in told
