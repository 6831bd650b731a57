"""`davylamp run otel-bridge` as a process on a real Kafka: spans in both encodings, killed in the middle, each counted once."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from cli.dead_letters import DEAD_LETTERS, DeadLetter
from davylamp_sdk._event import RequestEvent
from streams.otel_bridge import GROUP
from streams.otlp import _SCOPES
from tests.streams_ground import PARTITIONS, PATIENCE_S, SERVICE, Ground, ground, tell
from tests.telemetry import BASELINE, CANARY, is_tick
from transport.kafka_log import record_of
from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

SOURCE = "otlp_spans"
MESSAGES, A_MESSAGE = 2000, 10
REQUESTS = MESSAGES * A_MESSAGE
STARTED_NS = 1_795_485_600_000_000_000
OUTCOMES = {
    "ok": {},
    "tool_error": {"error.type": "tool_error"},
    "rpc_error": {"error.type": "-32602", "rpc.response.status_code": "-32602"},
}


def says(n: int) -> dict[str, str]:
    """The attributes of a server's span."""
    assignment = CANARY if n % 3 == 0 else BASELINE
    call = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search", "davylamp.assignment": assignment}
    return call | list(OUTCOMES.values())[n % len(OUTCOMES)]


def ids(n: int) -> tuple[bytes, bytes]:
    return n.to_bytes(16, "big"), (n + 1).to_bytes(8, "big")


RESOURCE = {"service.name": SERVICE, "service.version": "v1", "service.instance.id": "exact-1"}


def as_json(numbers: Sequence[int]) -> bytes:
    """As the Collector's `otlp_json` writes it; the first span is a client's, which is no request of a server."""
    spans = [span_of(numbers[0], kind=3), *(span_of(n, kind=2) for n in numbers)]
    resource = {"attributes": pairs(RESOURCE)}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).encode()


def span_of(n: int, kind: int) -> dict[str, Any]:
    trace, span = ids(n)
    times = {"startTimeUnixNano": str(STARTED_NS), "endTimeUnixNano": str(STARTED_NS + 1_000_000 * (n % 900))}
    return {"traceId": trace.hex(), "spanId": span.hex(), "kind": kind, "attributes": pairs(says(n)), **times}


def pairs(said: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in said.items()]


def as_proto(numbers: Sequence[int]) -> bytes:
    """As `otlp_proto` does."""
    data = ExportTraceServiceRequest()
    of_resource = data.resource_spans.add()
    of_resource.resource.attributes.extend(values(RESOURCE))
    scope = getattr(of_resource, _SCOPES).add()
    for n in numbers:
        span = scope.spans.add()
        span.trace_id, span.span_id = ids(n)
        span.kind = 2
        span.start_time_unix_nano, span.end_time_unix_nano = STARTED_NS, STARTED_NS + 1_000_000 * (n % 900)
        span.attributes.extend(values(says(n)))
    return bytes(data.SerializeToString())


def values(said: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in said.items()]


def send(kafka: KafkaSettings, first: int, last: int) -> None:
    """Messages of ten spans, in turns in each encoding; one in a hundred is followed by what is no trace."""
    producer = Producer(kafka.librdkafka("test-otel") | {"linger.ms": 5})
    for message in range(first, last):
        numbers = range(message * A_MESSAGE, (message + 1) * A_MESSAGE)
        producer.produce(SOURCE, (as_json if message % 2 else as_proto)(numbers))
        if message % 100 == 0:
            producer.produce(SOURCE, b"{")
    assert producer.flush(PATIENCE_S) == 0


@contextmanager
def bridge(made: Ground, instance: str = "one") -> Iterator["subprocess.Popen[bytes]"]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DAVYLAMP_")} | {
        "DAVYLAMP_KAFKA_BOOTSTRAP": made.kafka.bootstrap,
        "DAVYLAMP_OTEL_BRIDGE_SOURCE": SOURCE,
        "DAVYLAMP_OTEL_BRIDGE_TOPIC": made.topic,
        "DAVYLAMP_OTEL_BRIDGE_INSTANCE": instance,
    }
    with (made.folder / "bridge.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "streams.otel_bridge"], env=environ, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[KafkaSettings]:
    with LocalKafka(tmp_path / "kafka") as node:
        settings = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(settings)
        with AdminClient(settings.librdkafka("test-otel")) as admin:
            for made in admin.create_topics([NewTopic(SOURCE, PARTITIONS, 1)]).values():
                made.result(20)
        yield settings


def await_event(made: Ground) -> None:
    """Return as soon as the telemetry has one: the bridge is then in the middle of its work."""
    consumer = Consumer(made.kafka.librdkafka("test-otel") | {"group.id": "test-otel", "fetch.wait.max.ms": 5})
    consumer.assign([TopicPartition(made.topic, partition, 0) for partition in range(PARTITIONS)])
    while all(is_tick(record_of(message)) for message in consumer.consume(1, 1.0)):
        pass
    consumer.close()


async def events_of(made: Ground) -> list[RequestEvent]:
    """What the telemetry says so far."""
    return [RequestEvent.read(r.value or b"") for r in await made.whole(made.topic) if not is_tick(r)]


async def test_each_span_is_counted_once_though_the_bridge_is_killed_in_the_middle(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    async with ground(kafka, tmp_path, "otel") as made:
        made.start()
        await asyncio.to_thread(send, kafka, 0, MESSAGES * 3 // 4)
        with bridge(made):
            await asyncio.to_thread(await_event, made)
        before = len(await events_of(made))
        assert 0 < before < REQUESTS * 3 // 4
        await asyncio.to_thread(send, kafka, MESSAGES * 3 // 4, MESSAGES)
        with bridge(made) as process:
            async with asyncio.timeout(PATIENCE_S):
                while len(events := await events_of(made)) < REQUESTS:
                    assert process.poll() is None
                    await asyncio.sleep(0.5)
            process.terminate()
            assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0
        tell(f"{len(events)} events, {len({e.sequence for e in events})} spans; {before} when the bridge was killed")
        assert len({(e.producer, e.sequence) for e in events}) == REQUESTS
        letters = [DeadLetter.of(record) for record in await made.whole(DEAD_LETTERS)]
        origins = {letter.origin for letter in letters if letter is not None and letter.reason.startswith("not_otlp")}
        assert len(letters) == len(origins) == MESSAGES // 100
        made.acknowledged = REQUESTS
        said = await made.assert_exact()
        counted = {o: sum(row.get(f"outcome {o}", 0) for row in said.cells.values()) for o in OUTCOMES}
        assert counted == {o: len(range(i, REQUESTS, len(OUTCOMES))) for i, o in enumerate(OUTCOMES)}


def taken_by_retention(kafka: KafkaSettings, partition: int) -> int:
    """Let a partition lose all that it holds; of how many spans a bridge has not sent yet."""
    consumer = Consumer(kafka.librdkafka("test-otel") | {"group.id": GROUP, "enable.auto.commit": False})
    (committed,) = consumer.committed([TopicPartition(SOURCE, partition)], PATIENCE_S)
    _, end = consumer.get_watermark_offsets(committed, PATIENCE_S)
    consumer.assign([committed])
    unread = [consumer.poll(PATIENCE_S) for _ in range(committed.offset, end)]
    consumer.close()
    with AdminClient(kafka.librdkafka("test-otel")) as admin:
        for done in admin.delete_records([TopicPartition(SOURCE, partition, end)]).values():
            done.result(20)
    return A_MESSAGE * len([message for message in unread if message is not None and message.value() != b"{"])


async def until(made: Ground, n: int) -> list[RequestEvent]:
    """The events, once there are so many."""
    async with asyncio.timeout(PATIENCE_S):
        events = await events_of(made)
        while len(events) < n:
            await asyncio.sleep(0.5)
            events = await events_of(made)
    return events


async def test_bridges_that_take_partitions_over_send_each_span_once_and_name_what_retention_took(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    async with ground(kafka, tmp_path, "otel") as made:
        await asyncio.to_thread(send, kafka, 0, 200)
        with bridge(made) as first:
            await until(made, 2000)
            first.terminate()
            await asyncio.to_thread(first.wait, PATIENCE_S)
        await asyncio.to_thread(send, kafka, 200, 400)
        lost = await asyncio.to_thread(taken_by_retention, kafka, 0)
        await asyncio.to_thread(send, kafka, 400, MESSAGES)
        with bridge(made):
            await until(made, 2001)
            with bridge(made, "other"):  # joins in the middle, and is killed at the end
                await until(made, REQUESTS * 3 // 4 - lost)
            events = await until(made, REQUESTS - lost)
        assert lost > 0
        assert "spans_lost" in (made.folder / "bridge.log").read_text()
        assert len({(e.producer, e.sequence) for e in events}) == len(events) == REQUESTS - lost
