"""A worker whose agent hangs while everything else goes on: it ends, is started again, and counts."""

import os
import sys
from pathlib import Path

import pytest

from streams.watchdog import STALLED
from tests.streams_ground import SERVICE, WINDOW_MS, ground
from tests.telemetry import event
from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.supervisor import Child, Supervisor
from transport.topics import ensure_topics

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

STALLED_AFTER_S = 31
HANGS_ONCE = """
import asyncio, os, pathlib
from streams.app import main
from streams.handover import Polled
from streams.owner import Owner
marker, handle = pathlib.Path(os.environ["HUNG"]), Owner.handle
async def hang_once(self, item):
    if isinstance(item, Polled) and not marker.exists():
        marker.touch()
        await asyncio.Event().wait()
    await handle(self, item)
Owner.handle = hang_once
main()
"""
"""Before its turn: the beat goes on."""


async def test_a_stalled_worker_is_ended_and_started_again_and_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with LocalKafka(tmp_path / "kafka") as node:
        kafka = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(kafka)
        async with ground(kafka, tmp_path, "stalled") as made, Supervisor() as supervisor:
            env = {k: v for k, v in os.environ.items() if not k.startswith("DAVYLAMP_")} | {
                "DAVYLAMP_KAFKA_BOOTSTRAP": kafka.bootstrap,
                "DAVYLAMP_STREAMS_TOPIC": made.topic,
                "DAVYLAMP_STREAMS_WINDOW_S": str(WINDOW_MS / 1000),
                "DAVYLAMP_STREAMS_STALLED_AFTER_S": str(STALLED_AFTER_S),
                "DAVYLAMP_STREAMS_DATA_FOLDER": str(tmp_path / "streams"),
                "HUNG": str(tmp_path / "hung"),
            }
            supervisor.add(Child("streams", [sys.executable, "-c", HANGS_ONCE], env, tmp_path / "streams.log"))
            await made.send([event(n, service=SERVICE).dump() for n in range(200)])
            said = await made.assert_exact()
    assert sum(n for row in said.cells.values() for name, n in row.items() if name.startswith("outcome ")) == 200
    assert (tmp_path / "hung").exists()
    codes = [r.__dict__["code"] for r in caplog.records if r.__dict__.get("action") == "child_restarts"]
    assert codes == [STALLED]
