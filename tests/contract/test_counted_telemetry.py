"""Judge, page and command line count a service on the same telemetry topic, whatever else is written of it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest

from cli import plan_reading
from cli.client import ApiError, Client
from judge.rollout.state import ServiceState
from schemas.decisions import LedgerEntry
from schemas.service import Service
from schemas.windows import CohortWindow
from status.lately import TOPICS as LATELY
from status.lately import Lately
from status.views import Overview
from tests.builders import SERVICE, entry, opening
from tests.unit.judge.rollouts import T0, window
from tests.unit.judge.trials import ROLLOUT, cell
from transport import kafka_log
from transport.clock import FakeClock
from transport.memory_log import MemoryLog

OLD, NEW, FOREIGN = "mcp-requests.old", "mcp-requests.new", "mcp-requests"
SESSIONS = {OLD: 10, NEW: 20, FOREIGN: 9_000}
"""So many on each topic that their number tells which one was counted."""


def on(telemetry: str) -> Service:
    return SERVICE.model_copy(update={"telemetry": telemetry})


START = entry("start", opening=opening("v2").model_copy(update={"service": on(OLD)}))
ENDED = START, entry("rollback", START)


@dataclass(frozen=True)
class Log:
    """What every reader has read, and windows of three topics."""

    entries: Sequence[LedgerEntry]
    definition: Service | None

    @property
    def windows(self) -> list[CohortWindow]:
        return [
            window(T0, cell("v1", 10 * n, 0, sessions=n), partitions=1, source=topic)
            for topic, n in sorted(SESSIONS.items())
        ]

    @property
    def overview(self) -> Overview:
        found = Overview()
        for offset, one in enumerate(self.entries):
            found.read("rollout-decisions", one.dump(), offset, T0)
        if self.definition is not None:
            found.read("services", self.definition.dump(), 0, T0)
        return found


def topic_of(sessions: float) -> str | None:
    return next((topic for topic, n in SESSIONS.items() if n == sessions), None)


def by_the_judge(log: Log, _: pytest.MonkeyPatch) -> str | None:
    state = ServiceState("orders")
    for one in log.windows:
        state.read_window(one)
    for offset, said in enumerate(log.entries):
        state.read_entry(said, offset)
    state.read_service(log.definition)
    return topic_of(state.history.failures("v1", 0, T0)[0] / 10)


def by_the_page(log: Log, _: pytest.MonkeyPatch) -> str | None:
    reader, telemetry = MemoryLog().reader(*LATELY), log.overview.telemetry
    lately = Lately(reader, FakeClock(), lambda _: (ROLLOUT, "v1", "v2"), telemetry, lambda _: None, lambda _: None)
    for one in log.windows:
        lately._count(one)
    found = lately.services["orders"].totals
    return topic_of(found["v1"].sessions) if "v1" in found else None


def by_the_command_line(log: Log, monkeypatch: pytest.MonkeyPatch) -> str | None:
    class Api:
        def rollout(self, service: str) -> Any:
            status = log.overview.status(service)
            if status is None:
                raise ApiError("it is not known")
            return json.loads(status.dump())

    memory = MemoryLog()
    for one in log.windows:
        asyncio.run(memory.writer().append("cohort-windows", "orders", one.dump()))
    monkeypatch.setattr(kafka_log, "KafkaReader", lambda _, __, topics, **___: memory.reader(*topics))
    found = plan_reading.recent_traffic(cast("Client", Api()), "orders")
    return topic_of(found.sessions_per_minute / 60) if found else None


@pytest.mark.parametrize("reader", [by_the_judge, by_the_page, by_the_command_line])
@pytest.mark.parametrize(
    ("entries", "definition", "counted"),
    [
        pytest.param([START], on(OLD), OLD, id="a live rollout's start says it"),
        pytest.param([START], on(NEW), OLD, id="nothing moves a live rollout"),
        pytest.param([START], None, OLD, id="a live rollout whose service was taken away"),
        pytest.param(ENDED, on(NEW), NEW, id="a definition that moved after the rollout"),
        pytest.param(ENDED, None, OLD, id="a rollout that is over, and no definition"),
        pytest.param([], on(NEW), NEW, id="no rollout yet"),
        pytest.param([], None, None, id="an unknown service"),
    ],
)
def test_every_reader_counts_the_same_topic_beside_a_busier_one(
    entries: Sequence[LedgerEntry],
    definition: Service | None,
    counted: str | None,
    reader: Callable[[Log, pytest.MonkeyPatch], str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert reader(Log(entries, definition), monkeypatch) == counted
