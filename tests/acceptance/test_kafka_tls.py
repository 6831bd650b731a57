"""davylamp on a Kafka that encrypts, asks for a name and allows nothing but our ACLs, by the settings of bring-your-kafka.md."""

import asyncio
import json
import logging
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from cli.stack import service_argv
from davylamp_sdk import KafkaSink, Recorder
from schemas.labels import UNJUDGED
from schemas.topics import load_topics
from schemas.windows import CohortWindow
from tests.builders import SERVICE
from tests.certificates import Authority
from transport.acls import COMPONENTS, Component, acls, apply
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.local_kafka import LocalKafka
from transport.local_kafka_config import Tls
from transport.settings import KafkaSettings
from transport.supervisor import Child, Supervisor
from transport.topics import TopicsError, ensure_topics, topic_problems

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]

USERS: dict[str, str] = {"admin": "admin-secret", **{str(c): f"{c}-secret" for c in COMPONENTS}}
SPANS = "otlp_spans"


@dataclass(frozen=True, slots=True)
class Encrypted:
    """The cluster, the authority that it is signed by, and one that it is not."""

    folder: Path
    bootstrap: str
    ca: Path
    stranger: Path

    def config(self, name: str) -> Path:
        """The file that `DAVYLAMP_CONFIG` names, as the howto shows it."""
        lines = [
            "[kafka]",
            f'bootstrap = "{self.bootstrap}"',
            'security_protocol = "SASL_SSL"',
            'sasl_mechanism = "SCRAM-SHA-512"',
            f'sasl_username = "{name}"',
            f'sasl_password = "{USERS[name]}"',
            f'ssl_ca = "{self.ca}"',
        ]
        file = self.folder / f"{name}.toml"
        file.write_text("\n".join(lines), encoding="utf-8")
        return file

    def settings(self, name: str) -> KafkaSettings:
        return KafkaSettings.load("kafka", {"DAVYLAMP_CONFIG": str(self.config(name))})

    def child(self, component: Component) -> Child:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("DAVYLAMP_")} | {
            "DAVYLAMP_CONFIG": str(self.config(component)),
            "DAVYLAMP_STREAMS_WINDOW_S": "1",
            "DAVYLAMP_STREAMS_DATA_FOLDER": str(self.folder / component),
        }
        return Child(component, service_argv(component), environ, self.folder / f"{component}.log")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def encrypted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Encrypted]:
    folder = tmp_path_factory.mktemp("encrypted")
    ours, stranger = Authority(folder, "ours"), Authority(folder, "stranger")
    broker = ours.sign("broker", "kafka", ip=["127.0.0.1"])
    with LocalKafka(folder / "kafka", users=USERS, tls=Tls(broker.cert, broker.key, ours.cert)) as kafka:
        found = Encrypted(folder, kafka.bootstrap, ours.cert, stranger.cert)
        admin = found.settings("admin")
        ensure_topics(admin)
        with AdminClient(admin.librdkafka("test")) as client:
            client.create_topics([NewTopic(SPANS, 1)])[SPANS].result()
        apply(admin, acls(load_topics(), {c: f"User:{c}" for c in COMPONENTS}, spans=SPANS))
        yield found


async def test_who_writes_and_who_reads_a_control_topic_do_so_by_their_own_names(encrypted: Encrypted) -> None:
    writer, reader = (
        KafkaWriter(encrypted.settings("status"), "writer"),
        KafkaReader(encrypted.settings("judge"), "reader", ["services"]),
    )
    try:
        await writer.append("services", "orders", SERVICE.dump())
        async with asyncio.timeout(30):
            async for batch in reader.batches():
                if batch.records:
                    break
        assert [record.value for record in batch.records] == [SERVICE.dump()]
    finally:
        await writer.close()
        await reader.close()


async def test_a_servers_telemetry_and_a_collectors_spans_are_counted(encrypted: Encrypted) -> None:
    reader = KafkaReader(encrypted.settings("status"), "test", ["cohort-windows"])
    security = encrypted.settings("sdk").librdkafka_security()
    assert security["ssl.ca.location"] == str(encrypted.ca)
    recorder = Recorder(service="orders", version="v1", sink=KafkaSink(encrypted.bootstrap, settings=security))
    async with Supervisor() as supervisor:
        for component in ("streams", "otel-bridge"):
            supervisor.add(encrypted.child(component))
        recorder.record("tools/list", duration_ms=1.0, session_id=uuid.uuid4().hex)
        await asyncio.to_thread(send_span, encrypted.settings("admin"))
        try:
            async with asyncio.timeout(60):
                await until_counted(reader, {"v1", "v2"})
        finally:
            await reader.close()
            await asyncio.to_thread(recorder.close)


def send_span(admin: KafkaSettings) -> None:
    """A request of a traced server without the SDK, as the Collector's `otlp_json` writes it."""
    said = {"service.name": "orders", "service.version": "v2", "service.instance.id": "traced-1"}
    span = {
        "traceId": "01" * 16,
        "spanId": "02" * 8,
        "kind": 2,
        "startTimeUnixNano": "1795485600000000000",
        "endTimeUnixNano": "1795485600010000000",
        "attributes": pairs({"mcp.method.name": "tools/list"}),
    }
    trace = {"resourceSpans": [{"resource": {"attributes": pairs(said)}, "scopeSpans": [{"spans": [span]}]}]}
    producer = Producer(admin.librdkafka("collector"))
    producer.produce(SPANS, json.dumps(trace).encode())
    assert producer.flush(20) == 0


def pairs(values: dict[str, str]) -> list[dict[str, object]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


async def until_counted(reader: KafkaReader, versions: set[str]) -> None:
    """Return once a request of each version, nobody's to judge, is in a window."""
    found: set[str] = set()
    async for batch in reader.batches():
        windows = [CohortWindow.read(record.value or b"") for record in batch.records]
        found |= {cell.version for window in windows for cell in window.cells if cell.label == UNJUDGED}
        if found == versions:
            return


def strangers(encrypted: Encrypted) -> Sequence[tuple[KafkaSettings, str]]:
    """Settings that are turned away, and what is said of them."""
    right = encrypted.settings("admin")
    elsewhere = encrypted.bootstrap.replace("127.0.0.1", "localhost")
    return [
        (right.model_copy(update={"ssl_ca": encrypted.stranger}), "certificate verify failed"),
        (right.model_copy(update={"bootstrap": elsewhere}), "certificate verify failed"),
        (encrypted.settings("judge").model_copy(update={"sasl_username": "alerts"}), "invalid credentials"),
    ]


async def test_a_wrong_authority_host_or_password_is_refused_and_said_so(encrypted: Encrypted) -> None:
    """The broker's certificate names 127.0.0.1, and not localhost."""
    for settings, said in strangers(encrypted):
        with pytest.raises(TopicsError, match=said) as refused:
            await asyncio.to_thread(topic_problems, settings, 3.0)
        assert str(refused.value).startswith(f"Kafka at {settings.bootstrap}: ")
        asked = "ssl_ca" if "certificate" in said else "sasl_password"
        assert asked in str(refused.value)


async def test_a_reader_that_is_turned_away_waits_and_says_why(
    encrypted: Encrypted, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = encrypted.settings("judge").model_copy(update={"ssl_ca": encrypted.stranger})
    reader = KafkaReader(wrong, "stranger", ["services"])
    following = asyncio.create_task(follow(reader))
    with caplog.at_level(logging.WARNING, "transport.kafka_log"):
        async with asyncio.timeout(30):
            assert "ssl_ca" in await why_it_waits(caplog)
    await reader.close()
    assert await following == 0


async def follow(reader: KafkaReader) -> int:
    return sum([len(batch.records) async for batch in reader.batches()])


async def why_it_waits(caplog: pytest.LogCaptureFixture) -> str:
    while True:
        for record in caplog.records:
            if record.__dict__.get("action") == "log_unreachable":
                return str(record.__dict__["reason"])
        await asyncio.sleep(0.01)
