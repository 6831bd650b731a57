"""The whole of davylamp on a Kafka that asks for a name and allows nothing but our ACLs: SCRAM and the authorizer."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from confluent_kafka import KafkaException, Producer
from pydantic import SecretStr

from cli.client import ApiError, Client
from cli.dead_letters import Posting
from cli.dlq_sender import KafkaSender
from cli.rollouts import read_log
from cli.stack import SERVICES, service_argv
from davylamp_sdk import KafkaSink, Recorder, Rollouts
from schemas.labels import UNJUDGED
from schemas.topics import Topic, load_topics
from schemas.windows import CohortWindow
from tests.builders import SERVICE, plan
from transport.acls import COMPONENTS, Component, acls, apply
from transport.kafka_log import KafkaReader
from transport.local_kafka import LocalKafka
from transport.ports import free_ports
from transport.settings import KafkaSettings
from transport.shelf import Shelf
from transport.supervisor import Child, Supervisor
from transport.topics import ensure_topics

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

USERS: dict[str, str] = {"admin": "admin-secret", **{str(c): f"{c}-secret" for c in COMPONENTS}}


@dataclass(frozen=True, slots=True)
class Secured:
    bootstrap: str
    client: Client

    def settings(self, name: str) -> KafkaSettings:
        return KafkaSettings(
            bootstrap=self.bootstrap,
            security_protocol="SASL_PLAINTEXT",
            sasl_username=name,
            sasl_password=SecretStr(USERS[name]),
        )


def environment(bootstrap: str, component: Component, folder: Path, ports: tuple[int, int]) -> dict[str, str]:
    xds, status = ports
    return {
        **os.environ,
        "DAVYLAMP_KAFKA_BOOTSTRAP": bootstrap,
        "DAVYLAMP_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "DAVYLAMP_KAFKA_SASL_USERNAME": component,
        "DAVYLAMP_KAFKA_SASL_PASSWORD": USERS[component],
        "DAVYLAMP_ROUTER_XDS_PORT": str(xds),
        "DAVYLAMP_STATUS_PORT": str(status),
        "DAVYLAMP_STREAMS_WINDOW_S": "1",
        **{f"DAVYLAMP_{s.upper()}_DATA_FOLDER": str(folder / s) for s in ("streams", "judge", "router", "alerts")},
    }


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    xds, status = free_ports(2)
    with LocalKafka(folder / "kafka", users=USERS) as kafka, Client(f"http://127.0.0.1:{status}") as client:
        found = Secured(kafka.bootstrap, client)
        ensure_topics(found.settings("admin"))
        apply(found.settings("admin"), acls(load_topics(), {c: f"User:{c}" for c in COMPONENTS}))
        async with Supervisor() as supervisor:
            for service in SERVICES:
                env = environment(kafka.bootstrap, service, folder, (xds, status))
                supervisor.add(Child(service, service_argv(service), env, folder / f"{service}.log"))
            await until_applied(client)
            yield found


async def until_applied(client: Client) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await asyncio.to_thread(client.apply, SERVICE)
            except ApiError:
                await asyncio.sleep(0.2)
            else:
                return


async def test_a_rollout_starts_and_is_rolled_back_each_component_by_its_own_name(secured: Secured) -> None:
    started = await asyncio.to_thread(secured.client.start, plan(), "test")
    assert "v2" in started
    said = await asyncio.to_thread(secured.client.say, "orders", "rollback", {"reason": "enough"})
    assert "enough" in said
    found = await asyncio.to_thread(secured.client.history, "orders")
    assert [entry["kind"] for entry in found] == ["start", "rollback"]


async def test_a_servers_telemetry_is_counted(secured: Secured) -> None:
    settings = secured.settings("sdk").librdkafka_security()
    recorder = Recorder(service="orders", version="v1", sink=KafkaSink(secured.bootstrap, settings=settings))
    recorder.record("tools/list", duration_ms=1.0, session_id=uuid.uuid4().hex)
    reader = KafkaReader(secured.settings("status"), "test", ("cohort-windows",))
    try:
        async with asyncio.timeout(60):
            assert await counted(reader) == 1
    finally:
        await reader.close()
        await asyncio.to_thread(recorder.close)


async def test_a_server_follows_its_rollout_by_its_own_name(secured: Secured) -> None:
    settings = secured.settings("sdk").librdkafka_security()
    rollouts = Rollouts("orders", secured.bootstrap, settings=settings)
    async with asyncio.timeout(60):
        async for rollout in rollouts:
            if rollout.phase == "rolled_back":
                break
    await asyncio.to_thread(rollouts.close)
    assert "enough" in rollout.reason


async def test_people_recompute_what_was_decided_by_their_own_name(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = secured.settings("people")
    for key in ("bootstrap", "security_protocol", "sasl_username"):
        monkeypatch.setenv(f"DAVYLAMP_KAFKA_{key.upper()}", getattr(settings, key))
    monkeypatch.setenv("DAVYLAMP_KAFKA_SASL_PASSWORD", USERS["people"])
    with Shelf() as shelf:
        records = await read_log("orders", "davylamp-verify", shelf)
        assert len(records["rollout-decisions"]) == 2
    sender = KafkaSender.of(settings)
    await sender.begin()
    assert len(await sender.put_all(Posting("mcp-requests.dlq", 0, None, b"", {}))) == 1


async def counted(reader: KafkaReader) -> int:
    """Requests of the unlabelled cell in the first window that has one."""
    async for batch in reader.batches():
        for record in batch.records:
            window = CohortWindow.read(record.value or b"")
            for cell in window.cells:
                if window.final and (cell.version, cell.label) == ("v1", UNJUDGED):
                    return sum(cell.outcomes.values())
    return 0


@pytest.mark.parametrize(
    ("component", "topic"),
    [
        ("sdk", "rollout-decisions"),
        ("sdk", "cohort-windows"),
        ("alerts", "rollout-decisions"),
        ("people", "rollout-decisions"),
    ],
)
async def test_who_may_not_write_a_topic_cannot(secured: Secured, component: Component, topic: Topic) -> None:
    refused: list[str] = []
    producer = Producer(secured.settings(component).librdkafka("test"))
    producer.produce(topic, b"forged", on_delivery=lambda error, _: refused.append(error.name() if error else "taken"))
    await asyncio.to_thread(producer.flush, 20)
    assert refused == ["TOPIC_AUTHORIZATION_FAILED"]


async def test_a_wrong_password_is_no_name(secured: Secured) -> None:
    wrong = secured.settings("judge").model_copy(update={"sasl_password": SecretStr("guessed")})
    with pytest.raises(KafkaException):
        await asyncio.to_thread(Producer(wrong.librdkafka("test") | {"log_level": 0}).list_topics, timeout=3)
