"""Make every topic of the contract before anything runs: a Faust worker that starts without one stays deaf to it."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from schemas.topics import Topic, TopicSpec, load_topics
from transport.administrator import administrator
from transport.clock import SystemClock
from transport.settings import KafkaSettings

_AGAIN_S = 0.05


class TopicsError(Exception):
    """The topics are not as they must be."""


@dataclass(frozen=True, slots=True)
class ExistingTopic:
    """A topic as a cluster has it."""

    partitions: int
    config: Mapping[str, str]


def ensure_topics(settings: KafkaSettings, answer_s: float = 10.0) -> None:
    """Create the topics of :func:`schemas.topics.load_topics` that are missing, wait for them and check all.

    May run at any time and in many places at once; it changes nothing that exists. Each question waits `answer_s` for
    its answer. Raises :class:`TopicsError` with a line a problem: the topic, what is wrong, what to do.
    """
    with administrator(settings, "davylamp-topics", TopicsError) as admin:
        _create_missing(admin, settings, answer_s)
        found = _await_all(admin, answer_s)
    if listed := list(problems(settings, load_topics(), found)):
        raise TopicsError("\n".join(listed))


def topic_problems(settings: KafkaSettings, answer_s: float = 10.0) -> list[str]:
    """What is wrong with the topics as they are; changes nothing. Raises :class:`TopicsError` if Kafka does not answer."""
    with administrator(settings, "davylamp-doctor", TopicsError) as admin:
        found = _describe(admin, answer_s)
    there = {name: spec for name, spec in load_topics().items() if name in found}
    missing = [f"{name}: it is missing" for name in load_topics() if name not in found]
    return [*missing, *problems(settings, there, found)]


def problems(
    settings: KafkaSettings, wanted: Mapping[Topic, TopicSpec], found: Mapping[str, ExistingTopic]
) -> Iterator[str]:
    """What is wrong with each topic, and what to do about it.

    Partitions of telemetry topics may differ: their number may grow. Control topics are read side by side and must
    have the same one.
    """
    for name, spec in wanted.items():
        if (topic := found.get(name)) is None:
            yield f"{name}: it was created but does not show up: look at the broker's log, then try again"
            continue
        if spec.partitions == "control" and topic.partitions != settings.control_partitions:
            yield (
                f"{name}: it has {topic.partitions} partitions, control_partitions says {settings.control_partitions}: "
                "set control_partitions to what all control topics have, or delete the topic if it holds nothing"
            )
        for key, value in spec.config.items():
            if topic.config.get(key) != value:
                yield (
                    f"{name}: {key} is {topic.config.get(key)}, davylamp needs {value}: kafka-configs.sh "
                    f"--bootstrap-server {settings.bootstrap} --alter --topic {name} --add-config {key}={value}"
                )


def _create_missing(admin: AdminClient, settings: KafkaSettings, answer_s: float) -> None:
    existing = admin.list_topics(timeout=answer_s).topics
    new = [_new_topic(spec, settings) for spec in load_topics().values() if spec.name not in existing]
    if not new:
        return
    for name, created in admin.create_topics(new, operation_timeout=answer_s).items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # else somebody else ensures them as well
                raise TopicsError(f"{name}: it could not be created: {error.args[0].str()}") from error


def _new_topic(spec: TopicSpec, settings: KafkaSettings) -> NewTopic:
    partitions = settings.telemetry_partitions if spec.partitions == "telemetry" else settings.control_partitions
    return NewTopic(spec.name, partitions, settings.replication_factor, config=spec.config)


def _await_all(admin: AdminClient, answer_s: float) -> dict[str, ExistingTopic]:
    """The topics as they are. A KRaft broker hears of a new one shortly after the controller has confirmed it."""
    clock = SystemClock()
    deadline = clock.monotonic_s() + answer_s
    while len(found := _describe(admin, answer_s)) < len(load_topics()) and clock.monotonic_s() < deadline:
        time.sleep(_AGAIN_S)
    return found


def _describe(admin: AdminClient, answer_s: float) -> dict[str, ExistingTopic]:
    partitions = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=answer_s).topics.items()}
    known = [ConfigResource(ResourceType.TOPIC, name) for name in load_topics() if name in partitions]
    asked = admin.describe_configs(known, request_timeout=answer_s) if known else {}
    return {resource.name: ExistingTopic(partitions[resource.name], _values(told)) for resource, told in asked.items()}


def _values(told: "Future[dict[str, Any]]") -> dict[str, str]:
    return {key: entry.value for key, entry in told.result().items()}
