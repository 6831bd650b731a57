"""Whoever has no SDK: an event from a shell, by Kafka's own console producer, is counted in its cohort."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic
from jgo.maven import MavenContext

from schemas.service import Service
from schemas.windows import Cell, CohortWindow
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.kafka_runtime import VERSION, cache_folder, find_jars, find_java
from transport.settings import KafkaSettings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md"
SERVICE = "told-by-shell"
TOPIC = f"mcp-requests.{SERVICE}"
PATIENCE_S = 60


def console_producer(bootstrap: str) -> str:
    """The command that `kafka-console-producer.sh` runs; it lies in the one jar that a broker does without."""
    jar = cache_folder() / f"kafka-tools-{VERSION}.jar"
    if not jar.exists():
        with tempfile.TemporaryDirectory(dir=jar.parent) as folder:
            maven = MavenContext(repo_cache=Path(folder), timeout=60)
            Path(maven.create_dependency(f"org.apache.kafka:kafka-tools:{VERSION}").artifact.resolve()).rename(jar)
    path = f"{find_jars(cache_folder())}/*:{jar}"
    producer = [find_java(), "-cp", path, "org.apache.kafka.tools.ConsoleProducer"]
    return shlex.join([*producer, "--bootstrap-server", bootstrap, "--topic", TOPIC])


def shown_event(**changes: Any) -> str:
    """The event of the documentation, on one line."""
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return json.dumps(json.loads(shown) | {"service": SERVICE} | changes)


@contextmanager
def streams(kafka: KafkaSettings, folder: Path) -> Iterator[None]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DAVYLAMP_")} | {
        "DAVYLAMP_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "DAVYLAMP_STREAMS_TOPIC": TOPIC,
        "DAVYLAMP_STREAMS_WINDOW_S": "1",
        "DAVYLAMP_STREAMS_INSTANCE": "streams-of-shell",
        "DAVYLAMP_STREAMS_DATA_FOLDER": str(folder / "data"),
    }
    with (folder / "streams.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "streams"], env=environ, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


async def prepare(kafka: KafkaSettings) -> None:
    """A telemetry topic of our own, and a registered service that uses it."""
    with AdminClient(kafka.librdkafka("test-shell")) as admin:
        topic = NewTopic(TOPIC, 2, 1, config={"message.timestamp.type": "LogAppendTime"})
        admin.create_topics([topic])[TOPIC].result(20)
    writer = KafkaWriter(kafka, "test-shell")
    fields = {"service": SERVICE, "baseline": "v1", "telemetry": TOPIC, "path": f"/{SERVICE}"}
    versions = {"v1": {"endpoints": ["127.0.0.1:1"]}}
    await writer.append("services", SERVICE, Service.model_validate(fields | {"versions": versions}).dump())
    await writer.close()


def tell(kafka: KafkaSettings, lines: list[str]) -> None:
    """Each line as a message, in the shell's own way."""
    text = "".join(f"{line}\n" for line in lines)
    subprocess.run(console_producer(kafka.bootstrap), shell=True, input=text, text=True, check=True, timeout=PATIENCE_S)


async def counted(kafka: KafkaSettings, requests: int) -> list[Cell]:
    """The service's cells of final windows, once they hold so many requests."""
    cells: list[Cell] = []
    reader = KafkaReader(kafka, "test-shell", ["cohort-windows"])
    async with asyncio.timeout(PATIENCE_S):
        async for batch in reader.batches():
            windows = [CohortWindow.read(r.value or b"") for r in batch.records if r.key and SERVICE.encode() in r.key]
            cells += [cell for window in windows if window.final for cell in window.cells]
            if sum(sum(cell.outcomes.values()) for cell in cells) >= requests:
                break
    await reader.close()
    return cells


async def test_events_from_a_shell_are_counted_in_the_cohort_that_the_proxy_assigned(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    baseline = {"version": "v1", "assignment": "7.2.session.0123456789abcdef;v1", "outcome": "ok", "error_type": None}
    lines = [shown_event(), shown_event(sequence=1, **baseline), shown_event(sequence=1, **baseline), "no event"]
    await prepare(kafka)
    tell(kafka, lines)
    with streams(kafka, tmp_path):
        cells = await counted(kafka, 2)
    assert sorted((cell.version, cell.label, cell.outcomes) for cell in cells) == [
        ("v1", "7.2.session.0123456789abcdef", {"ok": 1}),
        ("v2", "7.2.session.786db6f38e0cd8b7", {"rpc_error": 1}),
    ]
    (canary,) = [cell for cell in cells if cell.version == "v2"]
    assert canary.tools["search"].bad == 1
    assert canary.metrics["tokens"].micro == 812_000_000
