"""`ensure_topics` on a real Kafka."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from schemas.topics import load_topics
from transport.ports import free_ports
from transport.settings import KafkaSettings
from transport.topics import TopicsError, ensure_topics, topic_problems


@pytest.fixture
def admin(kafka: KafkaSettings) -> Iterator[Any]:
    with AdminClient(kafka.librdkafka("test")) as client:
        yield client


def config_of(admin: Any, topic: str) -> dict[str, str]:
    [told] = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return {key: entry.value for key, entry in told.result().items()}


def alter(admin: Any, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    [done] = admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]
    ).values()
    done.result()
    while config_of(admin, topic)[key] != value:  # the broker hears of it a moment later
        pass


def test_every_topic_of_the_contract_is_there_with_its_partitions_and_configuration(
    kafka: KafkaSettings, admin: Any
) -> None:
    there = admin.list_topics(timeout=10).topics
    for name, spec in load_topics().items():
        wanted = kafka.telemetry_partitions if spec.partitions == "telemetry" else kafka.control_partitions
        assert len(there[name].partitions) == wanted
        assert spec.config.items() <= config_of(admin, name).items()


def test_ensuring_again_and_at_once_from_many_places_changes_nothing(kafka: KafkaSettings, admin: Any) -> None:
    before = {name: config_of(admin, name) for name in load_topics()}
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(ensure_topics, [kafka] * 3))
    assert {name: config_of(admin, name) for name in load_topics()} == before


def test_only_a_missing_topic_is_created(kafka: KafkaSettings, admin: Any) -> None:
    [deleted] = admin.delete_topics(["mcp-requests.dlq"]).values()
    deleted.result()
    while "mcp-requests.dlq" in admin.list_topics(timeout=10).topics:
        pass
    ensure_topics(kafka)
    assert len(admin.list_topics(timeout=10).topics["mcp-requests.dlq"].partitions) == kafka.telemetry_partitions


def test_other_partitions_than_the_settings_say_are_refused(kafka: KafkaSettings) -> None:
    other = kafka.model_copy(update={"control_partitions": kafka.control_partitions + 1})
    with pytest.raises(TopicsError) as raised:
        ensure_topics(other)
    control = {spec.name for spec in load_topics().values() if spec.partitions == "control"}
    assert {line.split(":")[0] for line in str(raised.value).splitlines()} == control


def test_a_topic_on_producer_time_is_refused(kafka: KafkaSettings, admin: Any) -> None:
    alter(admin, "route-changes", "message.timestamp.type", "CreateTime")
    try:
        with pytest.raises(TopicsError, match=r"route-changes: message\.timestamp\.type is CreateTime"):
            ensure_topics(kafka)
    finally:
        alter(admin, "route-changes", "message.timestamp.type", "LogAppendTime")
    ensure_topics(kafka)


def test_a_kafka_that_is_not_there_is_named() -> None:
    with pytest.raises(TopicsError, match=r"Kafka at 127\.0\.0\.1:1: "):
        ensure_topics(KafkaSettings(bootstrap="127.0.0.1:1"), answer_s=0.2)


def test_looking_finds_nothing_wrong_with_what_was_ensured_and_names_what_is(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert topic_problems(kafka) == []
    more = kafka.model_copy(update={"control_partitions": kafka.control_partitions + 1})
    assert any(line.startswith("services: it has") for line in topic_problems(more))
    known = load_topics()
    unmade = {str(name): spec for name, spec in known.items()} | {"never-made": known["services"]}
    monkeypatch.setattr("transport.topics.load_topics", lambda: unmade)
    assert topic_problems(kafka) == ["never-made: it is missing"]


def test_looking_at_a_kafka_that_is_not_there_says_so(kafka: KafkaSettings) -> None:
    (port,) = free_ports(1)
    away = kafka.model_copy(update={"bootstrap": f"127.0.0.1:{port}"})
    with pytest.raises(TopicsError, match=f"Kafka at 127.0.0.1:{port}"):
        topic_problems(away, answer_s=0.5)
